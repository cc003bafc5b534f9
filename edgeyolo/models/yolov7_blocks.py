"""The blocks of YOLOv7: ELAN, E-ELAN, SPPCSPC, MP-conv, DownC, RepConv.

Functions append several numbered layers to a network, classes are one layer with inner parts.
Source: arXiv 2207.02696 and the published behaviour of the official repository at a207844.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import torch
from torch import Tensor, nn

from edgeyolo.models.layer_list import LayerListBuilder, Node, SpaceToDepth
from edgeyolo.models.layers import (
    ConvUnit,
    PyramidPools,
    UnitStyle,
    activation_layer,
    batch_norm,
)


class Taps(Enum):
    """Which convolutions of an ELAN's chain reach its concatenation."""

    ALL = 1
    EVEN = 2


def elan(
    net: LayerListBuilder, x: Node, hidden: int, width: int, out: int, *, convs: int, taps: Taps
) -> Node:
    """Efficient layer aggregation: paths of different length side by side.

    Two 1x1 units look at the input; a chain of 3x3 units continues the second. The tapped
    outputs, newest first, then both 1x1 outputs are concatenated and mixed by a last 1x1 unit.
    """
    side = net.conv(x, hidden)
    start = net.conv(x, hidden)
    chain = [start]
    for _ in range(convs):
        chain.append(net.conv(chain[-1], width, 3))
    tapped = chain[taps.value :: taps.value]
    return net.conv(net.concat(*reversed(tapped), start, side), out)


class DoubleElan(NamedTuple):
    """Result of :func:`e_elan`.

    Attributes:
        total: The sum; what the network goes on with.
        second: The second ELAN alone; what the auxiliary heads of E6E read.
    """

    total: Node
    second: Node


def e_elan(
    net: LayerListBuilder, x: Node, hidden: int, width: int, out: int, *, convs: int, taps: Taps
) -> DoubleElan:
    """Extended ELAN: two complete ELANs on the same input, added.

    The paper draws a grouped convolution with shuffle and merge; two parallel blocks and a sum
    compute the same and are what the published weights hold.
    """
    first = elan(net, x, hidden, width, out, convs=convs, taps=taps)
    second = elan(net, x, hidden, width, out, convs=convs, taps=taps)
    return DoubleElan(total=net.add(second, first), second=second)


def mp_conv(net: LayerListBuilder, x: Node, out: int, *skip: Node) -> Node:
    """Halve the size by a max pool and by a strided convolution, side by side.

    Gives twice *out* channels, then those of *skip*.
    """
    pooled = net.conv(net.max_pool(x, 2, 2), out)
    strided = net.conv(net.conv(x, out), out, 3, 2)
    return net.concat(strided, pooled, *skip)


class DownC(nn.Module):
    """Halve the size: a strided 3x3 unit gives one half of the channels, a max pool the other."""

    def __init__(self, style: UnitStyle, in_channels: int, out_channels: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.cv1 = ConvUnit(style, in_channels, in_channels, 1)
        self.cv2 = ConvUnit(style, in_channels, half, 3, 2)
        self.cv3 = ConvUnit(style, in_channels, half, 1)
        self.mp = nn.MaxPool2d(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.cv2(self.cv1(x)), self.cv3(self.mp(x))), dim=1)


def down_c(net: LayerListBuilder, x: Node, out: int) -> Node:
    channels = net.channels(out)
    return net.append(DownC(net.style, x.channels, channels), channels, x)


def strided_conv(net: LayerListBuilder, x: Node, out: int) -> Node:
    return net.conv(x, out, 3, 2)


class Sppcspc(nn.Module):
    """Spatial pyramid pooling inside a cross-stage-partial block.

    One path goes through pools of three sizes, the other past them.
    """

    def __init__(self, style: UnitStyle, in_channels: int, out_channels: int) -> None:
        super().__init__()
        hidden = out_channels
        self.cv1 = ConvUnit(style, in_channels, hidden, 1)
        self.cv2 = ConvUnit(style, in_channels, hidden, 1)
        self.cv3 = ConvUnit(style, hidden, hidden, 3)
        self.cv4 = ConvUnit(style, hidden, hidden, 1)
        self.pools = PyramidPools(chained=style.chained_pools)
        self.cv5 = ConvUnit(style, 4 * hidden, hidden, 1)
        self.cv6 = ConvUnit(style, hidden, hidden, 3)
        self.cv7 = ConvUnit(style, 2 * hidden, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.cv6(self.cv5(self.pools(self.cv4(self.cv3(self.cv1(x))))))
        return self.cv7(torch.cat((pooled, self.cv2(x)), dim=1))  # type: ignore[no-any-return]


def sppcspc(net: LayerListBuilder, x: Node, out: int) -> Node:
    channels = net.channels(out)
    return net.append(Sppcspc(net.style, x.channels, channels), channels, x)


def plain_pyramid(net: LayerListBuilder, x: Node) -> Node:
    """YOLOv7-tiny's pools of 13, 9 and 5, then the input; single numbered layers."""
    if net.style.chained_pools:
        pool5 = net.max_pool(x, 5)
        pool9 = net.max_pool(pool5, 5)
        pool13 = net.max_pool(pool9, 5)
    else:
        pool5, pool9, pool13 = (net.max_pool(x, size) for size in (5, 9, 13))
    return net.concat(pool13, pool9, pool5, x)


class RepConv(nn.Module):
    """A 3x3 and a 1x1 convolution (and the input, where channels allow), summed.

    Re-parameterised it is one 3x3 convolution with bias.
    """

    def __init__(
        self, style: UnitStyle, in_channels: int, out_channels: int, *, reparameterized: bool
    ) -> None:
        super().__init__()
        self.act = activation_layer(style.activation)
        self.reparameterized = reparameterized
        if reparameterized:
            self.rbr_reparam = nn.Conv2d(in_channels, out_channels, 3, padding=1)
            return
        # The published widths never make both equal; narrow custom ones can.
        self.rbr_identity = batch_norm(in_channels) if in_channels == out_channels else None
        self.rbr_dense = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            batch_norm(out_channels),
        )
        self.rbr_1x1 = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, bias=False), batch_norm(out_channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.reparameterized:
            return self.act(self.rbr_reparam(x))  # type: ignore[no-any-return]
        y = self.rbr_dense(x) + self.rbr_1x1(x)
        if self.rbr_identity is not None:
            y = y + self.rbr_identity(x)
        return self.act(y)  # type: ignore[no-any-return]


def rep_conv(net: LayerListBuilder, x: Node, out: int) -> Node:
    channels = net.channels(out)
    block = RepConv(net.style, x.channels, channels, reparameterized=net.reparameterized)
    return net.append(block, channels, x)


def space_to_depth_stem(net: LayerListBuilder, picture: Node, out: int) -> Node:
    """Space to depth, then a 3x3 unit; a single 6x6 stride-2 unit in the export form."""
    if net.style.merged_stem:
        # Layer 0 stays as a place holder, so that all other layers keep their numbers.
        same = net.append(nn.Identity(), picture.channels, picture)
        return net.conv(same, out, 6, 2)
    return net.conv(net.append(SpaceToDepth(), 4 * picture.channels, picture), out, 3)
