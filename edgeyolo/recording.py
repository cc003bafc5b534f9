"""Keeps what a stream showed: video, JSON lines, snapshots."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from edgeyolo.atomic import write_bytes
from edgeyolo.errors import OutputError, one_line
from edgeyolo.opencv import quiet_opencv
from edgeyolo.pictures import encode_picture
from edgeyolo.stream import StreamResult
from edgeyolo.vendor_paths import vendor_path

# Container suffix -> codec that OpenCV's own FFmpeg can always write.
_CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}
# A camera that was away for longer is shown still for so long.
_LONGEST_GAP_S = 10.0


class VideoRecorder:
    """Writes pictures into a video file that gets its name when it is complete.

    Args:
        path: ``.mp4``, ``.avi`` or ``.mkv``.
        fps: Frames per second of the file.

    Raises:
        OutputError: Another suffix, or the file cannot be written.
    """

    def __init__(self, path: Path, fps: float) -> None:
        if path.suffix.lower() not in _CODECS:
            raise OutputError(f"{path} is no video name; use {', '.join(_CODECS)}")
        self._path = path
        self._part = path.with_name(f".{path.stem}.part{path.suffix}")
        self._fps = fps
        self._writer: Any = None
        self._size_wh = (0, 0)
        self._shown_until_s: float | None = None
        self._latest_bgr: NDArray[np.uint8] | None = None

    def write(self, picture_bgr: NDArray[np.uint8], *, at_s: float | None = None) -> None:
        """Add one picture; a picture of another size than the first is resized.

        Args:
            picture_bgr: (H, W, 3) uint8.
            at_s: When it was taken, on any clock that does not go back. The video then plays as
                fast as life: a picture is held until the next one, and one that comes too early
                for the rate of the file is left out. Without it, every picture is one frame.
        """
        import cv2

        if self._writer is None:
            self._open(picture_bgr.shape[1], picture_bgr.shape[0])
        if (picture_bgr.shape[1], picture_bgr.shape[0]) != self._size_wh:
            picture_bgr = np.asarray(cv2.resize(picture_bgr, self._size_wh), np.uint8)
        for frame_bgr in self._due(picture_bgr, at_s):
            self._writer.write(frame_bgr)

    def _due(self, picture_bgr: NDArray[np.uint8], at_s: float | None) -> list[NDArray[np.uint8]]:
        """The frames up to this picture."""
        latest, self._latest_bgr = self._latest_bgr, picture_bgr
        if at_s is None or latest is None or self._shown_until_s is None:
            self._shown_until_s = at_s
            return [picture_bgr]
        self._shown_until_s = max(self._shown_until_s, at_s - _LONGEST_GAP_S)
        count = round((at_s - self._shown_until_s) * self._fps)
        self._shown_until_s += count / self._fps
        return [latest] * (count - 1) + [picture_bgr] * min(count, 1)

    def close(self) -> None:
        """Finish the file; without any picture there is none."""
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        try:
            self._part.replace(self._path)
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {one_line(error)}") from error

    def __enter__(self) -> VideoRecorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Also after an error or Ctrl-C: what was recorded until then is a whole video.
        self.close()

    def _open(self, width: int, height: int) -> None:
        import cv2

        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {one_line(error)}") from error
        code = cv2.VideoWriter.fourcc(*_CODECS[self._path.suffix.lower()])
        self._size_wh = (width, height)
        with quiet_opencv():
            self._writer = cv2.VideoWriter(vendor_path(self._part), code, self._fps, self._size_wh)
        if not self._writer.isOpened():
            self._writer = None
            self._part.unlink(missing_ok=True)
            raise OutputError(f"cannot write a video of {width}x{height} to {self._path}")


def check_not_source(target: Path, source: Path) -> None:
    """Raise ``OutputError`` where writing *target* would overwrite *source*, which is read."""
    if target.exists() and target.samefile(source):
        raise OutputError(
            f"{target} is what is read and would be overwritten; choose another place"
        )


class DetectionLog:
    """Appends one JSON object per frame to a text file, flushed line by line."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: TextIO = path.open("w", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write {path}: {one_line(error)}") from error
        self._path = path

    def write(self, result: StreamResult) -> None:
        """Raises OutputError when the disk is full."""
        try:
            self._file.write(json_line(result) + "\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {one_line(error)}") from error

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> DetectionLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def json_line(result: StreamResult) -> str:
    """One frame as JSON: boxes as x1, y1, x2, y2 in pixels of the frame."""
    return json.dumps(
        {
            "source": result.source_index,
            "frame": result.frame_index,
            "name": result.name,
            "height": result.frame_bgr.shape[0],
            "width": result.frame_bgr.shape[1],
            "frame_age_ms": round(result.frame_age_ms, 2),
            "dropped": result.dropped,
            "stages_ms": {key: round(ms, 3) for key, ms in result.stages_ms._asdict().items()},
            "detections": result.detections.as_dicts(),
        },
        ensure_ascii=False,
    )


def save_snapshot(folder: Path, picture_bgr: NDArray[np.uint8]) -> Path:
    """Write a PNG named after the time of day; returns its path."""
    now_s = time.time()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now_s))
    path = folder / f"snapshot-{stamp}-{round(now_s * 1000) % 1000:03d}.png"
    write_bytes(path, encode_picture(picture_bgr, ".png"))
    return path
