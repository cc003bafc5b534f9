"""SGD with the three parameter groups of both families."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from edgeyolo.training.schedules import StepSettings


class ParameterGroups(NamedTuple):
    """Names of all trainable parameters, each in exactly one group.

    Attributes:
        no_decay: Weights of normalisation layers, and YOLOv7's implicit vectors.
        decay: All other weights, prediction layers included.
        biases: All biases, those of normalisation layers included; no decay.
    """

    no_decay: tuple[str, ...]
    decay: tuple[str, ...]
    biases: tuple[str, ...]


def parameter_groups(model: nn.Module) -> ParameterGroups:
    """Sort the parameters that require a gradient, in the order of the modules.

    Raises:
        ValueError: A parameter is neither a weight, a bias nor an implicit vector.
    """
    groups: tuple[list[str], list[str], list[str]] = ([], [], [])
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            full_name = f"{prefix}.{name}" if prefix else name
            if not parameter.requires_grad:
                continue
            if name == "bias":
                groups[2].append(full_name)
            elif name == "implicit" or isinstance(module, nn.modules.batchnorm._BatchNorm):
                groups[0].append(full_name)
            elif name == "weight":
                groups[1].append(full_name)
            else:
                raise ValueError(f"no parameter group is defined for {full_name}")
    return ParameterGroups(*(tuple(group) for group in groups))


def build_optimizer(
    model: nn.Module, *, lr: float, momentum: float, weight_decay: float
) -> torch.optim.SGD:
    """Nesterov SGD with groups in the order no decay, decay, biases.

    Args:
        model: Parameters that do not require a gradient are left out.
        lr: Initial learning rate of all groups.
        momentum: Initial momentum.
        weight_decay: Of the second group.
    """
    names = parameter_groups(model)
    parameters = dict(model.named_parameters())
    decays = (0.0, weight_decay, 0.0)
    return torch.optim.SGD(
        [
            {"params": [parameters[name] for name in group], "weight_decay": decay}
            for group, decay in zip(names, decays, strict=True)
        ],
        lr=lr,
        momentum=momentum,
        nesterov=True,
    )


def apply_settings(optimizer: torch.optim.Optimizer, settings: StepSettings) -> None:
    """Give the three groups their learning rates and the momentum."""
    for group, lr in zip(optimizer.param_groups, settings.lr, strict=True):
        group["lr"] = lr
        group["momentum"] = settings.momentum
