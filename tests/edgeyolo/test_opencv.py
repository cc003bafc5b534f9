"""OpenCV and FFmpeg write nothing of their own to the terminal."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeyolo.opencv import quiet_opencv
from tests.conftest import ROOT

PROGRAM = """
import sys
from edgeyolo.errors import SourceError
from edgeyolo.sources import SourceOptions, open_source
try:
    open_source(sys.argv[1], SourceOptions(timeout_s=0.6)).read()
except SourceError as error:
    print(error)
"""


def opened(source: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if "FFMPEG" not in name}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, source],
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


@pytest.fixture
def refused() -> str:
    """The address of a stream on a port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"rtsp://127.0.0.1:{probe.getsockname()[1]}/live"


def cut_video(path: Path) -> Path:
    """An MP4 whose index, at its end, is missing: an interrupted copy."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 20.0, (64, 64))
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for _ in range(20):
        writer.write(picture)
    writer.release()
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"moov") - 4])
    return path


def test_a_stream_that_refuses_leaves_stderr_empty(refused: str) -> None:
    done = opened(refused)
    assert "gave no picture within" in done.stdout
    assert done.stderr == ""


def test_a_video_without_its_index_leaves_stderr_empty(tmp_path: Path) -> None:
    done = opened(str(cut_video(tmp_path / "cut.mp4")))
    assert "is not a video that OpenCV can read" in done.stdout
    assert done.stderr == ""


def test_who_wants_to_hear_ffmpeg_does(refused: str) -> None:
    done = opened(refused, OPENCV_FFMPEG_LOGLEVEL="32")
    # Where that is set, OpenCV prints to stdout.
    assert "Connection refused" in done.stdout + done.stderr


def test_sources_opened_at_the_same_time_leave_the_log_level_as_it_was() -> None:
    logging = cv2.utils.logging
    before = logging.getLogLevel()
    first, second = quiet_opencv(), quiet_opencv()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert logging.getLogLevel() == logging.LOG_LEVEL_SILENT
    second.__exit__(None, None, None)
    assert logging.getLogLevel() == before
