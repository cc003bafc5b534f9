"""Q/DQ pairs of weights, prepared for a network whose scales become FP16."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from edgeyolo.exporters.fp16_rules import FP16_SMALLEST_NORMAL
from edgeyolo.exporters.graph_types import producers, replace_nodes


def fold_weight_quantizers(graph: onnx.GraphProto) -> int:
    """Replace ``constant -> QuantizeLinear`` by the int8 constant it computes, in place.

    Quantising from float32 is exact; quantising the same weights after rounding them to FP16
    would move some by one step. It also makes the file a quarter of the size.

    Returns:
        Number of weights folded.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    kept, folded = [], 0
    for node in graph.node:
        if node.op_type != "QuantizeLinear" or any(n and n not in constants for n in node.input):
            kept.append(node)
            continue
        weights, scale = (numpy_helper.to_array(constants[name]) for name in node.input[:2])
        zero = np.zeros_like(scale, np.uint8)
        if len(node.input) > 2 and node.input[2]:
            zero = numpy_helper.to_array(constants[node.input[2]])
        quantised = _quantise(weights, scale, zero, _axis(node))
        graph.initializer.append(numpy_helper.from_array(quantised, node.output[0]))
        folded += 1
    replace_nodes(graph, kept)
    return folded


def raise_tiny_weight_scales(graph: onnx.GraphProto) -> int:
    """Give int8 weights whose scale FP16 cannot hold a scale that it can, in place.

    A dead channel (all weights about 1e-9) has a scale that FP16 rounds to zero, and TensorRT
    refuses a scale of zero. Its integers shrink towards zero instead; what that moves is below
    2**-14 of a weight, as little as FP16 weights would have lost.

    Returns:
        Number of channels changed.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    made_by = producers(graph)
    changed = 0
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or node.input[0] in made_by:
            continue
        tensors = [constants.get(name) for name in node.input[:2]]
        if tensors[0] is None or tensors[1] is None or tensors[0].data_type != TensorProto.INT8:
            continue
        stored, scale = numpy_helper.to_array(tensors[0]), numpy_helper.to_array(tensors[1])
        raised = np.maximum(scale, np.asarray(FP16_SMALLEST_NORMAL, scale.dtype))
        tiny = int(np.count_nonzero(raised != scale))
        if not tiny or scale.ndim == 0:
            continue
        ratio = _along(scale / raised, stored.ndim, _axis(node))
        requantised = np.rint(stored * ratio).astype(np.int8)
        suffix = f"_raised_{node.name}"
        node.input[0] += suffix
        node.input[1] += suffix
        graph.initializer.append(numpy_helper.from_array(requantised, node.input[0]))
        graph.initializer.append(numpy_helper.from_array(raised, node.input[1]))
        changed += tiny
    return changed


def _quantise(
    weights: NDArray[Any], scale: NDArray[Any], zero: NDArray[Any], axis: int
) -> NDArray[Any]:
    limits = np.iinfo(zero.dtype)
    steps = weights / _along(scale, weights.ndim, axis)
    shifted = np.rint(steps) + _along(zero, weights.ndim, axis).astype(np.float32)
    quantised: NDArray[Any] = np.clip(shifted, limits.min, limits.max).astype(zero.dtype)
    return quantised


def _along(values: NDArray[Any], rank: int, axis: int) -> NDArray[Any]:
    """Per-channel values, shaped to broadcast along *axis*; scalars stay."""
    if values.size == 1:
        return values.reshape(())
    shape = [1] * rank
    shape[axis] = values.size
    return values.reshape(shape)


def _axis(node: onnx.NodeProto) -> int:
    return next((a.i for a in node.attribute if a.name == "axis"), 1)
