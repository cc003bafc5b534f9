"""How old frames are when a slow network looks at a fast camera.

    python benchmarks/live_stream.py ARTIFACT [--seconds 300] [--network-ms 100] [--fps 30]

Starts ``mjpeg_server.py`` in a process of its own, streams it in latency mode with a network that
is slowed down, kills the server halfway, starts it again, and prints the true age of the frames
(read from the pictures) when their detections arrive.
"""

from __future__ import annotations

import argparse
import math
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mjpeg_server import read_stamp
from numpy.typing import NDArray

import edgeyolo
from edgeyolo.opencv import load_opencv
from edgeyolo.sources import SourceOptions
from edgeyolo.stream import StageTimes


class SlowedSession:
    """A session whose every call takes at least so long."""

    def __init__(self, session: Any, network_ms: float) -> None:
        self._session = session
        self._network_s = network_ms / 1e3
        self.device = session.device

    def run(self, batch: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        started_s = time.monotonic()
        outputs: tuple[NDArray[np.float32], ...] = self._session.run(batch)
        time.sleep(max(0.0, self._network_s - (time.monotonic() - started_s)))
        return outputs

    def close(self) -> None:
        self._session.close()


@dataclass(frozen=True)
class LiveReport:
    """Ages in milliseconds of every frame, what happened around the restart, and how it ended.

    *oldest* are the stages of the frame that was oldest when it was handed over: *waiting* is our
    queue, *prepare* and *finish* the CPU. What its true age has beyond them aged before ``read``.
    """

    true_ages_ms: tuple[float, ...]
    reported_ages_ms: tuple[float, ...]
    oldest: StageTimes | None
    dropped: int
    frames_before_restart: int
    frames_after_restart: int
    pause_s: float
    end: str


class Camera(threading.Thread):
    """The server's life: killed halfway, back after *down_s*, killed at the end."""

    def __init__(self, port: int, fps: float, seconds: float, down_s: float) -> None:
        super().__init__(daemon=True)
        server = Path(__file__).with_name("mjpeg_server.py")
        self._command = [sys.executable, str(server), "--port", str(port), "--fps", str(fps)]
        self._seconds = seconds
        self._down_s = down_s
        self.killed_s = math.inf

    def run(self) -> None:
        self._live(self._seconds / 2)
        self.killed_s = time.monotonic()
        time.sleep(self._down_s)
        self._live(self._seconds / 2)

    def _live(self, seconds: float) -> None:
        with subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(seconds)
            process.kill()


def watch(predictor: edgeyolo.Predictor, seconds: float, fps: float, down_s: float) -> LiveReport:
    """Stream for *seconds*; the camera dies in the middle and comes back after *down_s*."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    true_ages, reported_ages, seen_s, dropped = [], [], [], 0
    # Loading it sets environment variables, which a program started meanwhile may not survive.
    load_opencv()
    camera = Camera(port, fps, seconds, down_s)
    camera.start()
    options = SourceOptions(timeout_s=15.0, reconnect_s=down_s + 7)
    oldest: StageTimes | None = None
    end = "no error"
    try:
        for result in predictor.stream(f"http://127.0.0.1:{port}/", options=options):
            seen_s.append(time.monotonic())
            true_ages.append(seen_s[-1] * 1e3 - read_stamp(result.frame_bgr))
            reported_ages.append(result.frame_age_ms)
            if true_ages[-1] == max(true_ages):
                oldest = result.stages_ms
            dropped = result.dropped
    except edgeyolo.EdgeYoloError as error:
        # Once the camera has died for good.
        end = str(error)
    camera.join()
    before = sum(moment < camera.killed_s for moment in seen_s)
    return LiveReport(
        true_ages_ms=tuple(true_ages),
        reported_ages_ms=tuple(reported_ages),
        oldest=oldest,
        dropped=dropped,
        frames_before_restart=before,
        frames_after_restart=len(seen_s) - before,
        pause_s=max(np.diff(seen_s), default=math.inf),
        end=end,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artifact")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--network-ms", type=float, default=100.0)
    parser.add_argument("--fps", type=float, default=30.0)
    arguments = parser.parse_args()
    with edgeyolo.load(arguments.artifact, threads=1) as predictor:
        predictor.session = SlowedSession(predictor.session, arguments.network_ms)
        report = watch(predictor, arguments.seconds, arguments.fps, down_s=3.0)
    ages_ms = np.array(report.true_ages_ms)
    print(
        f"{len(ages_ms)} frames seen, {report.dropped} dropped; camera {arguments.fps:g} fps, "
        f"network {arguments.network_ms:g} ms, {arguments.seconds:g} s"
    )
    p50, p95, p99 = np.percentile(ages_ms, (50, 95, 99))
    print(
        f"true frame age ms: p50 {p50:.0f}  p95 {p95:.0f}  p99 {p99:.0f}  max {ages_ms.max():.0f}"
    )
    print(f"reported age ms:   max {max(report.reported_ages_ms):.0f}")
    if report.oldest is not None:
        stages = report.oldest._asdict().items()
        print(f"oldest frame ms:   {', '.join(f'{name} {ms:.0f}' for name, ms in stages)}")
    print(
        f"camera killed after {report.frames_before_restart} frames; resumed after "
        f"{report.pause_s:.1f} s (down 3 s), {report.frames_after_restart} frames more"
    )
    print(f"killed for good: {report.end}")


if __name__ == "__main__":
    main()
