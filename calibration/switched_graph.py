"""A quantised graph whose convolutions can be switched between float and INT8 one by one.

Measuring a layer's sensitivity needs the network with only that layer quantised, and with all
but that layer. Instead of a new graph and session for each, every convolution blends its float
and its quantised tensors, ``float + switch * (quantised - float)``, and the switches are inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.calibration.graph_editing import GraphEditor
from edgeyolo.calibration.onnx_flavours import quantized_convolutions
from edgeyolo.errors import needs

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
        with needs("onnxruntime", extra="onnx"):
            import onnxruntime
        weights_of = _float_parameters(GraphEditor(source))
        editor = GraphEditor(quantized)
        convolutions = quantized_convolutions(editor)
        self.layers = tuple(node.name for node in convolutions)
        for node in convolutions:
            _switch_convolution(editor, node, weights_of[node.name])
        _switch_rest(editor, set(self.layers))
        for name in (*self.layers, BETWEEN):
            _add_scalar_input(editor.model, _switch(name))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            editor.finish().SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name

    def run(
        self, pixels: NDArray[np.uint8], switches: Mapping[str, bool]
    ) -> list[NDArray[np.float32]]:
        """The outputs with the layers quantised that *switches* turns on (default: off)."""
        feed: dict[str, NDArray[Any]] = {
            _switch(name): np.asarray(switches.get(name, False), np.float32)
            for name in (*self.layers, BETWEEN)
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
    node.input[0] = _blend(editor, name, quantizer.input[0], node.input[0], f"{name} input")
    weight_maker = editor.producer(node.input[1])
    assert weight_maker is not None
    quantized = [_dequantized(editor, weight_maker)]
    if len(node.input) > 2:
        quantized.append(editor.constants[node.input[2]])
    for index, (value, other) in enumerate(zip(parameters, quantized, strict=True)):
        base = editor.add_constant(f"{name} float {index}", value)
        change = editor.add_constant(f"{name} change {index}", (other - value).astype(np.float32))
        node.input[1 + index] = _add_product(
            editor, name, base, change, f"{name} parameter {index}"
        )
    readers = editor.readers.get(node.output[0], [])
    if len(readers) == 1 and readers[0].op_type == "QuantizeLinear":
        (back,) = editor.readers[readers[0].output[0]]
        behind = list(editor.readers[back.output[0]])
        blended = _blend(editor, name, node.output[0], back.output[0], f"{name} output")
        editor.redirect(back.output[0], blended, behind)
    editor.refresh()


def _switch_rest(editor: GraphEditor, layers: set[str]) -> None:
    """Blend what other operators than convolutions read from dequantisers."""
    for node in editor.nodes:
        if node.op_type != "DequantizeLinear":
            continue
        quantizer = editor.producer(node.input[0])
        if quantizer is None or quantizer.op_type != "QuantizeLinear":
            continue
        readers = [
            reader
            for reader in editor.readers.get(node.output[0], [])
            if not reader.name.startswith("blend ")
        ]
        if readers:
            restored = node.output[0]
            blended = _blend(editor, BETWEEN, quantizer.input[0], restored, f"{restored} between")
            editor.redirect(restored, blended, readers)
            editor.refresh()


def _blend(editor: GraphEditor, switch: str, value: str, quantized: str, name: str) -> str:
    difference = f"blend {name} difference"
    editor.add_node("Sub", [quantized, value], difference)
    return _add_product(editor, switch, value, difference, name)


def _add_product(editor: GraphEditor, switch: str, value: str, change: str, name: str) -> str:
    product, total = f"blend {name} product", f"blend {name}"
    editor.add_node("Mul", [change, _switch(switch)], product)
    editor.add_node("Add", [value, product], total)
    return total


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


def _add_scalar_input(model: onnx.ModelProto, name: str) -> None:
    from onnx import TensorProto, helper

    model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, []))
