"""The moving average of the weights, which is what gets evaluated and saved."""

from __future__ import annotations

import copy
import math
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

_RAMP_UPDATES = 2000.0
_Model = TypeVar("_Model", bound=nn.Module)


def decay_at(updates: int, decay: float) -> float:
    """Decay used by the update number *updates* (the first is 1)."""
    return decay * (1 - math.exp(-updates / _RAMP_UPDATES))


class MovingAverage(Generic[_Model]):
    """Averages parameters and batch statistics; everything else is copied.

    Anchors are buffers that must stay exact, so they are copied, where the originals
    average them with themselves.

    Attributes:
        model: The averaged copy, in eval mode, without gradients.
        updates: How often it was updated.
    """

    def __init__(self, model: _Model, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"EMA decay must be in [0, 1), got {decay}")
        self.model = copy.deepcopy(model).eval()
        self.model.requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards *model*, whose state must have the names of the copy's."""
        self.updates += 1
        decay = decay_at(self.updates, self.decay)
        averaged, current = [], []
        source = model.state_dict()
        parameters = {name for name, _ in self.model.named_parameters()}
        for name, value in self.model.state_dict().items():
            if name in parameters or name.endswith((".running_mean", ".running_var")):
                averaged.append(value)
                current.append(source[name])
            else:
                value.copy_(source[name])
        torch._foreach_mul_(averaged, decay)
        torch._foreach_add_(averaged, current, alpha=1 - decay)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged state, with the model's own names."""
        return self.model.state_dict()

    def load(self, state: dict[str, Tensor], updates: int) -> None:
        """Go on from a saved average."""
        self.model.load_state_dict(state)
        self.updates = updates
