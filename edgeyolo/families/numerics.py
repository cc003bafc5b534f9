"""Small numeric pieces that the families share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The logistic function without overflow for large negative logits."""
    # tanh saturates instead of overflowing, and numpy vectorises it.
    values: NDArray[np.float32] = np.tanh(logits * np.float32(0.5))
    values *= np.float32(0.5)
    values += np.float32(0.5)
    return values


def cell_grid(height: int, width: int) -> NDArray[np.float32]:
    """(H, W, 2) float32 of column, row of every cell."""
    columns, rows = np.meshgrid(
        np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    )
    return np.stack((columns, rows), axis=-1)


def corners(centre_xy: NDArray[np.float32], size_wh: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centres and sizes (..., 2) as corners x1 y1 x2 y2 (..., 4)."""
    half = size_wh * np.float32(0.5)
    return np.concatenate((centre_xy - half, centre_xy + half), axis=-1)
