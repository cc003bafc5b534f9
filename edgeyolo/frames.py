"""Checks a picture once, at the door."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# cv2.resize counts pixels of a side in 16 bits in its fast paths and fails beyond.
MAX_SIDE_PX = 32_766


def as_bgr(frame: NDArray[Any]) -> NDArray[np.uint8]:
    """The frame as three BGR channels that OpenCV can read.

    Args:
        frame: uint8 array: (H, W, 3) BGR; (H, W) or (H, W, 1) grey, repeated into three
            channels; (H, W, 4) BGRA, whose alpha is dropped. Any strides.

    Returns:
        (H, W, 3) uint8. The frame itself where OpenCV can read it in place (also a crop of a
        larger frame), otherwise a copy.

    Raises:
        ValueError: It is anything else.
    """
    if not isinstance(frame, np.ndarray):
        raise ValueError(
            f"a frame is a numpy array (H, W, 3) uint8 BGR, got {type(frame).__name__}"
            + ("; is the picture readable?" if frame is None else "")
        )
    if frame.dtype != np.uint8:
        raise ValueError(
            f"a frame is uint8 with values 0..255, got {frame.dtype}; convert it first"
        )
    if frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[2] not in (1, 3, 4)):
        raise ValueError(
            f"a frame is (H, W, 3) BGR, (H, W) grey or (H, W, 4) BGRA, got shape {frame.shape}"
        )
    height, width = frame.shape[:2]
    if not (1 <= height <= MAX_SIDE_PX and 1 <= width <= MAX_SIDE_PX):
        raise ValueError(f"a frame has 1 to {MAX_SIDE_PX} pixels per side, got {height}x{width}")
    if frame.ndim == 2:
        frame = frame[:, :, None]
    if frame.shape[2] == 1:
        return np.repeat(frame, 3, axis=2)
    if frame.shape[2] == 4:
        return np.ascontiguousarray(frame[:, :, :3])
    row_px, column_px, channel = frame.strides
    if channel == 1 and column_px == 3 and row_px >= 3 * width:
        return frame
    return np.ascontiguousarray(frame)
