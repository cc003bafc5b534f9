"""Detect objects in a camera, stream or video with the public API of edgeyolo.

    python examples/camera_demo.py ARTIFACT [SOURCE] [--output annotated.mp4]

SOURCE is a camera number, an rtsp:// or http:// address, or a file. Without a display the
annotated frames only go to --output.
"""

from __future__ import annotations

import argparse
import os

import cv2

import edgeyolo
from edgeyolo.drawing import draw, draw_label


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artifact")
    parser.add_argument("source", nargs="?", default="0")
    parser.add_argument("--output", help="annotated video (.mp4)")
    parser.add_argument("--headless", action="store_true")
    arguments = parser.parse_args()

    # OpenCV ends the process when it shows a window without a display.
    show = not arguments.headless and bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.name == "nt"
    )
    predictor, writer = edgeyolo.load(arguments.artifact), cv2.VideoWriter()
    try:
        with predictor, predictor.stream(arguments.source) as stream:
            for result in stream:
                picture = draw(result.frame_bgr, result.detections)
                draw_label(picture, f"frame age {result.frame_age_ms:.0f} ms", (0, 0))
                if arguments.output:
                    if not writer.isOpened():
                        fps = stream.sources[0].fps or 25.0
                        code = cv2.VideoWriter.fourcc(*"mp4v")
                        if not writer.open(arguments.output, code, fps, picture.shape[1::-1]):
                            parser.error(f"cannot write the video {arguments.output}")
                    writer.write(picture)
                if show:
                    cv2.imshow("edgeyolo", picture)
                    if cv2.waitKey(1) & 0xFF == ord("q"):
                        break
                print(f"{result.name} {result.frame_index}: {', '.join(result.detections.names)}")
    finally:
        writer.release()  # also after Ctrl-C: a video without its end cannot be played


if __name__ == "__main__":
    main()
