"""How each family wants its training batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from edgeyolo.data.sample import Sample
from edgeyolo.data.yolov7_batches import YoloV7Batches
from edgeyolo.data.yolox_batches import YoloxBatches
from edgeyolo.spec import ColorOrder, Family


class BatchFormat(Protocol):
    """Pictures and targets of a family's batches."""

    @property
    def color_order(self) -> ColorOrder:
        """Of the pictures' channels."""

    @property
    def divisor(self) -> float:
        """Pixel values 0..255 are divided by this before they enter the network."""

    def targets(self, samples: list[Sample]) -> torch.Tensor:
        """The objects of a batch, float32; rows of the family's own kind."""

    def rows_px(
        self, targets: torch.Tensor, pictures: int, hw: tuple[int, int]
    ) -> list[NDArray[np.float32]]:
        """Per picture its rows class, cx, cy, w, h in pixels of the size *hw*."""

    def resized(
        self, targets: torch.Tensor, old_hw: tuple[int, int], hw: tuple[int, int]
    ) -> torch.Tensor:
        """*targets* after the pictures were resized from *old_hw* to *hw*."""

    def class_ids(self, targets: torch.Tensor) -> torch.Tensor:
        """The classes of all rows; a view of *targets*."""


BATCH_FORMATS: Mapping[Family, BatchFormat] = {
    Family.YOLOX: YoloxBatches(),
    Family.YOLOV7: YoloV7Batches(),
}
