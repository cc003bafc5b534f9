"""Cell coordinates as a tensor."""

from __future__ import annotations

import torch
from torch import Tensor


def cell_grid(height: int, width: int) -> Tensor:
    """(2, H, W) float32: column, then row, of every cell, from 0."""
    rows, columns = torch.meshgrid(
        torch.arange(height, dtype=torch.float32),
        torch.arange(width, dtype=torch.float32),
        indexing="ij",
    )
    return torch.stack((columns, rows))
