"""Whether a recording came to its end, or broke off."""

from __future__ import annotations

from dataclasses import dataclass

# Most containers give a length in seconds, of which OpenCV makes frames: with a changing rate, or
# sound that is longer than the picture, both are only nearly right.
_MISSING_SHARE = 0.1
_MISSING_S = 1.0


@dataclass(slots=True)
class Recorded:
    """What a recording declares, and what has come of it.

    Attributes:
        declared_frames: As OpenCV tells it; an estimate for Matroska, WebM, HLS and others.
        fps: Nominal rate, frames per second.
    """

    declared_frames: float
    fps: float
    _frames: int = 0
    _first_ms: float = 0.0
    _last_ms: float = 0.0

    def add(self, position_ms: float) -> None:
        """Count a frame; *position_ms* is its time in the recording."""
        if self._frames == 0:
            self._first_ms = position_ms
        self._frames += 1
        self._last_ms = position_ms

    def shortfall(self) -> str | None:
        """In words what is missing at the end, or ``None`` where it is as good as complete.

        Broken off is what lacks a second and a tenth of its length, in frames and by their times.
        """
        declared_s = self.declared_frames / self.fps
        # The last frame is shown for a while, too.
        played_s = (self._last_ms - self._first_ms) / 1e3 + 1 / self.fps
        missing_s = min(declared_s - played_s, declared_s - self._frames / self.fps)
        if missing_s <= max(_MISSING_S, _MISSING_SHARE * declared_s):
            return None
        return (
            f"after {self._frames} of {self.declared_frames:.0f} frames "
            f"({played_s:.1f} of {declared_s:.1f} s)"
        )
