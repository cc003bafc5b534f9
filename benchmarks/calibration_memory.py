"""Peak memory of calibrating with many large pictures, per backend, as a Markdown table.

    python benchmarks/calibration_memory.py CHECKPOINT [--calibration DIR] [--pictures 1000]

Without a folder, scenes of 1280x720 are rendered. Each backend is one ``edgeyolo calibrate`` in a
process of its own, without the calibration cache; the peak is the largest resident memory of that
process or one that it starts, as the system counts it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2

from edgeyolo.pictures import list_pictures
from edgeyolo.scenes import render_scene
from edgeyolo.spec import Backend


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as name:
        folder: Path = arguments.calibration or _rendered(Path(name), arguments.pictures)
        _measure(arguments, folder)


def _rendered(folder: Path, count: int) -> Path:
    for seed in range(count):
        _, data = cv2.imencode(".jpg", render_scene(seed, (720, 1280)).frame_bgr)
        (folder / f"{seed:05d}.jpg").write_bytes(data.tobytes())
    return folder


def _measure(arguments: argparse.Namespace, folder: Path) -> None:
    count = min(arguments.pictures, len(list_pictures(folder)))
    print("| backend | pictures | peak MB | seconds |\n| --- | --- | --- | --- |", flush=True)
    for backend in arguments.backend:
        started = time.perf_counter()
        peak_mb = _peak_mb(arguments.checkpoint, backend, folder, count)
        elapsed_s = time.perf_counter() - started
        print(f"| {backend} | {count} | {peak_mb:.0f} | {elapsed_s:.0f} |", flush=True)


def _peak_mb(checkpoint: Path, backend: Backend, calibration: Path, count: int) -> float:
    """In a process of its own, since a process knows only the largest of all its children."""
    command = [
        *(sys.executable, "-m", "edgeyolo", "calibrate", str(checkpoint)),
        *("--to", backend.value, "--calibration", str(calibration)),
        *("--calibration-pictures", str(count), "--no-calibration-cache"),
    ]
    watched = (
        "import resource, subprocess, sys; "
        "subprocess.run(sys.argv[1:], check=True, stdout=sys.stderr); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", watched, *command], check=True, stdout=subprocess.PIPE, text=True
    )
    return int(finished.stdout) * _maxrss_bytes() / 1e6


def _maxrss_bytes() -> int:
    """Unit of ``ru_maxrss``: bytes on macOS, KiB elsewhere."""
    return 1 if sys.platform == "darwin" else 1024


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--calibration", type=Path, help="folder of pictures")
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--backend", type=Backend, nargs="+", default=list(Backend))
    return parser.parse_args()


if __name__ == "__main__":
    main()
