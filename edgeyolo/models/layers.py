"""Building blocks that both families share.

Key names inside a state dict are the official ones: a conv unit is ``conv`` and ``bn``, a
depthwise unit ``dconv`` and ``pconv``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgeyolo.models.architecture import Activation

# Both families set these after construction, on every batch norm.
BN_EPS = 1e-3
BN_MOMENTUM = 0.03


@dataclass(frozen=True, slots=True)
class UnitStyle:
    """What all conv units of one network have in common.

    Attributes:
        activation: Behind every convolution.
        folded: Batch norms are folded: convolutions have a bias and no batch norm follows.
        chained_pools: Large stride-1 max pools are chains of 5x5 pools.
        merged_stem: Space-to-depth and the 3x3 convolution behind it are one 6x6 convolution.
    """

    activation: Activation
    folded: bool = False
    chained_pools: bool = False
    merged_stem: bool = False


def activation_layer(activation: Activation) -> nn.Module:
    """A new activation module; in place, since nothing else reads a convolution's output."""
    if activation is Activation.SILU:
        return nn.SiLU(inplace=True)
    if activation is Activation.RELU:
        return nn.ReLU(inplace=True)
    return nn.LeakyReLU(0.1, inplace=True)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BN_EPS, momentum=BN_MOMENTUM)


class ConvUnit(nn.Module):
    """Convolution, batch norm, activation; the batch norm is gone in the folded form."""

    def __init__(
        self,
        style: UnitStyle,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        *,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride,
            # "Same" size for odd kernels; 2 for the merged 6x6 stride-2 stem.
            padding=(kernel - 1) // 2,
            groups=groups,
            bias=style.folded,
        )
        self.bn = None if style.folded else batch_norm(out_channels)
        self.act = activation_layer(style.activation)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.bn is not None:
            x = self.bn(x)
        return self.act(x)  # type: ignore[no-any-return]


class DepthwiseUnit(nn.Module):
    """A k x k depthwise unit, then a 1x1 unit; each has its own batch norm and activation."""

    def __init__(
        self, style: UnitStyle, in_channels: int, out_channels: int, kernel: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.dconv = ConvUnit(style, in_channels, in_channels, kernel, stride, groups=in_channels)
        self.pconv = ConvUnit(style, in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pconv(self.dconv(x))  # type: ignore[no-any-return]


def space_to_depth(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, 4C, H/2, W/2): top-left, bottom-left, top-right, bottom-right pixels.

    YOLOX calls this Focus, YOLOv7 ReOrg; the order is the same.
    """
    return torch.cat(
        (x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]), dim=1
    )


class PyramidPools(nn.Module):
    """The input beside its 5x5, 9x9 and 13x13 stride-1 max pools, concatenated.

    Chained 5x5 pools give the same values (a maximum of maxima) with a quarter of the
    comparisons; ties would only route gradients elsewhere, so training keeps the parallel form.
    """

    def __init__(self, *, chained: bool) -> None:
        super().__init__()
        self.chained = chained
        sizes = (5, 5, 5) if chained else (5, 9, 13)
        # Without parameters, so these names never reach a state dict.
        self.m = nn.ModuleList(nn.MaxPool2d(size, 1, size // 2) for size in sizes)

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for pool in self.m:
            maps.append(pool(maps[-1] if self.chained else x))
        return torch.cat(maps, dim=1)
