"""How much each layer loses by INT8, and how much it gives back when left in float."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeyolo.calibration.block_sensitivity import BlockSensitivity
from edgeyolo.calibration.graph_facts import multiply_accumulates
from edgeyolo.calibration.settings import Batches
from edgeyolo.calibration.switched_graph import SwitchedGraph

if TYPE_CHECKING:
    import onnx

# Enough for an order of layers; more pictures move few ranks.
SENSITIVITY_PICTURES = 3
# So many of the noisiest layers are also tried the other way round: all but this one quantised.
_REGAIN_LAYERS = 24
# Boxes of a picture that are compared: those that may become detections.
_BEST_BOXES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSensitivity:
    """One convolution.

    Attributes:
        name: As in the source graph.
        noise_alone: Output noise with only this layer quantised; see :func:`output_noise`.
        noise_regained: How much less noise the fully quantised network has with this layer float;
            negative where errors of layers cancel; ``None`` where the layer is so quiet that it was
            not tried.
        work_share: Its share of the network's multiply-accumulates, 0..1.
    """

    name: str
    noise_alone: float
    noise_regained: float | None
    work_share: float

    @property
    def snr_alone_db(self) -> float:
        """Signal to noise of the outputs with only this layer quantised."""
        return decibel(self.noise_alone)

    @property
    def gain_per_cost(self) -> float:
        """Noise that leaving it float saves, per share of the work that becomes slower.

        The noise alone decides: what is regained depends on which errors happen to cancel on
        three pictures.
        """
        # Leaving a tiny layer float costs a pair of quantisers all the same.
        return self.noise_alone / max(self.work_share, 0.005)


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """All layers of a network.

    Attributes:
        layers: In graph order.
        noise: Output noise with all of them quantised.
        blocks: Accuracy block by block, where that was asked for.
    """

    layers: tuple[LayerSensitivity, ...]
    noise: float
    blocks: BlockSensitivity | None = None

    def regained_share(self, layer: LayerSensitivity) -> float | None:
        """Part of all noise that goes when *layer* is left float."""
        if layer.noise_regained is None or not self.noise:
            return None
        return layer.noise_regained / self.noise

    def order(self) -> list[LayerSensitivity]:
        """Layers to leave float, most gain per cost first."""
        return sorted(self.layers, key=lambda layer: (-layer.gain_per_cost, layer.name))

    def lines(self, most: int = 15) -> list[str]:
        """The table for people: the most sensitive layers first."""
        lines = [
            f"all layers in INT8: signal to noise of the outputs {decibel(self.noise):.1f} dB",
            f"{'alone':>8} {'regained':>9} {'work':>6}  layer",
        ]
        for layer in sorted(self.layers, key=lambda one: -one.noise_alone)[:most]:
            share = self.regained_share(layer)
            regained = f"{'-':>9}" if share is None else f"{100 * share:8.1f}%"
            lines.append(
                f"{layer.snr_alone_db:5.1f} dB {regained} {100 * layer.work_share:5.1f}%"
                f"  {layer.name}"
            )
        if len(self.layers) > most:
            lines.append(f"({len(self.layers) - most} layers less sensitive than these)")
        return lines if self.blocks is None else [*lines, *self.blocks.lines()]


def measure_sensitivity(
    graph: SwitchedGraph, source: onnx.ModelProto, batches: Batches
) -> Sensitivity:
    """Quantise each convolution alone, and all but each, and look at the outputs.

    Args:
        graph: With outputs ``boxes`` and ``scores``.
        source: The float graph that it was made of.
        batches: Pictures; three of them are used.
    """
    pictures = list(batches.sample(SENSITIVITY_PICTURES))
    wanted = [graph.run(pixels, {}) for pixels in pictures]

    def noise(switches: Mapping[str, bool]) -> float:
        found = (graph.run(pixels, switches) for pixels in pictures)
        return float(
            np.mean([output_noise(*one, *two) for one, two in zip(wanted, found, strict=True)])
        )

    everything = noise(graph.all_on())
    work = multiply_accumulates(source)
    total = sum(work.values())
    alone = {name: noise({name: True}) for name in graph.layers}
    noisiest = set(sorted(alone, key=lambda name: -alone[name])[:_REGAIN_LAYERS])
    layers = tuple(
        LayerSensitivity(
            name=name,
            noise_alone=alone[name],
            noise_regained=(
                everything - noise({**graph.all_on(), name: False}) if name in noisiest else None
            ),
            work_share=work.get(name, 0) / total,
        )
        for name in graph.layers
    )
    return Sensitivity(layers, everything)


def output_noise(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    other_boxes: NDArray[np.float32],
    other_scores: NDArray[np.float32],
) -> float:
    """Noise power over signal power of a detector's outputs, where it matters.

    Of each picture the 100 boxes with the best scores count: error of their scores against their
    scores, plus error of their corners against their sides.

    Args:
        boxes: (B, N, 4) of the float network.
        scores: (B, N, C) of the float network.
        other_boxes: Of the other network.
        other_scores: Likewise.
    """
    total = 0.0
    for index in range(len(boxes)):
        best = np.argsort(-scores[index].max(axis=1))[:_BEST_BOXES]
        a, b = scores[index][best].astype(np.float64), other_scores[index][best]
        total += float(np.sum((a - b) ** 2) / max(np.sum(a**2), 1e-12))
        box, other = boxes[index][best].astype(np.float64), other_boxes[index][best]
        side = np.maximum((box[:, 2:] - box[:, :2]).mean(axis=1, keepdims=True), 1.0)
        total += float(np.mean(((box - other) / side) ** 2))
    return total / len(boxes)


def decibel(noise: float) -> float:
    """Signal to noise in dB of a noise over signal ratio."""
    return -10.0 * math.log10(max(noise, 1e-12))
