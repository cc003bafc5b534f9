"""Operators that take tensors apart and put them together."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeyolo.exporters.tflite_lowering import Lowering, Value, attributes, unsupported
from edgeyolo.tflite.graph import AxisOptions, Kind, Operator, SliceOptions


def concat(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Concatenation of activations along one axis."""
    parts = [lowering.value(node, position) for position in range(len(node.input))]
    order = parts[0].order
    if any(part.order != order for part in parts):
        raise unsupported(node, "its inputs have different axis orders")
    axis = parts[0].stored_axis(attributes(node)["axis"])
    shape = list(lowering.shape(parts[0]))
    shape[axis] = sum(lowering.shape(part)[axis] for part in parts)
    tensor = lowering.graph.add(
        Kind.CONCATENATION,
        [part.tensor for part in parts],
        node.output[0],
        shape,
        options=AxisOptions(axis),
        source=node.name,
    )
    lowering.result(node, tensor, order)


def slice_(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Strided slices, also with negative steps (a reversed channel order)."""
    value = lowering.value(node, 0)
    if len(node.input) > 1:
        starts, ends = lowering.constant(node, 1), lowering.constant(node, 2)
        axes, steps = lowering.optional(node, 3), lowering.optional(node, 4)
    else:
        settings = attributes(node)
        starts, ends = np.asarray(settings["starts"]), np.asarray(settings["ends"])
        axes = np.asarray(settings["axes"]) if "axes" in settings else None
        steps = None
    stored = list(lowering.shape(value))
    spans = [slice(None)] * len(stored)
    for position in range(len(starts)):
        axis = value.stored_axis(int(axes[position]) if axes is not None else position)
        step = int(steps[position]) if steps is not None else 1
        spans[axis] = slice(int(starts[position]), int(ends[position]), step)
    lowering.result(node, strided_slice(lowering, node, value.tensor, spans), value.order)


def strided_slice(lowering: Lowering, node: onnx.NodeProto, tensor: str, spans: list[slice]) -> str:
    """Append a STRIDED_SLICE; *spans* has one Python slice per stored axis."""
    graph = lowering.graph
    sides = graph.tensors[tensor].shape
    begin, end, strides, shape = [], [], [], []
    end_mask = begin_mask = 0
    for axis, (span, side) in enumerate(zip(spans, sides, strict=True)):
        start, stop, step = span.indices(side)
        shape.append(len(range(start, stop, step)))
        if shape[-1] == 0:
            raise unsupported(node, f"axis {axis} of length {side} would become empty")
        # Masks keep the batch free, and say "to the very front" for negative steps.
        if axis == 0 and shape[-1] == side and step == 1:
            begin_mask |= 1
            end_mask |= 1
        if stop < 0:
            end_mask |= 1 << axis
            stop = 0
        begin.append(start)
        end.append(stop)
        strides.append(step)
    name = node.output[0]
    constants = [
        graph.constant(f"{name}_{part}", np.asarray(numbers, np.int32))
        for part, numbers in (("begin", begin), ("end", end), ("strides", strides))
    ]
    return graph.add(
        Kind.STRIDED_SLICE,
        [tensor, *constants],
        name,
        shape,
        options=SliceOptions(begin_mask, end_mask),
        source=node.name,
        dtype=graph.tensors[tensor].dtype,
    )


def split(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Splitting into parts of given or equal length."""
    value = lowering.value(node, 0)
    settings = attributes(node)
    axis = value.stored_axis(settings.get("axis", 0))
    side = lowering.shape(value)[axis]
    given = lowering.optional(node, 1) if len(node.input) > 1 else settings.get("split")
    count = len(node.output)
    lengths = [int(n) for n in given] if given is not None else equal_parts(side, count)
    names = split_v(lowering, value, axis, lengths, tuple(node.output), node.name)
    for output, tensor in zip(node.output, names, strict=True):
        lowering.values[output] = Value(tensor, value.order)


def equal_parts(side: int, count: int) -> list[int]:
    """ONNX's rule: all parts as long as the first, the last may be shorter."""
    length = -(-side // count)
    return [min(length, side - part * length) for part in range(count)]


def split_v(
    lowering: Lowering,
    value: Value,
    axis: int,
    lengths: list[int],
    outputs: tuple[str, ...],
    source: str,
) -> tuple[str, ...]:
    """Append a SPLIT_V along a stored axis."""
    graph = lowering.graph
    shape = list(lowering.shape(value))
    names = []
    for output, length in zip(outputs, lengths, strict=True):
        shape[axis] = length
        names.append(graph.activation(output, shape, graph.tensors[value.tensor].dtype))
    constants = (
        graph.constant(f"{outputs[0]}_lengths", np.asarray(lengths, np.int32)),
        graph.constant(f"{outputs[0]}_axis", np.asarray(axis, np.int32)),
    )
    inputs = (value.tensor, *constants)
    graph.operators.append(Operator(Kind.SPLIT_V, inputs, tuple(names), source=source))
    return tuple(names)


def gather(lowering: Lowering, node: onnx.NodeProto) -> None:
    """A constant choice of channels, e.g. BGR to RGB."""
    value = lowering.value(node, 0)
    indices: NDArray[np.int32] = lowering.constant(node, 1).astype(np.int32)
    if indices.ndim != 1:
        raise unsupported(node, f"its indices are {indices.ndim}-D, not 1-D")
    axis = value.stored_axis(attributes(node).get("axis", 0))
    shape = list(lowering.shape(value))
    indices = np.where(indices < 0, indices + shape[axis], indices).astype(np.int32)
    shape[axis] = len(indices)
    choice = lowering.graph.constant(f"{node.output[0]}_indices", indices)
    tensor = lowering.graph.add(
        Kind.GATHER,
        [value.tensor, choice],
        node.output[0],
        shape,
        options=AxisOptions(axis),
        source=node.name,
        dtype=lowering.graph.tensors[value.tensor].dtype,
    )
    lowering.result(node, tensor, value.order)
