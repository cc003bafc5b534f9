"""Numbered layers: which run, and how long their results live."""

from __future__ import annotations

import weakref

import torch
from torch import Tensor, nn

from edgeyolo.models.architecture import Activation
from edgeyolo.models.layer_list import IMAGE, LayerListBuilder, Node, Schedule
from edgeyolo.models.layers import UnitStyle


def builder(width: float = 1.0) -> LayerListBuilder:
    return LayerListBuilder(UnitStyle(Activation.RELU), width=width, reparameterized=False)


def test_layers_are_numbered_in_the_order_of_the_calls() -> None:
    net = builder()
    first = net.conv(Node(IMAGE, 3), 8, 3)
    second = net.conv(first, 16)
    both = net.concat(second, first)
    assert (first.index, second.index, both.index) == (0, 1, 2)
    assert both.channels == 24
    assert net.sources == [(-1,), (0,), (1, 0)]


def test_width_multiple_rounds_channels_up_to_eight() -> None:
    net = builder(width=0.3)
    assert [net.channels(channels) for channels in (8, 32, 64, 1024)] == [8, 16, 24, 312]


def test_only_layers_that_an_output_needs_are_run() -> None:
    # 0 -> 1 -> 2, and 3 beside them.
    schedule = Schedule([(IMAGE,), (0,), (1,), (0,)], outputs=[2])
    assert [index for index, _, _ in schedule.steps] == [0, 1, 2]


class Doubling(nn.Module):
    """Remembers its result weakly."""

    def __init__(self) -> None:
        super().__init__()
        self.made: weakref.ref[Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        result = x * 2
        self.made = weakref.ref(result)
        return result


class Witness(nn.Module):
    """Counts how many earlier results are still alive when it runs."""

    def __init__(self, watched: list[Doubling]) -> None:
        super().__init__()
        self.watched = watched  # a plain list, not registered
        self.alive = -1

    def forward(self, x: Tensor) -> Tensor:
        self.alive = sum(
            module.made is not None and module.made() is not None for module in self.watched
        )
        return x + 1


def test_maps_are_dropped_after_their_last_reader_and_outputs_are_kept() -> None:
    chain = [Doubling() for _ in range(4)]
    witness = Witness(chain)
    layers = nn.ModuleList([*chain, witness])
    schedule = Schedule([(IMAGE,), (0,), (1,), (2,), (3,)], outputs=[1, 4])
    kept, last = schedule.run(layers, torch.ones(1))
    assert (kept.item(), last.item()) == (4, 17)
    assert witness.alive == 2  # its own input, and the map that was asked for
