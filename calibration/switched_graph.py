"""A quantised graph whose convolutions can be switched between float and INT8 one by one.

Measuring a layer's sensitivity needs the network with only that layer quantised, and with all
but that layer. Instead of a new graph and session for each, every convolution chooses between its
float and its quantised tensors by ``If``, and the conditions are inputs. What is switched off is
not computed, so that a run takes little more time than one of the float network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.calibration.graph_editing import GraphEditor
from edgeyolo.calibration.onnx_flavours import quantized_convolutions
from edgeyolo.calibration.tensor_tap import open_graph

if TYPE_CHECKING:
    import onnx

# Switch of the quantisers that belong to no convolution: those of additions and concatenations.
BETWEEN = "between layers"


class SwitchedGraph:
    """Runs a detector with any set of its convolutions quantised.

    Attributes:
        layers: Names of the convolutions that can be switched, in graph order.
    """

    def __init__(self, source: onnx.ModelProto, quantized: onnx.ModelProto) -> None:
        """Build the graph.

        Args:
            source: Float.
            quantized: The same with Q/DQ pairs, node names unchanged.
        """
        weights_of = _float_parameters(GraphEditor(source))
        editor = GraphEditor(quantized)
        convolutions = quantized_convolutions(editor)
        self.layers = tuple(node.name for node in convolutions)
        for node in convolutions:
            _switch_convolution(editor, node, weights_of[node.name])
        _switch_rest(editor)
        for name in (*self.layers, BETWEEN):
            _add_switch(editor.model, _switch(name))
        self._session = open_graph(editor.finish())
        self._input = self._session.get_inputs()[0].name

    def run(
        self, pixels: NDArray[np.uint8], switches: Mapping[str, bool]
    ) -> list[NDArray[np.float32]]:
        """The outputs with the layers quantised that *switches* turns on (default: off)."""
        feed: dict[str, NDArray[Any]] = {
            _switch(name): np.asarray(switches.get(name, False)) for name in (*self.layers, BETWEEN)
        }
        feed[self._input] = pixels
        return list(self._session.run(None, feed))

    def all_on(self) -> dict[str, bool]:
        """Every layer quantised, as in the file that is shipped."""
        return dict.fromkeys((*self.layers, BETWEEN), True)


def _switch(name: str) -> str:
    return f"switch {name}"


def _float_parameters(editor: GraphEditor) -> dict[str, list[NDArray[np.float32]]]:
    return {
        node.name: [editor.constants[name] for name in node.input[1:]]
        for node in editor.nodes
        if node.op_type == "Conv" and all(name in editor.constants for name in node.input[1:])
    }


def _switch_convolution(
    editor: GraphEditor, node: onnx.NodeProto, parameters: list[NDArray[np.float32]]
) -> None:
    name = node.name
    restored = editor.producer(node.input[0])
    quantizer = editor.producer(restored.input[0]) if restored is not None else None
    assert restored is not None
    assert quantizer is not None
    node.input[0] = _add_pair(editor, name, quantizer, restored, f"{name} input")
    weight_maker = editor.producer(node.input[1])
    assert weight_maker is not None
    quantized = [_dequantized(editor, weight_maker)]
    if len(node.input) > 2:
        quantized.append(editor.constants[node.input[2]])
    for index, (value, other) in enumerate(zip(parameters, quantized, strict=True)):
        off = editor.add_constant(f"{name} float {index}", value)
        on = editor.add_constant(f"{name} int8 {index}", other.astype(np.float32))
        output = f"{name} parameter {index}"
        node.input[1 + index] = _add_choice(editor, name, [_identity(on)], off, output)
    readers = editor.readers.get(node.output[0], [])
    if len(readers) == 1 and readers[0].op_type == "QuantizeLinear":
        (back,) = editor.readers[readers[0].output[0]]
        behind = list(editor.readers[back.output[0]])
        chosen = _add_pair(editor, name, readers[0], back, f"{name} output")
        editor.redirect(back.output[0], chosen, behind)
    editor.refresh()


def _switch_rest(editor: GraphEditor) -> None:
    """Switch what other operators than convolutions read from dequantisers."""
    for node in editor.nodes:
        if node.op_type != "DequantizeLinear":
            continue
        quantizer = editor.producer(node.input[0])
        if quantizer is None or quantizer.op_type != "QuantizeLinear":
            continue
        readers = editor.readers.get(node.output[0], [])
        if readers:
            chosen = _add_pair(editor, BETWEEN, quantizer, node, f"{node.output[0]} between")
            editor.redirect(node.output[0], chosen, readers)
            editor.refresh()


def _add_pair(
    editor: GraphEditor, switch: str, quantizer: onnx.NodeProto, back: onnx.NodeProto, output: str
) -> str:
    """A tensor that goes through a Q/DQ pair where the switch is on."""
    first, second = (type(node).FromString(node.SerializeToString()) for node in (quantizer, back))
    first.output[0] = second.input[0] = f"{output} stored"
    second.output[0] = f"{output} on"
    return _add_choice(editor, switch, [first, second], quantizer.input[0], output)


def _add_choice(
    editor: GraphEditor, switch: str, on: list[onnx.NodeProto], off: str, output: str
) -> str:
    """What the nodes *on* compute, or else the tensor *off*."""
    from onnx import TensorProto, helper

    def branch(nodes: list[onnx.NodeProto]) -> onnx.GraphProto:
        result = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
        return helper.make_graph(nodes, f"{result.name} branch", [], [result])

    name = f"switched {output}"
    editor.add_node(
        "If",
        [_switch(switch)],
        name,
        then_branch=branch(on),
        else_branch=branch([_identity(off, f"{output} off")]),
    )
    return name


def _identity(source: str, output: str | None = None) -> onnx.NodeProto:
    from onnx import helper

    return helper.make_node("Identity", [source], [output or f"{source} on"])


def _dequantized(editor: GraphEditor, node: onnx.NodeProto) -> NDArray[np.float32]:
    """The value of a DequantizeLinear of constants."""
    source = node.input[0]
    scale, zero_point = (editor.constants[name] for name in node.input[1:3])
    axis = next((item.i for item in node.attribute if item.name == "axis"), 1)
    if source in editor.constants:
        stored = editor.constants[source].astype(np.float32)
    else:
        maker = editor.producer(source)
        assert maker is not None
        weights = editor.constants[maker.input[0]]
        limits = np.iinfo(zero_point.dtype)
        steps = np.rint(weights / _along(scale, weights.ndim, axis))
        stored = np.clip(steps + _along(zero_point, weights.ndim, axis), limits.min, limits.max)
    value: NDArray[np.float32] = (
        (stored - _along(zero_point, stored.ndim, axis).astype(np.float32))
        * _along(scale, stored.ndim, axis)
    ).astype(np.float32)
    return value


def _along(values: NDArray[Any], rank: int, axis: int) -> NDArray[Any]:
    if values.size == 1:
        return values.reshape(())
    shape = [1] * rank
    shape[axis] = values.size
    return values.reshape(shape)


def _add_switch(model: onnx.ModelProto, name: str) -> None:
    from onnx import TensorProto, helper

    model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.BOOL, []))
