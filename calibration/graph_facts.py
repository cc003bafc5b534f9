"""What a detector's ONNX graph is made of, told from its structure, never from names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def convolutions(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of all convolutions, in graph order."""
    return tuple(node.name for node in model.graph.node if node.op_type == "Conv")


def prediction_convolutions(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the convolutions behind which there is no other one: the heads' last."""
    final = _behind_no_convolution(model)
    return tuple(
        node.name for node in model.graph.node if node.op_type == "Conv" and node.name in final
    )


def prediction_and_decode(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the prediction convolutions and of every node behind them.

    In a graph without decode these are the prediction convolutions and what formats their
    outputs. Logits of all boxes share a few tensors here, and decoding multiplies pixels with
    them: 8 bits do not hold both.
    """
    final = _behind_no_convolution(model)
    reached = {
        name
        for node in model.graph.node
        if node.op_type == "Conv" and node.name in final
        for name in node.output
    }
    found = []
    for node in model.graph.node:
        behind = any(name in reached for name in node.input)
        if behind or (node.op_type == "Conv" and node.name in final):
            reached.update(node.output)
            found.append(node.name)
    return tuple(found)


def depthwise_convolutions(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the convolutions with more than one group."""
    return tuple(
        node.name
        for node in model.graph.node
        if node.op_type == "Conv"
        and any(item.name == "group" and item.i > 1 for item in node.attribute)
    )


def input_convolutions(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the convolutions in front of which there is no other one: those that see pixels."""
    reached: set[str] = set()
    found = []
    for node in model.graph.node:
        if any(name in reached for name in node.input):
            reached.update(node.output)
        elif node.op_type == "Conv":
            found.append(node.name)
            reached.update(node.output)
    return tuple(found)


def multiply_accumulates(model: onnx.ModelProto) -> dict[str, int]:
    """Convolution name -> multiply-accumulates of one picture."""
    import onnx as onnx_package

    inferred = onnx_package.shape_inference.infer_shapes(model)
    shapes = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*inferred.graph.value_info, *inferred.graph.output)
    }
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    counts: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type != "Conv" or node.input[1] not in weights:
            continue
        size = _product(weights[node.input[1]])
        area = shapes.get(node.output[0], [])[2:]
        counts[node.name] = size * _product(area or [1])
    return counts


def _behind_no_convolution(model: onnx.ModelProto) -> set[str]:
    """Names of the nodes from whose outputs no convolution can be reached."""
    leads: set[str] = set()
    final: set[str] = set()
    for node in reversed(model.graph.node):
        if any(name in leads for name in node.output):
            leads.update(node.input)
        else:
            final.add(node.name)
            if node.op_type == "Conv":
                leads.update(node.input)
    return final


def _product(values: Iterable[int]) -> int:
    result = 1
    for value in values:
        result *= value
    return result
