"""The state of a training as plain data, and a training put back into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from edgeyolo.errors import TrainingError
from edgeyolo.training.loop import Position, Trainer


def training_state(trainer: Trainer) -> dict[str, Any]:
    """Everything but the averaged weights that a resumed training needs: plain data, tensors."""
    place = trainer.position
    return {
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "average_updates": trainer.average.updates,
        # Gradients that wait for more batches before a step.
        # With several processes they are the mean over all of them (common_state.py).
        "gradients": {
            name: parameter.grad
            for name, parameter in trainer.model.named_parameters()
            if parameter.grad is not None
        },
        "position": {name: getattr(place, name) for name in Position.__dataclass_fields__},
    }


def restore(trainer: Trainer, average: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Put *trainer* where ``training_state`` was taken.

    Args:
        trainer: Freshly made with the same plan.
        average: State of the averaged model.
        state: What ``training_state`` gave.

    Raises:
        TrainingError: The state is of another network or another version.
    """
    try:
        trainer.model.load_state_dict(state["model"])
        trainer.average.load(dict(average), int(state["average_updates"]))
        trainer.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:  # empty where the precision has been changed since
            trainer.scaler.load_state_dict(state["scaler"])
        trainer.position = Position(**state["position"])
        # The recipe's patience may have been changed since.
        trainer.position.stopped_early = trainer.out_of_patience
        parameters = dict(trainer.model.named_parameters())
        for name, gradient in state["gradients"].items():
            parameters[name].grad = gradient.to(trainer.device).clone()
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise TrainingError(f"the checkpoint does not continue this training: {error}") from error
