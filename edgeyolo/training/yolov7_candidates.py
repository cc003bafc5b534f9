"""Which anchors of which cells YOLOv7 offers to a ground truth.

An anchor qualifies when no side differs by a factor of 4 or more; the cells are the one of
the centre and its nearest neighbours (3 cells), or all its neighbours (5 cells, auxiliary).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import torch
from torch import Tensor


class Neighbourhood(Enum):
    """How far from its own cell a ground truth reaches; the value is in cells."""

    THREE_CELLS = 0.5
    FIVE_CELLS = 1.0


class Candidates(NamedTuple):
    """Places of one level, in the official order. All (n,) int64.

    Attributes:
        picture: Index in the batch.
        anchor: Index of the anchor.
        row: Row of the cell.
        column: Column of the cell.
        truth: Row of the targets the place was offered to.
    """

    picture: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor
    truth: Tensor

    def take(self, chosen: Tensor, truth: Tensor) -> Candidates:
        """The places *chosen* (indices), for other ground truths."""
        return Candidates(
            self.picture[chosen],
            self.anchor[chosen],
            self.row[chosen],
            self.column[chosen],
            truth,
        )


def find_candidates(
    targets: Tensor,
    level_hw: tuple[int, int],
    anchors_cells: Tensor,
    *,
    anchor_threshold: float = 4.0,
    neighbourhood: Neighbourhood = Neighbourhood.THREE_CELLS,
) -> Candidates:
    """Candidates of one level.

    Args:
        targets: (T, 6) float32: picture, class, cx, cy, w, h normalised to the input.
        level_hw: Cells of the level.
        anchors_cells: (A, 2) width and height in cells.
        anchor_threshold: Largest ratio of sides, exclusive.
        neighbourhood: 3 or 5 cells.

    Returns:
        Ordered centre, left, up, right, down; within a group anchor by anchor, then by target.
    """
    height, width = level_hw
    size = torch.tensor([width, height], device=targets.device, dtype=targets.dtype)
    ratio = (targets[None, :, 4:6] * size) / anchors_cells[:, None]
    fits = torch.maximum(ratio, 1 / ratio).amax(dim=2) < anchor_threshold
    anchor, truth = fits.nonzero(as_tuple=True)
    centre_xy = targets[truth, 2:4] * size
    reach = neighbourhood.value
    near_low = (centre_xy % 1 < reach) & (centre_xy > 1)
    mirrored_xy = size - centre_xy
    near_high = (mirrored_xy % 1 < reach) & (mirrored_xy > 1)
    everywhere = torch.ones_like(near_low[:, 0])
    groups = torch.stack(
        (everywhere, near_low[:, 0], near_low[:, 1], near_high[:, 0], near_high[:, 1])
    )
    shifts_xy = reach * torch.tensor(
        [[0, 0], [1, 0], [0, 1], [-1, 0], [0, -1]], device=targets.device, dtype=targets.dtype
    )
    group, entry = groups.nonzero(as_tuple=True)
    cell_xy = (centre_xy[entry] - shifts_xy[group]).long()
    return Candidates(
        picture=targets[truth, 0].long()[entry],
        anchor=anchor[entry],
        row=cell_xy[:, 1].clamp(0, height - 1),
        column=cell_xy[:, 0].clamp(0, width - 1),
        truth=truth[entry],
    )


def candidates_per_level(
    targets: Tensor,
    raw: Sequence[Tensor],
    anchors_cells: Sequence[Tensor],
    *,
    anchor_threshold: float,
    neighbourhood: Neighbourhood,
) -> list[Candidates]:
    """Candidates of all levels *raw*, each (B, A, H, W, 5+C)."""
    return [
        find_candidates(
            targets,
            (level.shape[2], level.shape[3]),
            anchors,
            anchor_threshold=anchor_threshold,
            neighbourhood=neighbourhood,
        )
        for level, anchors in zip(raw, anchors_cells, strict=True)
    ]
