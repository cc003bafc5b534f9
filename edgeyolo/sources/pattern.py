"""A moving test picture that needs no camera."""

from __future__ import annotations

import re
import threading
import time

import numpy as np
from numpy.typing import NDArray

from edgeyolo.errors import SourceError
from edgeyolo.sources.frame import Frame

_FORM = re.compile(r"pattern(?::(\d+)x(\d+))?(?:@(\d+(?:\.\d+)?))?(?:#(\d+))?")


class Pattern:
    """Colour gradients with a square that wanders and a counter.

    Args:
        text: ``pattern[:WIDTHxHEIGHT][@FPS][#FRAMES]``; 1280x720 without end by default. With
            ``@FPS`` frames come at that pace and the source is live, like a camera.

    Raises:
        SourceError: *text* is not of that form.
    """

    def __init__(self, text: str) -> None:
        match = _FORM.fullmatch(text)
        width, height = (int(match[1] or 1280), int(match[2] or 720)) if match else (0, 0)
        if match is None or not (16 <= width <= 8192 and 16 <= height <= 8192):
            raise SourceError(
                f"{text!r} is no test pattern; write pattern:1280x720@30#100 "
                "(16..8192 pixels, frames per second, frames; each may be left out)"
            )
        self.name = text
        self.fps = float(match[3]) if match[3] else None
        if self.fps == 0:
            raise SourceError(f"{text!r}: a test pattern at 0 frames per second never moves")
        self.live = self.fps is not None
        self._frames = int(match[4]) if match[4] else None
        self._background = _gradient(height, width)
        self._index = 0
        self._started_s: float | None = None
        self._closed = threading.Event()

    def read(self) -> Frame | None:
        if self._closed.is_set() or self._index == self._frames:
            return None
        if self.fps is not None:
            now_s = time.monotonic()
            if self._started_s is None:
                self._started_s = now_s
            # Like a camera: whoever comes late has missed the frames in between.
            self._index = max(self._index, int((now_s - self._started_s) * self.fps))
            if self._frames is not None and self._index >= self._frames:
                return None
            wait_s = self._started_s + self._index / self.fps - now_s
            if wait_s > 0 and self._closed.wait(wait_s):
                return None
        frame = Frame(self._draw(self._index), self._index, time.monotonic(), self.name)
        self._index += 1
        return frame

    def close(self) -> None:
        self._closed.set()

    def _draw(self, index: int) -> NDArray[np.uint8]:
        import cv2

        picture = self._background.copy()
        height, width = picture.shape[:2]
        side = min(height, width) // 4
        x = round((width - side) * (0.5 + 0.5 * np.sin(index / 29)))
        y = round((height - side) * (0.5 + 0.5 * np.sin(index / 17)))
        cv2.rectangle(picture, (x, y), (x + side, y + side), (40, 220, 250), cv2.FILLED)
        scale = height / 400
        place = (round(10 * scale), round(30 * scale))
        cv2.putText(picture, str(index), place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1)
        return picture


def _gradient(height: int, width: int) -> NDArray[np.uint8]:
    picture = np.empty((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(30, 200, width, dtype=np.uint8)
    picture[..., 1] = np.linspace(30, 160, height, dtype=np.uint8)[:, None]
    picture[..., 2] = 60
    return picture
