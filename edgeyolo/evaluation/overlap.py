"""How much boxes overlap, on the host."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pairwise_iou(
    first_xyxy: NDArray[np.float64], second_xyxy: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(N, M) float64 intersection over union of every pair; 0 where both have no area."""
    low = np.maximum(first_xyxy[:, None, :2], second_xyxy[None, :, :2])
    high = np.minimum(first_xyxy[:, None, 2:], second_xyxy[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    first = (first_xyxy[:, 2:] - first_xyxy[:, :2]).prod(axis=1)
    second = (second_xyxy[:, 2:] - second_xyxy[:, :2]).prod(axis=1)
    union = first[:, None] + second[None] - shared
    overlap: NDArray[np.float64] = np.where(union > 0, shared / np.maximum(union, 1e-300), 0.0)
    return overlap
