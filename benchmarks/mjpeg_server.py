"""A camera on the network that stamps the time into its pictures.

    python benchmarks/mjpeg_server.py --port 8090 [--fps 30] [--size 640x360]

Serves http://127.0.0.1:PORT/ as motion JPEG. The top of every picture holds the milliseconds of
``time.monotonic()`` as black and white squares, so that a reader on the same machine can tell how
old a picture really is, buffers of every library included.
"""

from __future__ import annotations

import argparse
import socket
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
from numpy.typing import NDArray

STAMP_BITS = 40
SQUARE_PX = 16  # one JPEG block of subsampled colour: sharp enough to survive


def stamp(picture_bgr: NDArray[np.uint8], milliseconds: int) -> None:
    """Write a time into the top row of squares."""
    for bit in range(STAMP_BITS):
        left = bit * SQUARE_PX
        value = 255 if milliseconds >> bit & 1 else 0
        picture_bgr[:SQUARE_PX, left : left + SQUARE_PX] = value


def read_stamp(picture_bgr: NDArray[np.uint8]) -> int:
    """The time that :func:`stamp` wrote, in milliseconds."""
    middle = picture_bgr[SQUARE_PX // 2, SQUARE_PX // 2 :: SQUARE_PX, 1][:STAMP_BITS]
    return sum(1 << bit for bit, level in enumerate(middle) if level > 127)


def serve(port: int, fps: float, size_wh: tuple[int, int]) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            picture = np.full((size_wh[1], size_wh[0], 3), 90, np.uint8)
            number, started = 0, time.monotonic()
            try:
                while True:
                    time.sleep(max(0.0, started + number / fps - time.monotonic()))
                    stamp(picture, round(time.monotonic() * 1000))
                    data = cv2.imencode(".jpg", picture)[1].tobytes()
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n"
                    self.wfile.write(head.encode() + b"\r\n" + data + b"\r\n")
                    number += 1
            except (BrokenPipeError, ConnectionResetError):
                return

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    print("ready", flush=True)
    server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--size", default="640x360")
    arguments = parser.parse_args()
    width, height = (int(side) for side in arguments.size.split("x"))
    cv2.setNumThreads(1)
    serve(arguments.port, arguments.fps, (width, height))


if __name__ == "__main__":
    main()
