"""Where batches come from, as the loop sees it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from edgeyolo.data.batch_formats import BATCH_FORMATS
from edgeyolo.data.batches import Batch
from edgeyolo.spec import Family


class BatchSource(Protocol):
    """Deterministic batches: the content depends on seed, epoch and position alone."""

    def __len__(self) -> int:
        """Batches of an epoch."""

    def epoch(self, epoch: int, *, start: int = 0, closing: bool = False) -> Iterator[Batch]:
        """The batches of *epoch* from number *start* on, as in the last epochs if *closing*."""


def on_device(batch: Batch, device: torch.device, family: Family) -> tuple[Tensor, Tensor]:
    """Pictures as the network wants them (float32; YOLOX 0..255, YOLOv7 0..1) and targets."""
    images = batch.images.to(device, non_blocking=True)
    if images.dtype == torch.uint8:
        images = images.float()
        divisor = BATCH_FORMATS[family].divisor
        if divisor != 1.0:
            images = images / divisor
    return images, batch.targets.to(device, non_blocking=True).float()
