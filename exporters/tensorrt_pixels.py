"""uint8 pixels as TensorRT takes them: cast before anything else.

TensorRT (8.5 and later) accepts uint8 only as input of the network and directly followed by a
cast. Moving bytes first is cheaper elsewhere, so only its networks are rewritten.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from edgeyolo.errors import UnsupportedError
from edgeyolo.exporters.graph_types import element_types, replace_nodes

_MOVES = frozenset({"Transpose", "Reshape", "Slice", "Gather", "Concat", "Split", "Identity"})


def cast_pixels_first(model: onnx.ModelProto) -> None:
    """Move the cast of a uint8 input to the front, in place; other inputs are left alone.

    Raises:
        UnsupportedError: Something other than moving is done with bytes.
    """
    graph = model.graph
    pixels = graph.input[0].name
    types = element_types(model)
    if types[pixels] != TensorProto.UINT8:
        return
    floats = f"{pixels}/float"
    cast = helper.make_node("Cast", [pixels], [floats], name="pixels/Cast", to=TensorProto.FLOAT)
    renamed = {pixels: floats}
    nodes = [cast]
    for node in graph.node:
        reads_bytes = any(types.get(name) == TensorProto.UINT8 for name in node.input)
        if reads_bytes and node.op_type == "Cast" and types[node.output[0]] == TensorProto.FLOAT:
            renamed[node.output[0]] = renamed.get(node.input[0], node.input[0])
            continue
        if reads_bytes and node.op_type not in _MOVES:
            raise UnsupportedError(
                f"TensorRT casts uint8 pixels before all else; {node.op_type} {node.name!r} "
                "reads them as bytes"
            )
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
        nodes.append(node)
    replace_nodes(graph, nodes)
    del graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
