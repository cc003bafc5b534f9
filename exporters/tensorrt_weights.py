"""INT8 weights as TensorRT 8.x takes them: float32 with a quantiser of their own.

8.x has no INT8 constants ("invalid weights type of Int8", microsoft/onnxruntime#11535); it wants
weights in float32, then QuantizeLinear and DequantizeLinear, and quantises them itself. From 10 on
INT8 constants are taken, at a quarter of the size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeyolo.exporters.graph_types import drop_unused_initializers, replace_nodes


def float_weights_with_quantizers(network: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which no INT8 constant is dequantised: a quantiser makes it from float32.

    The quantiser gives back the very integers: quantising ``integer * scale`` with that scale
    rounds to the integer, in float32 and for 8 bits always.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(network)
    graph = copy.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        stored = constants.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if stored is not None and stored.data_type == TensorProto.INT8:
            nodes.append(_quantiser(graph, node, stored, constants[node.input[1]]))
        nodes.append(node)
    if len(nodes) != len(graph.node):
        replace_nodes(graph, nodes)
        drop_unused_initializers(graph)
        onnx.checker.check_model(copy, full_check=True)
    return copy


def _quantiser(
    graph: onnx.GraphProto,
    dequantiser: onnx.NodeProto,
    stored: onnx.TensorProto,
    scale: onnx.TensorProto,
) -> onnx.NodeProto:
    axis = next((a.i for a in dequantiser.attribute if a.name == "axis"), 1)
    floats = _dequantised(numpy_helper.to_array(stored), numpy_helper.to_array(scale), axis)
    name = f"{dequantiser.name}/weights"
    graph.initializer.append(numpy_helper.from_array(floats, f"{name}/float"))
    quantiser = helper.make_node(
        "QuantizeLinear",
        [f"{name}/float", *dequantiser.input[1:]],
        [f"{name}/int8"],
        f"{name}/QuantizeLinear",
        axis=axis,
    )
    dequantiser.input[0] = quantiser.output[0]
    return quantiser


def _dequantised(integers: NDArray[Any], scale: NDArray[Any], axis: int) -> NDArray[np.float32]:
    if scale.size > 1:
        shape = [1] * integers.ndim
        shape[axis] = scale.size
        scale = scale.reshape(shape)
    else:
        scale = scale.reshape(())
    return np.asarray(integers.astype(np.float32) * scale, np.float32)
