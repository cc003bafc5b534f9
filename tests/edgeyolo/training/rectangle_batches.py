"""The smallest data set that can be learned: bright rectangles of two kinds on noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from edgeyolo.data.batches import Batch
from edgeyolo.models.architecture import Activation, Architecture
from edgeyolo.models.zoo import VARIANTS
from edgeyolo.spec import Family


class RectangleBatches:
    """Batches that depend on (seed, epoch, position) alone, like the real ones.

    Args:
        family: Convention of pictures and targets.
        batch: Pictures of a batch over all ranks.
        batches: Of an epoch.
        side: Of the square pictures, in pixels.
        rank: This process; it gets its slice of each batch.
        ranks: Number of processes.
    """

    def __init__(
        self,
        family: Family,
        *,
        batch: int = 4,
        batches: int = 4,
        side: int = 64,
        rank: int = 0,
        ranks: int = 1,
        seed: int = 0,
    ) -> None:
        self.family = family
        self.batch = batch
        self.batches = batches
        self.side = side
        self.seed = seed
        share = batch // ranks
        self.own = slice(rank * share, (rank + 1) * share)

    def __len__(self) -> int:
        return self.batches

    def epoch(self, epoch: int, *, start: int = 0, closing: bool = False) -> Iterator[Batch]:
        for position in range(start, self.batches):
            yield self.make(epoch, position)

    def make(self, epoch: int, position: int) -> Batch:
        random = np.random.default_rng((self.seed, epoch, position))
        images = random.integers(60, 120, (self.batch, 3, self.side, self.side)).astype(np.float32)
        rows = []
        for picture in range(self.batch):
            for _ in range(2):
                kind = int(random.integers(2))
                w, h = random.integers(self.side // 6, self.side // 2, 2)
                x, y = random.integers(0, self.side - w), random.integers(0, self.side - h)
                images[picture, kind, y : y + h, x : x + w] = 250.0
                rows.append([picture, kind, x + w / 2, y + h / 2, w, h])
        table = torch.tensor(rows, dtype=torch.float32)
        first, last = self.own.start, self.own.stop
        pictures = torch.from_numpy(images)[first:last]
        if self.family is Family.YOLOX:
            targets = table[:, 1:].reshape(self.batch, 2, 5)[first:last]
            return Batch(pictures, torch.cat((targets, torch.zeros(len(targets), 1, 5)), dim=1))
        mine = table[(table[:, 0] >= first) & (table[:, 0] < last)]
        mine[:, 0] -= first
        mine[:, 2:] /= self.side
        return Batch(pictures / 255.0, mine)


def mini_yolox(num_classes: int = 2) -> Architecture:
    """A YOLOX of an eighth of the width: 0.1 million parameters."""
    return Architecture(
        family=Family.YOLOX,
        variant="custom",
        graph="yolox",
        num_classes=num_classes,
        depth=0.33,
        width=0.125,
        depthwise=True,
        activation=Activation.SILU,
        anchors_px=None,
    )


def mini(family: Family) -> Architecture:
    """The smallest trainable network of a family."""
    return mini_yolox() if family is Family.YOLOX else mini_yolov7()


def mini_yolov7(graph: str = "tiny", num_classes: int = 2) -> Architecture:
    """A YOLOv7 of an eighth of the width, training form."""
    published = VARIANTS[f"yolov7-{graph}"].architecture
    return replace(published, width=0.125, num_classes=num_classes, variant="custom")
