"""Parts of a network that stay as they are, batch statistics included."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from edgeyolo.errors import TrainingError


def freeze(model: nn.Module, prefixes: Sequence[str]) -> None:
    """Take parameters whose names begin with one of *prefixes* out of the training.

    Raises:
        TrainingError: A prefix fits nothing, or nothing is left to train.
    """
    for prefix in prefixes:
        frozen = [p for n, p in model.named_parameters() if n.startswith(prefix)]
        if not frozen:
            tops = sorted({n.split(".")[0] for n, _ in model.named_parameters()})
            raise TrainingError(
                f"nothing to freeze under {prefix!r}; parameters start with: {', '.join(tops)}"
            )
        for parameter in frozen:
            parameter.requires_grad_(False)
    if not trained(model):
        raise TrainingError("everything is frozen; leave some parameters to train")


def trained(model: nn.Module) -> list[nn.Parameter]:
    """Parameters that are not frozen."""
    return [p for p in model.parameters() if p.requires_grad]


def to_train_mode(model: nn.Module, prefixes: Sequence[str]) -> None:
    """Training mode, except for the batch norms of frozen parts, which keep their statistics."""
    model.train()
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and any(
            f"{name}.".startswith(prefix) for prefix in prefixes
        ):
            module.eval()
