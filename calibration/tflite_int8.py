"""INT8 for TFLite: 8-bit weights and activations that keep the accuracy of YOLOX and YOLOv7.

Stock quantisation takes YOLOX-Nano from 28.7 to 18.9 AP. What is done here instead:

* channels of a tensor are made alike before they share a scale (``tflite_equalize``);
* ranges minimise the error behind SiLU, where everything below -8 is the same;
* biases are corrected operator by operator (``tflite_bias``);
* prediction convolutions and the decode stay float, unless every operator must be an integer one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeyolo.calibration.ranges import RangeEstimator
from edgeyolo.calibration.settings import Batches, Int8Settings
from edgeyolo.calibration.tflite_bias import correct_biases, pictures_for
from edgeyolo.calibration.tflite_channels import find_channels
from edgeyolo.calibration.tflite_emit import LOGISTIC, PIXELS_INT8, emit
from edgeyolo.calibration.tflite_equalize import FAR, Equalized, equalize, gate_input
from edgeyolo.calibration.tflite_plan import Plan, make_plan
from edgeyolo.calibration.tflite_ranges import (
    GATE_RANGE,
    activation_function,
    identity,
    quantization,
    tensor_range,
)
from edgeyolo.calibration.tflite_samples import (
    TensorSamples,
    collect,
    sampled_tensors,
)
from edgeyolo.tflite.graph import DECODE, Graph, Kind, Quantization

# Clipping what hardly ever occurs beats any fixed rule here.
DEFAULT_ESTIMATOR = RangeEstimator.MSE
# The noise of a prediction may grow by this factor where multiplications near the outputs are
# left out. Of official YOLOX-Nano it grows by 1.07 at most, and AP does not change; of a detector
# of eight symbols by 1.30, which is 3 AP.
AFFORDABLE = 1.1


def quantize_tflite(
    graph: Graph,
    batches: Batches,
    settings: Int8Settings,
    *,
    full_integer: bool = False,
) -> Graph:
    """An int8 graph with the inputs and outputs of the float one.

    Args:
        graph: Float, as lowered, uint8 pixels in; DECODED outputs, or RAW for *full_integer*.
        batches: Calibration pictures.
        settings: Range estimator; convolutions to leave in float.
        full_integer: Every operator in int8, the raw heads too: for integer-only accelerators.

    Raises:
        UnsupportedError: A layer to leave in float is not in the graph.
        MissingPackageError: torch or LiteRT is not installed.
    """
    calibration = TfliteCalibration(graph, batches, settings.estimator)
    return calibration.quantize(settings.float_layers, full_integer=full_integer)


class TfliteCalibration:
    """What the pictures say of a graph; observed once, used for any choice of float layers.

    Args:
        graph: Float, as lowered.
        batches: Calibration pictures.
        estimator: How ranges are found.
        far: See :data:`edgeyolo.calibration.tflite_equalize.FAR`; ``None`` for what the pictures
            say (:data:`AFFORDABLE`).
        samples: Of an earlier calibration with the same graph and pictures, to spare a look.
    """

    def __init__(
        self,
        graph: Graph,
        batches: Batches,
        estimator: RangeEstimator = DEFAULT_ESTIMATOR,
        *,
        far: int | None = None,
        samples: Mapping[str, TensorSamples] | None = None,
    ) -> None:
        self.estimator = estimator
        self.samples = samples or collect(graph, batches, sampled_tensors(graph))
        self.pixels = np.concatenate(list(batches.sample(pictures_for(graph))))
        self._equalize(graph, 0 if far is None else far)
        if far is None:
            self._save_time(graph)

    def _equalize(self, graph: Graph, far: int) -> None:
        self.equalized = equalize(graph, self.samples, self.estimator, far=far)
        self.ranges = _ranges(graph, self.samples, self.equalized, self.estimator)

    def _save_time(self, graph: Graph) -> None:
        """Leave out multiplications near the outputs if the predictions are as good without."""
        thorough, gates = (self.equalized, self.ranges), len(self.equalized.factors)
        before = self._prediction_noise()
        self._equalize(graph, FAR)
        if len(self.equalized.factors) == gates:
            return
        after = self._prediction_noise()
        if any(after[name] > AFFORDABLE * noise for name, noise in before.items()):
            self.equalized, self.ranges = thorough

    def _prediction_noise(self) -> dict[str, float]:
        graph = self.equalized.graph
        plan = make_plan(graph, float_sources=(DECODE,))
        activations = _activations(graph, plan, self.ranges)
        return correct_biases(graph, plan, activations, self.pixels).noise

    def quantize(
        self, float_layers: frozenset[str] = frozenset(), *, full_integer: bool = False
    ) -> Graph:
        """An int8 graph; see :func:`quantize_tflite`."""
        graph = self.equalized.graph
        plan = make_plan(
            graph,
            float_layers=float_layers,
            float_sources=(DECODE,),
            quantize_heads=full_integer,
        )
        activations = _activations(graph, plan, self.ranges)
        corrected = correct_biases(graph, plan, activations, self.pixels)
        return emit(
            graph, plan, activations, corrected.convolutions, float_biases=corrected.float_biases
        )


def _ranges(
    graph: Graph,
    samples: Mapping[str, TensorSamples],
    equalized: Equalized,
    estimator: RangeEstimator,
) -> dict[str, tuple[float, float]]:
    """Range of every tensor that is not tied to others, in the equalised graph."""
    channels = find_channels(graph)
    ranges = dict(equalized.ranges)
    for raw, seen in samples.items():
        branch = channels.branches.get(raw)
        if branch is None:
            # A prediction, or a sum: its channels are divided as those of its parts.
            scaled = _divided(graph, seen, channels.parts.get(raw, ()), equalized)
            ranges[raw] = tensor_range(scaled, identity, estimator)
            continue
        function = activation_function(branch)
        ranges.setdefault(raw, tensor_range(seen, function, estimator))
        activated = TensorSamples(
            function(seen.rows),
            seen.weights,
            *(function(v) for v in (seen.low, seen.high, seen.mean_low, seen.mean_high)),
        )
        lowest = function(seen.rows).min(axis=0)
        activated.low = np.minimum(activated.low, lowest)
        activated.mean_low = np.minimum(activated.mean_low, lowest)
        scaled = _divided(graph, activated, (raw,), equalized)
        ranges[branch.activated] = tensor_range(scaled, identity, estimator)
        ranges[gate_input(raw)] = GATE_RANGE
    return ranges


def _divided(
    graph: Graph,
    seen: TensorSamples,
    parts: tuple[str, ...],
    equalized: Equalized,
) -> TensorSamples:
    if not any(raw in equalized.factors for raw in parts):
        return seen
    factors = np.concatenate(
        [
            equalized.factors.get(raw, np.ones(graph.tensors[raw].shape[-1], np.float32))
            for raw in parts
        ]
    )
    return seen.scaled((1 / factors).astype(np.float32))


def _activations(
    graph: Graph, plan: Plan, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, Quantization]:
    """Scale and zero point of every activation that some int8 operator may touch."""
    known: dict[str, list[tuple[float, float]]] = {}
    for name, span in ranges.items():
        if name in plan.group:
            known.setdefault(plan.group[name], []).append(span)
    numbers = {
        leader: quantization(min(low for low, _ in spans), max(high for _, high in spans))
        for leader, spans in known.items()
    }
    for operator in graph.operators:
        if operator.kind is Kind.LOGISTIC:
            numbers[plan.group[operator.outputs[0]]] = LOGISTIC
        elif operator.kind is Kind.CAST:
            numbers[plan.group[operator.outputs[0]]] = PIXELS_INT8
    return {name: numbers[leader] for name, leader in plan.group.items() if leader in numbers}
