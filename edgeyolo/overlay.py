"""What the camera view shows beside the boxes: rates, ages, stage times."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from edgeyolo.drawing import draw, draw_label
from edgeyolo.stream import StreamResult

_WINDOW = 30


class Overlay:
    """Annotates stream results and keeps the running rate; one for each source."""

    def __init__(self) -> None:
        self._moments_s: deque[float] = deque(maxlen=_WINDOW)

    @property
    def fps(self) -> float:
        """Results per second over the last 30."""
        if len(self._moments_s) < 2:
            return 0.0
        seconds = self._moments_s[-1] - self._moments_s[0]
        return (len(self._moments_s) - 1) / seconds if seconds > 0 else 0.0

    def draw(self, result: StreamResult) -> NDArray[np.uint8]:
        """An annotated copy of the result's frame."""
        self._moments_s.append(result.captured_s + result.frame_age_ms / 1e3)
        picture_bgr = draw(result.frame_bgr, result.detections)
        bottom = picture_bgr.shape[0]
        for line in reversed(self.lines(result)):
            draw_label(picture_bgr, line, (0, bottom))
            bottom -= _line_height(picture_bgr)
        return picture_bgr

    def lines(self, result: StreamResult) -> list[str]:
        """The text: rate, age and drops; then milliseconds per stage."""
        stages = result.stages_ms
        return [
            f"{self.fps:.1f} fps  age {result.frame_age_ms:.0f} ms  dropped {result.dropped}",
            f"letterbox {stages.prepare:.1f}  network {stages.network:.1f}  "
            f"suppress {stages.finish:.1f} ms",
        ]


def _line_height(picture_bgr: NDArray[np.uint8]) -> int:
    height, width = picture_bgr.shape[:2]
    return max(16, round(0.045 * min(int(height), int(width))))
