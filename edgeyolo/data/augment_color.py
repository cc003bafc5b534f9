"""Colour augmentation in HSV: YOLOX adds, YOLOv7 multiplies.

OpenCV's hue of uint8 pictures runs over 0..179.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


class HsvOffsets(NamedTuple):
    """What YOLOX adds to hue, saturation and value, whole numbers."""

    hue: int
    saturation: int
    value: int


class HsvGains(NamedTuple):
    """What YOLOv7 multiplies hue, saturation and value with."""

    hue: float
    saturation: float
    value: float


def draw_hsv_offsets(
    rng: np.random.Generator, most: tuple[float, float, float] = (5.0, 30.0, 30.0)
) -> HsvOffsets:
    """Uniform within +-*most*, each channel switched on with probability one half."""
    gains = rng.uniform(-1, 1, 3) * most
    gains *= rng.integers(0, 2, 3)
    return HsvOffsets(*gains.astype(np.int16).tolist())


def add_hsv(frame_bgr: Picture, offsets: HsvOffsets) -> Picture:
    """YOLOX: offsets added; hue wraps around, saturation and value are clipped."""
    hsv = cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2HSV)
    # Tables instead of int16 arithmetic over the picture: the same numbers, faster.
    levels = np.arange(256)
    tables = np.stack(
        (
            (levels + offsets.hue) % 180,
            np.clip(levels + offsets.saturation, 0, 255),
            np.clip(levels + offsets.value, 0, 255),
        ),
        axis=-1,
    ).astype(np.uint8)
    return _through_tables(hsv, tables)


def draw_hsv_gains(
    rng: np.random.Generator, most: tuple[float, float, float] = (0.015, 0.7, 0.4)
) -> HsvGains:
    """1 + uniform within +-*most*."""
    return HsvGains(*(rng.uniform(-1, 1, 3) * most + 1).tolist())


def multiply_hsv(frame_bgr: Picture, gains: HsvGains) -> Picture:
    """YOLOv7: channels multiplied; hue wraps around, saturation and value are clipped."""
    hsv = cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2HSV)
    levels = np.arange(256, dtype=np.float64)
    tables = np.stack(
        (
            (levels * gains.hue) % 180,
            np.clip(levels * gains.saturation, 0, 255),
            np.clip(levels * gains.value, 0, 255),
        ),
        axis=-1,
    ).astype(np.uint8)
    return _through_tables(hsv, tables)


def _through_tables(hsv: cv2.typing.MatLike, tables: Picture) -> Picture:
    changed = cv2.LUT(hsv, tables[None])
    return np.asarray(cv2.cvtColor(changed, cv2.COLOR_HSV2BGR), np.uint8)
