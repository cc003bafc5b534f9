"""Training at changing sizes: a batch is resized after loading, where the network runs."""

from __future__ import annotations

import numpy as np
import torch

from edgeyolo.data.batch_formats import BATCH_FORMATS
from edgeyolo.spec import Family

STRIDE = 32


def yolox_size(
    seed: int,
    step: int,
    nominal_hw: tuple[int, int],
    *,
    multiples: tuple[int, int] = (15, 25),
    every: int = 10,
) -> tuple[int, int]:
    """Size of the batch of training step *step*: new every *every* steps, the same on all ranks.

    Args:
        seed: Of the run.
        step: From 0, over all epochs; the first *every* steps use the nominal size.
        nominal_hw: Size the batches are loaded with; its aspect ratio is kept.
        multiples: Smallest and largest shorter side in units of 32 pixels; (15, 25) is 480..800,
            (10, 20) is the choice of nano and tiny.
        every: Steps between changes.
    """
    period = step // every
    if period == 0:
        return nominal_hw
    rng = np.random.default_rng((seed, 1, period))
    units = int(rng.integers(multiples[0], multiples[1] + 1))
    # The width is drawn and the height follows, as in the original.
    aspect = nominal_hw[1] / nominal_hw[0]
    return STRIDE * units, STRIDE * max(int(units * aspect), 1)


def yolov7_size(
    seed: int, step: int, nominal_hw: tuple[int, int], stride: int = STRIDE
) -> tuple[int, int]:
    """Half to one and a half times the nominal size, new in every step."""
    rng = np.random.default_rng((seed, 2, step))
    factor = rng.uniform(0.5, 1.5)
    height, width = (max(int(side * factor) // stride, 1) * stride for side in nominal_hw)
    return height, width


def resize_batch(
    images: torch.Tensor, targets: torch.Tensor, hw: tuple[int, int], family: Family
) -> tuple[torch.Tensor, torch.Tensor]:
    """Float images (B, 3, H, W) resized bilinearly to *hw*, and their targets."""
    old_hw = (images.shape[2], images.shape[3])
    if old_hw == hw:
        return images, targets
    images = torch.nn.functional.interpolate(images, hw, mode="bilinear", align_corners=False)
    return images, BATCH_FORMATS[family].resized(targets, old_hw, hw)
