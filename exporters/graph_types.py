"""Questions about an ONNX graph that every rewrite asks: types, constants, who reads what."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgeyolo.errors import UnsupportedError, one_line

WEIGHTED_OPS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """Tensor name -> ``onnx.TensorProto`` element type, for every tensor of the graph.

    Raises:
        UnsupportedError: The types contradict each other.
    """
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    except onnx.shape_inference.InferenceError as error:
        raise UnsupportedError(f"the graph's types contradict: {one_line(error)}") from error
    graph = inferred.graph
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    types.update((tensor.name, tensor.data_type) for tensor in graph.initializer)
    return types


def constants_as_initializers(model: onnx.ModelProto) -> None:
    """Turn ``Constant`` nodes into initializers, in place: one kind of constant to handle."""
    kept = []
    for node in model.graph.node:
        if node.op_type != "Constant":
            kept.append(node)
            continue
        tensor = numpy_helper.from_array(constant_value(node), node.output[0])
        model.graph.initializer.append(tensor)
    replace_nodes(model.graph, kept)


def constant_value(node: onnx.NodeProto) -> NDArray[Any]:
    """The value of a ``Constant`` node."""
    attribute = node.attribute[0]
    value = helper.get_attribute_value(attribute)
    if attribute.name == "value":
        array: NDArray[Any] = numpy_helper.to_array(value)
        return array
    if attribute.name in ("value_float", "value_floats"):
        return np.asarray(value, np.float32)
    if attribute.name in ("value_int", "value_ints"):
        return np.asarray(value, np.int64)
    raise UnsupportedError(f"constant {node.output[0]!r} of kind {attribute.name}")


def name_nodes(graph: onnx.GraphProto) -> None:
    """Give every node a unique name, in place; names that are unique already stay."""
    taken: set[str] = set()
    for index, node in enumerate(graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{index}"
        while node.name in taken:
            node.name += "_"
        taken.add(node.name)


def replace_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Put *nodes*, in topological order, in the place of the graph's nodes."""
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def producers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """Tensor name -> the node that computes it."""
    return {name: node for node in graph.node for name in node.output if name}


def readers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """Tensor name -> the nodes that read it."""
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            if name:
                found.setdefault(name, []).append(node)
    return found


def drop_unused_initializers(graph: onnx.GraphProto) -> None:
    """Remove initializers that neither a node nor an output names, in place."""
    used = {name for node in graph.node for name in node.input} | {o.name for o in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
