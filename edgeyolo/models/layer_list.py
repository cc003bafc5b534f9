"""A network as a flat, numbered list of layers, written by calling block functions.

The official YOLOv7 files number every layer, also those without weights (``model.10`` is a
concatenation), and that numbering is all a file says about structure. Block functions like
``elan(net, x, ...)`` append to a :class:`LayerListBuilder` and hand nodes on, so that the code
reads like a network while the numbers come out by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeyolo.models.layers import ConvUnit, UnitStyle, space_to_depth

IMAGE = -1


@dataclass(frozen=True, slots=True)
class Node:
    """The output of one layer.

    Attributes:
        index: Number of the layer; -1 is the picture.
        channels: Channels of its output.
    """

    index: int
    channels: int


class Concat(nn.Module):
    """Channels of all inputs behind each other."""

    def forward(self, *maps: Tensor) -> Tensor:
        return torch.cat(maps, dim=1)


class Add(nn.Module):
    """The sum of two maps."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first + second


class Upsample(nn.Module):
    """Twice as high and wide, nearest neighbour."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


class SpaceToDepth(nn.Module):
    """Four times the channels at half the height and width."""

    def forward(self, x: Tensor) -> Tensor:
        return space_to_depth(x)


class LayerListBuilder:
    """Collects layers in order.

    Attributes:
        style: What all conv units have in common.
        width: Width multiple; channel counts given to the block functions are those of 1.0.
        reparameterized: RepConv blocks are built as their single 3x3 convolution.
    """

    def __init__(self, style: UnitStyle, *, width: float, reparameterized: bool) -> None:
        self.style = style
        self.width = width
        self.reparameterized = reparameterized
        self.modules: list[nn.Module] = []
        self.sources: list[tuple[int, ...]] = []

    def channels(self, channels: int) -> int:
        """Channels after the width multiple, a multiple of 8."""
        return math.ceil(channels * self.width / 8) * 8

    def append(self, module: nn.Module, channels: int, *inputs: Node) -> Node:
        """Add a layer that reads *inputs* and gives *channels* (counted as they are)."""
        self.modules.append(module)
        self.sources.append(tuple(node.index for node in inputs))
        return Node(len(self.modules) - 1, channels)

    def conv(self, x: Node, channels: int, kernel: int = 1, stride: int = 1) -> Node:
        """Convolution, batch norm, activation."""
        out = self.channels(channels)
        return self.append(ConvUnit(self.style, x.channels, out, kernel, stride), out, x)

    def concat(self, *nodes: Node) -> Node:
        return self.append(Concat(), sum(node.channels for node in nodes), *nodes)

    def add(self, first: Node, second: Node) -> Node:
        return self.append(Add(), first.channels, first, second)

    def upsample(self, x: Node) -> Node:
        return self.append(Upsample(), x.channels, x)

    def max_pool(self, x: Node, kernel: int, stride: int = 1) -> Node:
        """Stride 1 keeps the size; kernel 2 with stride 2 halves it."""
        padding = kernel // 2 if stride == 1 else 0
        return self.append(nn.MaxPool2d(kernel, stride, padding), x.channels, x)


class Schedule:
    """Which layers to run for certain outputs, and when a map is needed no more.

    Maps are dropped after their last reader, which keeps the peak memory of a 1280-pixel
    network down to the maps that are really alive.
    """

    def __init__(self, sources: list[tuple[int, ...]], outputs: Iterable[int]) -> None:
        self.outputs = tuple(outputs)
        needed = set(self.outputs)
        for index in range(len(sources) - 1, -1, -1):
            if index in needed:
                needed.update(sources[index])
        last_reader = {
            source: index
            for index, reads in enumerate(sources)
            if index in needed
            for source in reads
        }
        self.steps = tuple(
            (
                index,
                sources[index],
                tuple(
                    source
                    for source in dict.fromkeys(sources[index])
                    if last_reader[source] == index and source not in self.outputs
                ),
            )
            for index in range(len(sources))
            if index in needed
        )

    def run(self, layers: nn.ModuleList, picture: Tensor) -> list[Tensor]:
        """The wanted outputs, in the order they were asked for."""
        maps = {IMAGE: picture}
        for index, reads, finished in self.steps:
            maps[index] = layers[index](*(maps[source] for source in reads))
            for source in finished:
                del maps[source]
        return [maps[index] for index in self.outputs]
