"""Floating-point operations, counted the way the published tables were made.

The counting convention: every convolution costs two operations per multiply-accumulate, bias
not counted; every batch norm costs four per value (the tool of the time counted two
multiply-accumulates). Activations, pools, resizing, additions and decoding are free. Both
families published the inference network, so RepConv counts as its single 3x3 convolution and
auxiliary heads (see :mod:`edgeyolo.models.table`) are absent.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from edgeyolo.models.detector import Detector

_BATCH_NORM_OPS_PER_VALUE = 4


def count_gflops(model: Detector, input_hw: tuple[int, int]) -> float:
    """Operations of one picture, in units of 1e9.

    Args:
        model: On any device; build under ``torch.device("meta")`` to pay neither memory nor
            time. It is run once in the mode it is in.
        input_hw: Height and width of the input, in pixels.
    """
    total = 0

    def add_convolution(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        nonlocal total
        weight = module.weight
        assert isinstance(weight, Tensor)
        total += 2 * output.numel() * weight[0].numel()

    def add_batch_norm(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        nonlocal total
        total += _BATCH_NORM_OPS_PER_VALUE * output.numel()

    hooks = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(add_convolution))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_hook(add_batch_norm))
    try:
        with torch.no_grad():
            model(torch.zeros(1, 3, *input_hw, device=next(model.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
    return total / 1e9


def count_parameters(model: nn.Module) -> int:
    """Learnable numbers; running statistics of batch norms are not."""
    return sum(parameter.numel() for parameter in model.parameters())
