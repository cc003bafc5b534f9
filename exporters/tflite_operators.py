"""One handler per ONNX operator of the closed set; each appends its TFLite operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeyolo.exporters.tflite_convolution import conv, max_pool
from edgeyolo.exporters.tflite_lowering import (
    CHANNELS_LAST,
    Lowering,
    attributes,
    unsupported,
)
from edgeyolo.exporters.tflite_slicing import concat, gather, slice_, split
from edgeyolo.tflite.graph import Kind, LeakyOptions


def _unary(kind: Kind) -> Callable[[Lowering, onnx.NodeProto], None]:
    def handler(lowering: Lowering, node: onnx.NodeProto) -> None:
        value = lowering.value(node, 0)
        tensor = lowering.graph.add(
            kind, [value.tensor], node.output[0], lowering.shape(value), source=node.name
        )
        lowering.result(node, tensor, value.order)

    return handler


def _binary(kind: Kind) -> Callable[[Lowering, onnx.NodeProto], None]:
    def handler(lowering: Lowering, node: onnx.NodeProto) -> None:
        known = [lowering.values[name] for name in node.input if name in lowering.values]
        order = known[0].order
        if any(value.order != order for value in known):
            raise unsupported(node, "its operands have different axis orders")
        operands, shapes = [], []
        for name in node.input:
            if name in lowering.values:
                operands.append(lowering.values[name].tensor)
            else:
                data = _as_stored(lowering.constants[name], order)
                operands.append(lowering.graph.constant(name, data))
            shapes.append(lowering.graph.tensors[operands[-1]].shape)
        shape = np.broadcast_shapes(*shapes)
        tensor = lowering.graph.add(kind, operands, node.output[0], shape, source=node.name)
        lowering.result(node, tensor, order)

    return handler


def _as_stored(constant: NDArray[np.generic], order: tuple[int, ...]) -> NDArray[np.float32]:
    """A constant operand, broadcast against ONNX axes, with its axes as stored."""
    if constant.size == 1:
        return constant.astype(np.float32).reshape(1)
    full = constant.reshape((1,) * (len(order) - constant.ndim) + constant.shape)
    return full.transpose(order).astype(np.float32)


def _leaky_relu(lowering: Lowering, node: onnx.NodeProto) -> None:
    value = lowering.value(node, 0)
    options = LeakyOptions(float(attributes(node).get("alpha", 0.01)))
    tensor = lowering.graph.add(
        Kind.LEAKY_RELU,
        [value.tensor],
        node.output[0],
        lowering.shape(value),
        options=options,
        source=node.name,
    )
    lowering.result(node, tensor, value.order)


def _cast(lowering: Lowering, node: onnx.NodeProto) -> None:
    target = attributes(node)["to"]
    if target != onnx.TensorProto.FLOAT:
        raise unsupported(node, f"casts to {onnx.TensorProto.DataType.Name(target)}, not to FLOAT")
    _unary(Kind.CAST)(lowering, node)


def _transpose(lowering: Lowering, node: onnx.NodeProto) -> None:
    value = lowering.value(node, 0)
    default = tuple(reversed(range(len(value.order))))
    permutation = tuple(attributes(node).get("perm", default))
    order = tuple(permutation.index(axis) for axis in value.order)
    if order not in (CHANNELS_LAST, tuple(range(len(order)))):
        raise unsupported(node, f"axes {list(permutation)} would need a real transposition")
    lowering.result(node, value.tensor, order)


def _identity(lowering: Lowering, node: onnx.NodeProto) -> None:
    lowering.values[node.output[0]] = lowering.value(node, 0)


def _resize(lowering: Lowering, node: onnx.NodeProto) -> None:
    value = lowering.value(node, 0)
    if value.order != CHANNELS_LAST:
        raise unsupported(node, "its input is not (B, C, H, W)")
    if attributes(node).get("mode", b"nearest") != b"nearest":
        raise unsupported(node, "only nearest-neighbour resizing is known")
    batch, channels, height, width = lowering.onnx_shape(value)
    if node.op_type == "Upsample":
        scales: NDArray[np.generic] | None = lowering.constant(node, 1)
    else:
        scales = lowering.optional(node, 2)
    if scales is not None and scales.size:
        target = [round(float(s) * n) for s, n in zip(scales[2:], (height, width), strict=True)]
    else:
        target = [int(side) for side in lowering.constant(node, 3)[2:]]
    # For whole factors every rounding rule of ONNX picks the same pixels.
    if target[0] % height or target[1] % width:
        raise unsupported(node, f"{height}x{width} to {target[0]}x{target[1]} is no whole factor")
    size = lowering.graph.constant(f"{node.output[0]}_size", np.asarray(target, np.int32))
    tensor = lowering.graph.add(
        Kind.RESIZE_NEAREST_NEIGHBOR,
        [value.tensor, size],
        node.output[0],
        (batch, target[0], target[1], channels),
        source=node.name,
    )
    lowering.result(node, tensor, CHANNELS_LAST)


def swish(lowering: Lowering, node: onnx.NodeProto) -> None:
    """x * sigmoid(x), which ONNX has as one operator from opset 24 on."""
    if attributes(node).get("alpha", 1.0) != 1.0:
        raise unsupported(node, "only alpha = 1 is known")
    value = lowering.value(node, 0)
    shape = lowering.shape(value)
    gate = lowering.graph.add(
        Kind.LOGISTIC, [value.tensor], f"{node.output[0]}_gate", shape, source=node.name
    )
    tensor = lowering.graph.add(
        Kind.MUL, [value.tensor, gate], node.output[0], shape, source=node.name
    )
    lowering.result(node, tensor, value.order)


HANDLERS: Mapping[str, Callable[[Lowering, onnx.NodeProto], None]] = {
    "Add": _binary(Kind.ADD),
    "Cast": _cast,
    "Concat": concat,
    "Conv": conv,
    "Div": _binary(Kind.DIV),
    "Exp": _unary(Kind.EXP),
    "Gather": gather,
    "Identity": _identity,
    "LeakyRelu": _leaky_relu,
    "MaxPool": max_pool,
    "Mul": _binary(Kind.MUL),
    "Relu": _unary(Kind.RELU),
    "Resize": _resize,
    "Sigmoid": _unary(Kind.LOGISTIC),
    "Slice": slice_,
    "Split": split,
    "Sub": _binary(Kind.SUB),
    "Swish": swish,
    "Transpose": _transpose,
    "Upsample": _resize,
}
