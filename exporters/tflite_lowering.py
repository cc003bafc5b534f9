"""Our own simplified ONNX graph, lowered straight to a channels-last TFLite graph.

ONNX activations are (B, C, H, W). Here each is stored as (B, H, W, C) from the first operator
on, and a value remembers in which order its axes lie: an ONNX Transpose then only changes that
memory, and the TFLite body has none. The set of operators is closed; another one is refused
with the name of its node.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from edgeyolo.errors import UnsupportedError, one_line
from edgeyolo.spec import ModelSpec, OutputKind
from edgeyolo.tflite.graph import Graph, drop_unused

# ONNX axes in the order in which channels-last storage holds them.
CHANNELS_LAST = (0, 2, 3, 1)


@dataclass(frozen=True, slots=True)
class Value:
    """An ONNX value and the TFLite tensor that holds it.

    Attributes:
        tensor: Name in the TFLite graph.
        order: ``order[i]`` is the ONNX axis that TFLite axis i holds.
    """

    tensor: str
    order: tuple[int, ...]

    def stored_axis(self, onnx_axis: int) -> int:
        return self.order.index(onnx_axis % len(self.order))


@dataclass(slots=True)
class Lowering:
    """What the operator handlers share while one graph is lowered."""

    graph: Graph
    constants: dict[str, NDArray[Any]]
    values: dict[str, Value] = field(default_factory=dict)
    opset: int = 17
    # Max pools of stride 1 by (input, kernel): a 9x9 pool is a 5x5 pool of a 5x5 pool.
    pools: dict[tuple[str, int], str] = field(default_factory=dict)

    def value(self, node: onnx.NodeProto, position: int) -> Value:
        """Input *position* of the node, which must be an activation."""
        name = node.input[position]
        if name not in self.values:
            raise unsupported(node, f"its input {name!r} is a constant")
        return self.values[name]

    def constant(self, node: onnx.NodeProto, position: int) -> NDArray[Any]:
        """Input *position* of the node, which must be known now."""
        name = node.input[position]
        if name not in self.constants:
            raise unsupported(node, f"its input {name!r} is not a constant")
        return self.constants[name]

    def optional(self, node: onnx.NodeProto, position: int) -> NDArray[Any] | None:
        present = position < len(node.input) and node.input[position]
        return self.constant(node, position) if present else None

    def shape(self, value: Value) -> tuple[int, ...]:
        """Shape as stored."""
        return self.graph.tensors[value.tensor].shape

    def onnx_shape(self, value: Value) -> tuple[int, ...]:
        stored = self.shape(value)
        return tuple(stored[value.stored_axis(axis)] for axis in range(len(stored)))

    def result(self, node: onnx.NodeProto, tensor: str, order: tuple[int, ...]) -> None:
        self.values[node.output[0]] = Value(tensor, order)


def unsupported(node: onnx.NodeProto, reason: str) -> UnsupportedError:
    """The refusal of one node."""
    name = node.name or (node.output[0] if node.output else "?")
    return UnsupportedError(
        f"tflite: node {name!r} ({node.op_type}) cannot be lowered: {reason}; "
        "export from a checkpoint, or use --to onnx or --to openvino"
    )


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Attribute name -> Python value."""
    return {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}


def lower_body(model: onnx.ModelProto, *, batch: int) -> tuple[Graph, dict[str, Value]]:
    """Lower every node of the graph.

    Args:
        model: One input, ``(B, H, W, 3)`` uint8 or ``(B, 3, H, W)`` float32, static but for B.
        batch: Pictures per call.

    Returns:
        The graph, without outputs yet, and where each ONNX value lies.

    Raises:
        UnsupportedError: A node outside the closed set; the message names it.
    """
    # Here, so that the table can use the names above.
    from edgeyolo.exporters.tflite_operators import HANDLERS

    lowering = Lowering(Graph(), _initialisers(model), opset=_opset(model))
    _declare_input(lowering, model, batch)
    for node in model.graph.node:
        if all(name in lowering.constants for name in node.input if name):
            _fold(lowering, node)
            continue
        handler = HANDLERS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if handler is None:
            raise unsupported(node, "this operator is outside the set of YOLOX and YOLOv7")
        handler(lowering, node)
    return lowering.graph, lowering.values


def lower(model: onnx.ModelProto, spec: ModelSpec, *, form: OutputKind, batch: int) -> Graph:
    """Lower a RAW-form ONNX graph and give it the outputs of *form*.

    Args:
        model: Outputs ``level<i>_box``, ``level<i>_objectness``, ``level<i>_classes``:
            logits (B, A*c, H, W), fine to coarse.
        spec: Strides, anchors, classes.
        form: RAW keeps the heads, channels-last; DECODED appends ``boxes`` and ``scores``.
        batch: Pictures per call.

    Raises:
        UnsupportedError: A node outside the closed set, or another form.
    """
    from edgeyolo.exporters.tflite_decode import append_decode, append_raw
    from edgeyolo.exporters.tflite_input import fold_input

    graph, values = lower_body(model, batch=batch)
    heads = [_head(values, model, name) for name in raw_output_names(len(spec.strides))]
    if form is OutputKind.RAW:
        append_raw(graph, heads)
    elif form is OutputKind.DECODED:
        append_decode(graph, heads, spec)
    else:
        raise UnsupportedError(
            f"tflite files have decoded or raw outputs, not {form}; "
            "non-maximum suppression runs on the host"
        )
    return fold_input(drop_unused(graph))


def raw_output_names(levels: int) -> tuple[str, ...]:
    """Names of RAW outputs in the order of the contract."""
    return tuple(
        f"level{level}_{part}"
        for level in range(levels)
        for part in ("box", "objectness", "classes")
    )


def _head(values: dict[str, Value], model: onnx.ModelProto, name: str) -> str:
    if name not in values:
        present = ", ".join(item.name for item in model.graph.output)
        raise UnsupportedError(f"tflite: the ONNX graph has no output {name!r}, only: {present}")
    value = values[name]
    if value.order != CHANNELS_LAST:
        raise UnsupportedError(f"tflite: output {name!r} is not a (B, C, H, W) head map")
    return value.tensor


def _initialisers(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    return {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}


def _opset(model: onnx.ModelProto) -> int:
    return next((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), 17)


def _declare_input(lowering: Lowering, model: onnx.ModelProto, batch: int) -> None:
    inputs = [item for item in model.graph.input if item.name not in lowering.constants]
    if len(inputs) != 1:
        raise UnsupportedError(f"tflite: the ONNX graph has {len(inputs)} inputs, expected one")
    tensor_type = inputs[0].type.tensor_type
    shape = [dimension.dim_value for dimension in tensor_type.shape.dim]
    if len(shape) != 4 or not all(shape[1:]):
        raise UnsupportedError(
            f"tflite: input {inputs[0].name!r} must be 4-D with a fixed size, got {shape}"
        )
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor_type.elem_type)
    if shape[3] == 3:
        order, stored = (0, 1, 2, 3), (batch, *shape[1:])
    else:
        order, stored = CHANNELS_LAST, (batch, shape[2], shape[3], shape[1])
    name = lowering.graph.activation(inputs[0].name, stored, dtype)
    lowering.graph.inputs = (name,)
    lowering.values[inputs[0].name] = Value(name, order)


def _fold(lowering: Lowering, node: onnx.NodeProto) -> None:
    single = onnx.helper.make_model(
        onnx.helper.make_graph(
            [node],
            "constant",
            [onnx.helper.make_tensor_value_info(n, 1, None) for n in node.input if n],
            [onnx.helper.make_tensor_value_info(n, 1, None) for n in node.output],
        ),
        opset_imports=[onnx.helper.make_opsetid("", lowering.opset)],
    )
    feeds = {name: lowering.constants[name] for name in node.input if name}
    try:
        results = ReferenceEvaluator(single).run(None, feeds)
    except Exception as error:
        raise unsupported(node, f"its constant cannot be computed ({one_line(error)})") from error
    lowering.constants.update(zip(node.output, map(np.asarray, results), strict=True))
