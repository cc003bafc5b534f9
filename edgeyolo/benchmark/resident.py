"""Frames that are in memory already, so that no decoder is measured."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeyolo.errors import SourceError
from edgeyolo.sources import Frame, connect, open_source


class ResidentFrames:
    """A source that repeats frames for so many seconds, as fast as they are taken.

    Args:
        frames_bgr: (H, W, 3) uint8 each, at least one.
        seconds: Counted from the first read.
    """

    name = "memory"
    live = False
    fps: float | None = None

    def __init__(self, frames_bgr: Sequence[NDArray[np.uint8]], seconds: float) -> None:
        self._frames_bgr = frames_bgr
        self._seconds = seconds
        self._ends_s: float | None = None
        self._index = 0

    def read(self) -> Frame | None:
        now_s = time.monotonic()
        if self._ends_s is None:
            self._ends_s = now_s + self._seconds
        if now_s >= self._ends_s:
            return None
        frame_bgr = self._frames_bgr[self._index % len(self._frames_bgr)]
        frame = Frame(frame_bgr, self._index, now_s, self.name)
        self._index += 1
        return frame

    def close(self) -> None:
        self._ends_s = 0.0


def first_frames(address: str, count: int) -> list[tuple[str, NDArray[np.uint8]]]:
    """Up to *count* frames of a source that can be read again, with their names.

    Raises:
        SourceError: It is live, empty or cannot be read.
    """
    source = open_source(address)
    connect([source])
    if source.live:
        source.close()
        raise SourceError(
            f"{source.name} is live: every artifact would see other frames; record it first, or "
            "name a video, a picture or a folder"
        )
    frames: list[tuple[str, NDArray[np.uint8]]] = []
    try:
        while len(frames) < count and (frame := source.read()) is not None:
            frames.append((frame.name, frame.bgr))
    finally:
        source.close()
    if not frames:
        raise SourceError(f"{source.name} has no frame")
    return frames
