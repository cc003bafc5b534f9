"""How long a program takes from its start to its first detection.

    python benchmarks/cold_start.py ARTIFACT... [--runs 7] [--threads 2]

Each run is a fresh process that imports edgeyolo, loads the artifact and finds objects in one
1280x720 frame from memory. Artifacts take turns. OpenVINO may keep compiled models in a cache
folder, filled by a first run that does not count. The moments are on one clock of the system,
counted from before the process is made; CPU time is what the process computed, which a busy
machine lengthens least.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = """
import sys, time
python_s = time.monotonic()
import json
from pathlib import Path
import numpy as np
import edgeyolo
imported_s = time.monotonic()
path, threads, cache = sys.argv[1:]
predictor = edgeyolo.load(path, threads=int(threads), cache_dir=Path(cache))
loaded_s = time.monotonic()
frame = np.kron(
    np.random.default_rng(0).integers(0, 255, (9, 16, 3), dtype=np.uint8),
    np.ones((80, 80, 1), np.uint8),
)
made_s = time.monotonic()
found = predictor.predict(frame)
detected_s = time.monotonic()
cpu_s = time.process_time()
print(json.dumps([python_s, imported_s, loaded_s, detected_s - (made_s - loaded_s), cpu_s]))
"""
MOMENTS = ("python", "import", "load", "detect")


def run(artifact: Path, threads: int, cache: Path) -> list[float]:
    """Seconds from the start to each moment, and the CPU time."""
    started_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(artifact), str(threads), str(cache)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ,
        check=True,
    )
    *moments_s, cpu_s = json.loads(done.stdout.splitlines()[-1])
    return [*(moment_s - started_s for moment_s in moments_s), cpu_s]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artifacts", nargs="+", type=Path)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        for artifact in arguments.artifacts:
            run(artifact, arguments.threads, cache)
        found: dict[Path, list[list[float]]] = {path: [] for path in arguments.artifacts}
        for _ in range(arguments.runs):
            for artifact in arguments.artifacts:
                found[artifact].append(run(artifact, arguments.threads, cache))
    moments = "".join(f"{name:>9}" for name in MOMENTS)
    print(f"seconds since the start: medians of {arguments.runs} runs")
    print(f"{'artifact':<32}{moments}{'fastest':>9}{'CPU time':>10}")
    for artifact, runs in found.items():
        *medians_s, cpu_s = (statistics.median(values) for values in zip(*runs, strict=True))
        columns = "".join(f"{value:>9.3f}" for value in medians_s)
        fastest_s = min(values[-2] for values in runs)
        print(f"{artifact.resolve().name:<32}{columns}{fastest_s:>9.3f}{cpu_s:>10.3f}")


if __name__ == "__main__":
    main()
