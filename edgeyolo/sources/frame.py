"""What a source of frames gives, and what it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgeyolo.spec import check_count

# FFmpeg advises against more than 16; each costs memory for a frame.
MAX_DECODE_THREADS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture with the moment it came in.

    Attributes:
        bgr: (H, W, 3) uint8; belongs to whoever holds the frame.
        index: Number of the frame within its source, from 0; frames lost on the way count.
        captured_s: ``time.monotonic()`` when it arrived.
        name: File name for pictures, otherwise the source's name.
    """

    bgr: NDArray[np.uint8]
    index: int
    captured_s: float
    name: str


class FrameSource(Protocol):
    """Frames one after the other.

    ``read`` is called from one thread; ``close`` may come from another and makes a waiting
    ``read`` return soon.
    """

    @property
    def name(self) -> str:
        """What to call it in messages, without credentials."""

    @property
    def live(self) -> bool:
        """Whether frames come at their own pace, so that a slow reader should skip some."""

    @property
    def fps(self) -> float | None:
        """Nominal frames per second, where known; for cameras and files after the first read."""

    def read(self) -> Frame | None:
        """The next frame; ``None`` after the last, or after ``close``.

        Raises:
            SourceError: It cannot be read.
        """

    def close(self) -> None:
        """Let go of the device or file."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How to treat cameras and network streams.

    Attributes:
        timeout_s: For opening, and longest silence before a stream counts as lost.
        reconnect_s: How long to try again once a live source is lost; 0 ends with an error at
            once.
        size_wh: Width and height to ask a camera for; it may give something else.
        fps: Frames per second to ask a camera for.
        decode_threads: Threads that decode a network stream (all but http). Each beyond the first
            makes every frame one frame interval older; more are for a stream that one or two
            cannot decode in time.
    """

    timeout_s: float = 10.0
    reconnect_s: float = 60.0
    size_wh: tuple[int, int] | None = None
    fps: float | None = None
    decode_threads: int = 2

    def __post_init__(self) -> None:
        if not self.timeout_s > 0:
            raise ValueError(f"timeout_s must be positive, got {self.timeout_s}")
        if not self.reconnect_s >= 0:
            raise ValueError(f"reconnect_s must not be negative, got {self.reconnect_s}")
        check_count("decode_threads", self.decode_threads, MAX_DECODE_THREADS)
