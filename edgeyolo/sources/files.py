"""Frames from files: pictures and videos."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.errors import SourceError, one_line
from edgeyolo.opencv import quiet_opencv
from edgeyolo.pictures import read_picture
from edgeyolo.sources.frame import Frame
from edgeyolo.sources.recorded import Recorded
from edgeyolo.vendor_paths import vendor_path
from edgeyolo.video_headers import check_video, is_cut_short


class PictureFiles:
    """Picture files, in order."""

    live = False
    fps: float | None = None

    def __init__(self, name: str, paths: Sequence[Path]) -> None:
        self.name = name
        self._paths = tuple(paths)
        self._next = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self._paths)

    def read(self) -> Frame | None:
        if self._closed or self._next == len(self._paths):
            return None
        path, index = self._paths[self._next], self._next
        self._next += 1
        return Frame(read_picture(path), index, time.monotonic(), path.name)

    def close(self) -> None:
        self._closed = True


class VideoFile:
    """Every frame of a video file, as fast as they are taken.

    A file that ends before its container says is an error, raised after its last frame.
    """

    live = False

    def __init__(self, path: Path) -> None:
        if not os.path.isfile(path):
            raise SourceError(f"{path} is not a file")
        self.name = path.name
        self.fps: float | None = None
        self._path = path
        self._capture: Any = None
        self._recorded: Recorded | None = None
        self._count = 0
        self._closed = False
        self._reading = threading.Lock()

    def read(self) -> Frame | None:
        with self._reading:
            picture = None if self._closed else self._decode()
            if picture is None:
                self._closed = True
                self._release()
                return None
            self._count += 1
            return Frame(picture, self._count - 1, time.monotonic(), self.name)

    def close(self) -> None:
        self._closed = True
        # A reader that is at work releases the file itself: OpenCV's captures are not shared.
        if self._reading.acquire(blocking=False):
            self._release()
            self._reading.release()

    def _decode(self) -> NDArray[np.uint8] | None:
        import cv2

        try:
            if self._capture is None:
                check_video(self._path)
                with quiet_opencv():
                    self._capture = cv2.VideoCapture(vendor_path(self._path), cv2.CAP_FFMPEG)
                rate = self._capture.get(cv2.CAP_PROP_FPS)
                self.fps = rate if 0 < rate < 1000 else None
                declared = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
                if declared > 0:
                    self._recorded = Recorded(declared, self.fps or 25.0)
            ok, picture = self._capture.read()
        except cv2.error as error:
            raise SourceError(f"{self._path} cannot be decoded: {one_line(error)}") from error
        if ok and picture is not None:
            if self._recorded is not None:
                self._recorded.add(self._capture.get(cv2.CAP_PROP_POS_MSEC))
            return np.asarray(picture, np.uint8)
        self._release()
        if self._count == 0:
            raise SourceError(f"{self._path} is not a video that OpenCV can read")
        self._check_whole()
        return None

    def _check_whole(self) -> None:
        if self._recorded is None:
            return
        # The file's own sizes are exact; the number of frames is an estimate in many containers.
        cut_short = self._count < self._recorded.declared_frames and is_cut_short(self._path)
        shortfall = self._recorded.shortfall()
        if cut_short or shortfall:
            self._closed = True
            shortfall = shortfall or (
                f"after {self._count} of {self._recorded.declared_frames:.0f} frames"
            )
            raise SourceError(
                f"{self._path} breaks off {shortfall}: the file is cut short or damaged; copy it "
                "again, or repair it with ffmpeg"
            )

    def _release(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None
