"""Training batches as YOLOX wants them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from edgeyolo.data.sample import Sample, centres
from edgeyolo.spec import ColorOrder

# YOLOX keeps at most so many objects of a picture.
YOLOX_MOST_OBJECTS = 120


class YoloxBatches:
    """See :class:`~edgeyolo.data.batch_formats.BatchFormat`."""

    color_order = ColorOrder.BGR
    divisor = 1.0

    def targets(self, samples: list[Sample]) -> torch.Tensor:
        """(B, M, 5) float32 rows class, cx, cy, w, h in pixels; zero rows fill up."""
        return yolox_targets(samples)

    def rows_px(
        self, targets: torch.Tensor, pictures: int, hw: tuple[int, int]
    ) -> list[NDArray[np.float32]]:
        return [rows[rows[:, 3] > 0] for rows in targets.numpy()]

    def resized(
        self, targets: torch.Tensor, old_hw: tuple[int, int], hw: tuple[int, int]
    ) -> torch.Tensor:
        x, y = hw[1] / old_hw[1], hw[0] / old_hw[0]
        return targets * targets.new_tensor([1.0, x, y, x, y])

    def class_ids(self, targets: torch.Tensor) -> torch.Tensor:
        return targets[..., 0]


def yolox_targets(samples: list[Sample], most: int = YOLOX_MOST_OBJECTS) -> torch.Tensor:
    """(B, M, 5) float32 rows class, cx, cy, w, h in pixels; zero rows fill up."""
    targets = np.zeros((len(samples), most, 5), np.float32)
    for rows, sample in zip(targets, samples, strict=True):
        count = min(len(sample), most)
        rows[:count, 0] = sample.class_ids[:count]
        rows[:count, 1:] = centres(sample.boxes_xyxy[:count])
    return torch.from_numpy(targets)
