"""Detect objects in a camera, stream or video with the public API of edgeyolo.

    python examples/camera_demo.py ARTIFACT [SOURCE] [--record seen.mp4] [--log seen.jsonl]

SOURCE is a camera number, an rtsp:// or http:// address, a file, or pattern: for a test picture.
The window shows boxes, names, rate, frame age and the time of each stage; q quits, s saves a
snapshot. Without a display the same runs headless.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import edgeyolo
from edgeyolo.camera import CameraSettings, run_camera
from edgeyolo.stream import StreamResult


def tell(result: StreamResult) -> None:
    """Whatever an application does with detections; here their names are printed."""
    print(f"{result.name} {result.frame_index}: {', '.join(result.detections.names)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artifact")
    parser.add_argument("source", nargs="?", default="0")
    parser.add_argument("--record", type=Path, help="annotated video (.mp4, .avi, .mkv)")
    parser.add_argument("--log", type=Path, help="detections as JSON lines")
    parser.add_argument("--snapshots", type=Path, default=Path(), help="folder for the s key")
    parser.add_argument("--headless", action="store_true", help="no window")
    arguments = parser.parse_args()
    settings = CameraSettings(
        window=not arguments.headless,
        record=arguments.record,
        log=arguments.log,
        snapshots=arguments.snapshots,
    )
    try:
        with edgeyolo.load(arguments.artifact) as predictor:
            seen = run_camera(
                predictor,
                arguments.source,
                settings,
                say=lambda line: print(line, file=sys.stderr),
                on_result=tell,
            )
    except edgeyolo.EdgeYoloError as error:
        sys.exit(f"camera_demo: {error}")
    print(f"{seen.frames} frames, {seen.fps:.1f} fps, frame age {seen.median_age_ms:.0f} ms")


if __name__ == "__main__":
    main()
