"""What FP16 hardware would compute, in a float32 graph that any runtime executes.

ONNX Runtime has few FP16 kernels on CPUs: it computes an FP16 graph in float32 and drops casts
between its nodes, so only the weights are rounded. Here every FP16 tensor is rounded for real.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeyolo.exporters.graph_types import element_types, replace_nodes

# Veltkamp's splitting: (x c) - (x c - x) with c = 2**13 + 1 leaves 11 of float32's 24 bits,
# rounded to nearest; FP16 has 11. Below FP16's normal range it keeps more than FP16 does.
_SPLITTER = float(2**13 + 1)
_CONSTANT = "fp16/splitter"


def emulate_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """A float32 copy of an FP16 network whose FP16 tensors hold FP16 numbers.

    Q/DQ pairs keep their integers; only their scales become float32 again.
    """
    types = element_types(model)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            wide = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    splitter = numpy_helper.from_array(np.array(_SPLITTER, np.float32), _CONSTANT)
    copy.graph.initializer.append(splitter)
    nodes: list[onnx.NodeProto] = []
    for node in copy.graph.node:
        halves = [name for name in node.output if types.get(name) == TensorProto.FLOAT16]
        if node.op_type == "Cast" and halves:
            node.attribute[0].i = TensorProto.FLOAT
        nodes.append(node)
        for name in halves:
            exact = f"{name}/exact"
            node.output[list(node.output).index(name)] = exact
            nodes += _rounding(exact, name)
    replace_nodes(copy.graph, nodes)
    del copy.graph.value_info[:]
    onnx.checker.check_model(copy, full_check=True)
    return copy


def _rounding(exact: str, rounded: str) -> list[onnx.NodeProto]:
    scaled, rest = f"{rounded}/scaled", f"{rounded}/rest"
    return [
        helper.make_node("Mul", [exact, _CONSTANT], [scaled], f"fp16/scale/{rounded}"),
        helper.make_node("Sub", [scaled, exact], [rest], f"fp16/rest/{rounded}"),
        helper.make_node("Sub", [scaled, rest], [rounded], f"fp16/round/{rounded}"),
    ]
