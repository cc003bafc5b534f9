"""Training networks whose batch norms were folded away.

Some weight files hold convolutions with bias, or batch norms with the statistics 0 and 1 and the
bias as their shift. In eval mode that is the trained network; in train mode the first step would
normalise by the batch and destroy it. So the statistics that belong to the convolutions are
measured on pictures, and scale and shift are chosen to undo them: the network computes the same
in eval mode, and nearly the same in train mode.

Folded filters also have lost their size, which decides how far a step of SGD turns them: the
first ones of YOLOX, which see values up to 255, are a thousand times smaller than the others and
would be thrown away. What follows a normalised convolution does not depend on its size, so every
filter is first brought to the norm 1, and then layers whose gradient is large for their size are
enlarged until it is not: training does that too, by and by, since each step makes them longer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from edgeyolo.errors import TrainingError
from edgeyolo.models.architecture import Form
from edgeyolo.models.detector import Detector
from edgeyolo.models.zoo import build_architecture


def norms_are_neutral(model: nn.Module) -> bool:
    """Whether no batch norm of *model* has statistics of its own (or there is none)."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    return all(
        norm.running_mean is not None
        and norm.running_var is not None
        and bool((norm.running_mean == 0).all())
        and bool((norm.running_var == norm.running_var[0]).all())
        for norm in norms
    )


@torch.no_grad()
def with_neutral_norms(folded: Detector) -> Detector:
    """The network of *folded* with batch norms that do nothing but add the bias.

    Raises:
        TrainingError: *folded* has merged branches, which cannot be separated again.
    """
    architecture = folded.architecture
    if architecture.reparameterized or architecture.form is Form.EXPORT:
        raise TrainingError(
            "these weights are re-parameterised for a device and cannot be trained; "
            "start from the training form"
        )
    model = build_architecture(replace(architecture, folded=False)).eval()
    source, state = folded.state_dict(), model.state_dict()
    eps = {n: m.eps for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    for name, value in state.items():
        norm, _, last = name.rpartition(".")
        if norm in eps and last == "weight":
            value.fill_((1.0 + eps[norm]) ** 0.5)
        elif norm in eps and last == "bias":
            value.copy_(source[f"{norm.removesuffix('.bn')}.conv.bias"])
        elif norm not in eps:
            value.copy_(source[name])
    return model


@torch.no_grad()
def normalize_filters(model: nn.Module) -> None:
    """Bring the filters in front of neutral batch norms to the norm 1, outputs unchanged."""
    for conv, norm in normalized_convolutions(model):
        size = conv.weight.flatten(1).norm(dim=1).clamp(min=1e-12)
        conv.weight.div_(size[:, None, None, None])
        norm.weight.mul_(size)


def normalized_convolutions(model: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """The convolutions of *model* that a batch norm follows."""
    return [
        (conv, norm)
        for module in model.modules()
        for conv, norm in pairwise(module.children())
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    ]


@torch.no_grad()
def balance_filters(model: nn.Module) -> float:
    """Enlarge layers whose gradient, over their size, is above the median; outputs unchanged.

    Args:
        model: With measured norms and with gradients of a typical batch.

    Returns:
        The largest factor.
    """
    layers = normalized_convolutions(model)
    shares = []
    for conv, _ in layers:
        assert conv.weight.grad is not None
        shares.append(conv.weight.grad.norm() / conv.weight.norm())
    # Twice as long a filter has half the gradient, a quarter of it over its size.
    factors = (torch.stack(shares) / torch.stack(shares).median()).sqrt().clamp(min=1.0)
    for (conv, norm), factor in zip(layers, factors, strict=True):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        slope = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        conv.weight.mul_(factor)
        norm.running_mean.mul_(factor)
        norm.running_var.mul_(factor**2)
        norm.weight.copy_(slope / factor * torch.sqrt(norm.running_var + norm.eps))
    return float(factors.max())


@torch.no_grad()
def measure_norms(model: nn.Module, batches: Iterable[Tensor]) -> int:
    """Give every batch norm the statistics of its input, keeping what the network computes.

    Args:
        model: Changed in place; its eval outputs stay the same up to rounding.
        batches: Network inputs (B, 3, H, W), some tens of pictures in all.

    Returns:
        The number of pictures.

    Raises:
        TrainingError: There is no picture.
    """
    sums: dict[nn.BatchNorm2d, tuple[Tensor, Tensor, int]] = {}

    def add(norm: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        values = inputs[0].double()
        total, squares, count = sums.get(norm, (torch.zeros(()), torch.zeros(()), 0))
        sums[norm] = (
            total + values.sum(dim=(0, 2, 3)),
            squares + values.pow(2).sum(dim=(0, 2, 3)),
            count + values.numel() // values.shape[1],
        )

    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    handles = [norm.register_forward_hook(add) for norm in norms]
    was_training, pictures = model.training, 0
    model.eval()
    try:
        for batch in batches:
            model(batch)
            pictures += len(batch)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    if not pictures:
        raise TrainingError("no picture to measure batch statistics with")
    for norm, (total, squares, count) in sums.items():
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean = total / count
        variance = (squares / count - mean**2).clamp(min=0)
        slope = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        norm.bias.add_(slope * (mean - norm.running_mean.double()))
        norm.weight.copy_(slope * torch.sqrt(variance + norm.eps))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
    return pictures
