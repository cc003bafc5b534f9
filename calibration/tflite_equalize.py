"""Make the channels of a tensor alike, so that one int8 scale serves them all.

TFLite gives an activation one scale. Where one channel reaches 150 and another 1, the second
has no digits left, and depthwise networks with SiLU are full of such tensors. Here the output of
a convolution is divided by a factor per channel and the convolutions that read it multiply by
it; weights have a scale per channel, so they lose nothing. A leaky ReLU lets factors pass. SiLU
does not, but x * sigmoid(x) = s * (y * sigmoid(s y)) with y = x / s: the gate alone needs the
true value, which one more multiplication by a constant restores. That costs time, as much as all
of LiteRT's int8 convolutions together, and can be left out near the outputs: see ``FAR``.

The factors are whole multiples of a common unit, so that int8 holds them exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgeyolo.calibration.ranges import RangeEstimator
from edgeyolo.calibration.tflite_channels import Activation, Channels, find_channels
from edgeyolo.calibration.tflite_plan import CONVOLUTIONS
from edgeyolo.calibration.tflite_ranges import (
    activation_function,
    channel_factors,
)
from edgeyolo.calibration.tflite_samples import TensorSamples
from edgeyolo.tflite.graph import Graph, Kind, Operator, Tensor

# Convolutions behind a tensor, on the longest way to an output, from which on a multiplication is
# spent on it where those nearer the outputs do without. An error far from the outputs goes through
# all of them; how much noise the factors remove from the tensor itself tells nothing.
FAR = 6

_LARGEST_FACTOR = 127


@dataclass(frozen=True, slots=True)
class Equalized:
    """A float graph that computes the same as before.

    Attributes:
        graph: Rewritten.
        factors: Raw tensor -> (C,) by which its channels were divided.
        ranges: Raw tensor -> the range that it now has.
    """

    graph: Graph
    factors: Mapping[str, NDArray[np.float32]]
    ranges: Mapping[str, tuple[float, float]]


def equalize(
    graph: Graph,
    samples: Mapping[str, TensorSamples],
    estimator: RangeEstimator,
    *,
    far: int = 0,
) -> Equalized:
    """Find the factors and rewrite the graph.

    Args:
        graph: Float, as lowered.
        samples: Of every convolution's output.
        far: See :data:`FAR`; 0 spends them everywhere.
    """
    channels = find_channels(graph)
    importance = _importance(graph, channels)
    factors: dict[str, NDArray[np.float32]] = {}
    ranges: dict[str, tuple[float, float]] = {}
    behind = _convolutions_behind(graph)
    for group in channels.groups:
        silu = any(channels.branches[raw].activation is Activation.SILU for raw in group)
        if silu and max(behind[raw] for raw in group) < far:
            continue
        weight = np.sum([importance[raw] for raw in group], axis=0)
        found = {
            raw: channel_factors(
                samples[raw], activation_function(channels.branches[raw]), weight, estimator
            )
            for raw in group
        }
        shared = _whole_multiples(np.maximum.reduce([item.factors for item in found.values()]))
        for raw in group:
            factors[raw] = shared
            ranges[raw] = (min(item.low for item in found.values()), 1.0)
    return Equalized(_rewritten(graph, channels, factors), factors, ranges)


def _convolutions_behind(graph: Graph) -> dict[str, int]:
    """Per activation: convolutions between it and the outputs, on the longest way."""
    behind = dict.fromkeys(graph.tensors, 0)
    for operator in reversed(graph.operators):
        own = int(operator.kind in CONVOLUTIONS)
        longest = own + max(behind[name] for name in operator.outputs)
        for name in operator.inputs:
            behind[name] = max(behind[name], longest)
    return behind


def _importance(graph: Graph, channels: Channels) -> dict[str, NDArray[np.float32]]:
    """Per raw tensor and channel: squared weights with which convolutions read it."""
    result = {raw: np.zeros(graph.tensors[raw].shape[-1], np.float32) for raw in channels.branches}
    for operator in graph.operators:
        if operator.kind not in CONVOLUTIONS or operator.inputs[0] not in channels.parts:
            continue
        weights = graph.tensors[operator.inputs[1]].data
        assert weights is not None
        per_channel = np.square(weights).sum(axis=(0, 1, 2))
        start = 0
        for raw in channels.parts[operator.inputs[0]]:
            width = len(result[raw])
            result[raw] += per_channel[start : start + width]
            start += width
    return result


def _whole_multiples(factors: NDArray[np.float32]) -> NDArray[np.float32]:
    unit = float(factors.max()) / _LARGEST_FACTOR
    multiples = np.clip(np.ceil(factors / unit - 1e-6), 1, _LARGEST_FACTOR)
    factors_on_grid: NDArray[np.float32] = (multiples * unit).astype(np.float32)
    return factors_on_grid


def _rewritten(
    graph: Graph, channels: Channels, factors: Mapping[str, NDArray[np.float32]]
) -> Graph:
    result = Graph(dict(graph.tensors), [], graph.inputs, graph.outputs, dict(graph.metadata))
    for operator in graph.operators:
        if operator.kind in CONVOLUTIONS:
            result.operators.append(_scaled_conv(result, operator, channels, factors))
            raw = operator.outputs[0]
            if raw in factors and channels.branches[raw].activation is Activation.SILU:
                _restore_for_gate(result, operator, factors[raw])
        elif operator.kind is Kind.LOGISTIC and operator.inputs[0] in factors:
            result.operators.append(replace(operator, inputs=(gate_input(operator.inputs[0]),)))
        else:
            result.operators.append(operator)
    return result


def gate_input(raw: str) -> str:
    """Name of the tensor that the gate of an equalised branch reads."""
    return f"{raw}_gate_input"


def _restore_for_gate(graph: Graph, operator: Operator, factors: NDArray[np.float32]) -> None:
    raw = operator.outputs[0]
    shape = graph.tensors[raw].shape
    # A whole row of cells: kernels multiply long rows faster than few channels.
    row = np.tile(factors, (1, 1, shape[2], 1))
    constant = graph.constant(f"{raw}_factors", row)
    graph.add(Kind.MUL, [raw, constant], gate_input(raw), shape, source=operator.source)


def _scaled_conv(
    graph: Graph,
    operator: Operator,
    channels: Channels,
    factors: Mapping[str, NDArray[np.float32]],
) -> Operator:
    """The convolution with input channels multiplied and output channels divided."""
    image, weights_name, bias_name = operator.inputs
    incoming = _incoming(graph, channels.parts.get(image, ()), factors)
    outgoing = factors.get(operator.outputs[0])
    if incoming is None and outgoing is None:
        return operator
    weights, bias = (graph.tensors[name].data for name in (weights_name, bias_name))
    assert weights is not None
    assert bias is not None
    depthwise = operator.kind is Kind.DEPTHWISE_CONV_2D
    weights, bias = weights.astype(np.float64), bias.astype(np.float64)
    if incoming is not None:
        repeats = weights.shape[3] // len(incoming) if depthwise else 1
        weights = weights * np.repeat(incoming, repeats)
    if outgoing is not None:
        weights = weights / (outgoing if depthwise else outgoing.reshape(-1, 1, 1, 1))
        bias = bias / outgoing
    new_weights, new_bias = f"{weights_name}_equalized", f"{bias_name}_equalized"
    for name, data in ((new_weights, weights), (new_bias, bias)):
        stored = data.astype(np.float32)
        graph.tensors[name] = Tensor(name, stored.shape, stored.dtype, stored)
    return replace(operator, inputs=(image, new_weights, new_bias))


def _incoming(
    graph: Graph, parts: tuple[str, ...], factors: Mapping[str, NDArray[np.float32]]
) -> NDArray[np.float32] | None:
    if not any(raw in factors for raw in parts):
        return None
    return np.concatenate(
        [factors.get(raw, np.ones(graph.tensors[raw].shape[-1], np.float32)) for raw in parts]
    )
