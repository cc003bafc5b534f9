"""What each block of a network costs in accuracy: quantised alone, and as the only one in float."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.calibration.budget import Score, ScoreKind
from edgeyolo.calibration.switched_graph import BETWEEN, SwitchedGraph

# Two measurements of accuracy are made for each.
MOST_BLOCKS = 16

# (1, H, W, 3) uint8 pixels to boxes (1, N, 4) and scores (1, N, C).
Network = Callable[[NDArray[Any]], Sequence[NDArray[np.float32]]]
ScoreNetwork = Callable[[Network], Score]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockAccuracy:
    """Consecutive convolutions of one part of the network.

    Attributes:
        name: What the names of its layers have in common.
        layers: As in the source graph.
        alone: Score with only this block quantised.
        left_float: Score with everything but this block quantised.
    """

    name: str
    layers: tuple[str, ...]
    alone: float
    left_float: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSensitivity:
    """All blocks, in graph order.

    Attributes:
        kind: What the scores are.
        pictures: How many they were measured on.
        float_score: With nothing quantised.
        int8_score: With everything quantised.
        blocks: The last one holds the quantisers between the layers.
    """

    kind: ScoreKind
    pictures: int
    float_score: float
    int8_score: float
    blocks: tuple[BlockAccuracy, ...]

    def lost(self, block: BlockAccuracy) -> float:
        """What quantising only this block costs."""
        return self.float_score - block.alone

    def regained(self, block: BlockAccuracy) -> float:
        """What leaving only this block float gives back."""
        return block.left_float - self.int8_score

    def lines(self) -> list[str]:
        """The table for people."""
        return [
            f"{self.kind} on {self.pictures} pictures: float {self.float_score:.4f}, all in INT8 "
            f"{self.int8_score:.4f} (the Q/DQ graph)",
            f"{'lost alone':>10} {'regained':>9} {'layers':>6}  block",
            *(
                f"{self.lost(block):+10.4f} {self.regained(block):+9.4f} {len(block.layers):6d}"
                f"  {block.name}"
                for block in self.blocks
            ),
        ]


def measure_blocks(
    graph: SwitchedGraph,
    score: ScoreNetwork,
    progress: Callable[[str], None] = lambda _: None,
    most: int = MOST_BLOCKS,
) -> BlockSensitivity:
    """Score the network with every block quantised alone, and with all but every block.

    Args:
        score: Accuracy of a network; called twice a block and twice more.
        progress: Called with one line per block.
        most: Blocks of convolutions; one more holds the quantisers between them.
    """
    parts = {**blocks_of(graph.layers, most), BETWEEN: (BETWEEN,)}

    def score_with(switches: dict[str, bool]) -> Score:
        return score(lambda pixels: graph.run(pixels, switches))

    unquantised = score_with({})
    quantised = score_with(graph.all_on())
    blocks = []
    for name, layers in parts.items():
        alone = score_with(dict.fromkeys(layers, True)).value
        left_float = score_with({**graph.all_on(), **dict.fromkeys(layers, False)}).value
        own = () if name == BETWEEN else layers
        blocks.append(BlockAccuracy(name=name, layers=own, alone=alone, left_float=left_float))
        progress(f"{name}: {unquantised.kind} alone {alone:.4f}, left float {left_float:.4f}")
    return BlockSensitivity(
        kind=unquantised.kind,
        pictures=unquantised.pictures,
        float_score=unquantised.value,
        int8_score=quantised.value,
        blocks=tuple(blocks),
    )


def blocks_of(layers: Sequence[str], most: int = MOST_BLOCKS) -> dict[str, tuple[str, ...]]:
    """Block name -> its layers, in order.

    The block with the most layers is cut in two again and again: where the paths of neighbours
    have least in common, and of several such places in the one nearest its middle.
    """
    blocks = [list(layers)] if layers else []
    while len(blocks) < most and (largest := max(blocks, key=len, default=[])) and largest[1:]:
        middle = len(largest) / 2
        cut = min(
            range(1, len(largest)),
            key=lambda i: (len(_in_common(largest[i - 1 : i + 1])), abs(i - middle)),
        )
        place = blocks.index(largest)
        blocks[place : place + 1] = [largest[:cut], largest[cut:]]
    prefixes = ["/".join(_in_common(block)) for block in blocks]
    return {
        prefix if prefix and prefixes.count(prefix) == 1 else f"{block[0]} .. {block[-1]}": (
            tuple(block)
        )
        for prefix, block in zip(prefixes, blocks, strict=True)
    }


def _in_common(layers: Sequence[str]) -> list[str]:
    """The path that all of them begin with."""
    common = layers[0].split("/")
    for layer in layers[1:]:
        same = [one == two for one, two in zip(common, layer.split("/"), strict=False)]
        common = common[: same.index(False) if False in same else len(same)]
    return common
