"""Where one calibration picture comes from: a file, or a frame of a video."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgeyolo.errors import SourceError, one_line
from edgeyolo.opencv import quiet_opencv
from edgeyolo.picture_sizes import check_claimed_size
from edgeyolo.pictures import read_picture
from edgeyolo.vendor_paths import vendor_path
from edgeyolo.video_headers import check_video

# Of a long video this many frames, evenly spread, are looked at.
_MOST_VIDEO_FRAMES = 4096


class FrameSource(Protocol):
    """One picture."""

    def read(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 BGR.

        Raises:
            SourceError: It cannot be read.
        """

    def brightness(self) -> float:
        """Mean grey level 0..255."""

    def content_digest(self) -> bytes:
        """SHA-256 of what is on disk."""


@dataclass(frozen=True, slots=True)
class FileFrame:
    """A picture file."""

    path: Path

    def read(self) -> NDArray[np.uint8]:
        return read_picture(self.path)

    def brightness(self) -> float:
        import cv2

        # JPEG decodes to an eighth of its size in a fraction of the time.
        try:
            content = self.path.read_bytes()
            check_claimed_size(content)
            data = np.frombuffer(content, np.uint8)
            grey = cv2.imdecode(data, cv2.IMREAD_REDUCED_GRAYSCALE_8)
        except (OSError, ValueError, cv2.error) as error:
            raise SourceError(f"{self.path} is not a picture: {one_line(error)}") from error
        if grey is None:
            raise SourceError(f"{self.path} is not a picture, or it is damaged ({data.size} bytes)")
        return float(grey.mean())

    def content_digest(self) -> bytes:
        try:
            return hashlib.sha256(self.path.read_bytes()).digest()
        except OSError as error:
            raise SourceError(f"cannot read {self.path}: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """Frame *index* of a video."""

    path: Path
    index: int

    @classmethod
    def all_of(cls, path: Path) -> Iterator[VideoFrame]:
        """Frames of a video, evenly spread where it is long.

        Raises:
            SourceError: It cannot be opened or has no frames.
        """
        import cv2

        check_video(path)
        with quiet_opencv():
            capture = cv2.VideoCapture(vendor_path(path))
        try:
            count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        finally:
            capture.release()
        if count < 1:
            raise SourceError(f"{path} is not a video that OpenCV can read, or it has no frames")
        step = max(1, count // _MOST_VIDEO_FRAMES)
        return (cls(path, index) for index in range(0, count, step))

    def read(self) -> NDArray[np.uint8]:
        import cv2

        capture = _capture(self.path)
        if int(capture.get(cv2.CAP_PROP_POS_FRAMES)) != self.index:
            capture.set(cv2.CAP_PROP_POS_FRAMES, self.index)
        good, frame = capture.read()
        if not good or frame is None:
            raise SourceError(f"cannot read frame {self.index} of {self.path}")
        return np.asarray(frame, np.uint8)

    def brightness(self) -> float:
        return float(self.read()[::8, ::8].mean())

    def content_digest(self) -> bytes:
        total = hashlib.sha256(_file_digest(self.path))
        total.update(self.index.to_bytes(8, "little"))
        return total.digest()


@functools.lru_cache(maxsize=1)
def _capture(path: Path):  # type: ignore[no-untyped-def]
    """The one open video; frames are mostly read in order, and opening takes long."""
    import cv2

    check_video(path)
    with quiet_opencv():
        capture = cv2.VideoCapture(vendor_path(path))
    if not capture.isOpened():
        raise SourceError(f"{path} is not a video that OpenCV can read")
    return capture


@functools.lru_cache(maxsize=8)
def _file_digest(path: Path) -> bytes:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            total.update(block)
    return total.digest()
