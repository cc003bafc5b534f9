"""Training batches as YOLOv7 wants them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from edgeyolo.data.sample import Sample, centres
from edgeyolo.spec import ColorOrder


class YoloV7Batches:
    """See :class:`~edgeyolo.data.batch_formats.BatchFormat`."""

    color_order = ColorOrder.RGB
    divisor = 255.0

    def targets(self, samples: list[Sample]) -> torch.Tensor:
        """(T, 6) float32 rows picture, class, cx, cy, w, h as parts of the picture's size."""
        return yolov7_targets(samples)

    def rows_px(
        self, targets: torch.Tensor, pictures: int, hw: tuple[int, int]
    ) -> list[NDArray[np.float32]]:
        rows, (height, width) = targets.numpy(), hw
        scale = np.array([1, width, height, width, height], np.float32)
        return [rows[rows[:, 0] == index, 1:] * scale for index in range(pictures)]

    def resized(
        self, targets: torch.Tensor, old_hw: tuple[int, int], hw: tuple[int, int]
    ) -> torch.Tensor:
        return targets  # parts of the size stay

    def class_ids(self, targets: torch.Tensor) -> torch.Tensor:
        return targets[..., 1]


def yolov7_targets(samples: list[Sample]) -> torch.Tensor:
    """(T, 6) float32 rows picture, class, cx, cy, w, h as parts of the picture's size."""
    rows = []
    for index, sample in enumerate(samples):
        size = np.array([sample.hw[1], sample.hw[0]] * 2, np.float64)
        picture = np.full((len(sample), 1), index)
        rows.append(
            np.concatenate(
                (picture, sample.class_ids[:, None], centres(sample.boxes_xyxy) / size), axis=1
            )
        )
    return torch.from_numpy(np.concatenate(rows).astype(np.float32))
