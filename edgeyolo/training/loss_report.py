"""What every loss hands back, and how several processes agree on its denominators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

SumOverRanks = Callable[[Tensor], Tensor]


def alone(value: Tensor) -> Tensor:
    """The sum over ranks where there is only one."""
    return value


@dataclass(frozen=True, slots=True)
class LossReport:
    """A loss and its parts.

    Attributes:
        total: Scalar to call ``backward`` on. With several processes the mean of the ranks'
            gradients (what DDP computes) is the gradient of the whole batch.
        parts: Detached scalars for the log, summed over this rank's pictures and divided by
            the denominators of the whole batch; the parts of all ranks add up.
        positives: Predictions that were matched with a ground truth, on this rank.
    """

    total: Tensor
    parts: Mapping[str, Tensor]
    positives: int

    def __post_init__(self) -> None:
        if self.total.ndim:
            raise ValueError(f"a loss must be a scalar, got shape {tuple(self.total.shape)}")

    @property
    def finite(self) -> bool:
        return bool(torch.isfinite(self.total))
