"""INT8 as quantise/dequantise pairs in ONNX: the graph that both flavours start from.

NNCF's ONNX backend places the quantisers and corrects the biases. What it does not do for a
runtime is done in :mod:`edgeyolo.calibration.onnx_flavours`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeyolo.calibration.graph_editing import GraphEditor
from edgeyolo.calibration.graph_facts import (
    depthwise_convolutions,
    input_convolutions,
    prediction_and_decode,
)
from edgeyolo.calibration.nncf_backend import ActivationScheme, quantize
from edgeyolo.calibration.settings import Batches, Int8Settings

if TYPE_CHECKING:
    import onnx

# Operators that only move pixels or scale them all alike.
_PIXEL_OPERATORS = frozenset(
    {"Cast", "Transpose", "Mul", "Gather", "Slice", "Concat", "Split", "QuantizeLinear"}
)


def quantize_onnx(
    source: onnx.ModelProto,
    batches: Batches,
    settings: Int8Settings,
    *,
    scheme: ActivationScheme,
) -> onnx.ModelProto:
    """Put Q/DQ pairs in front of convolutions, additions and concatenations, biases corrected.

    Depthwise convolutions stay float, unless *scheme* gives them a scale per channel: their input
    channels differ so much that one scale for all of them costs YOLOX-Nano 9 AP, and neither
    onnxruntime's fast kernels nor TensorRT take a scale per channel there.

    Args:
        source: Float graph with uint8 NHWC pixels as input; not changed.
        batches: Calibration input.
        scheme: ``ASYMMETRIC`` for a graph that resembles what other runtimes make of it.

    Raises:
        MissingPackageError: NNCF is not installed.
        BackendError: NNCF fails on this graph.
    """
    graph = GraphEditor(source).finish()
    input_name = graph.graph.input[0].name
    float_nodes = {*prediction_and_decode(graph), *settings.float_layers}
    if scheme is not ActivationScheme.ASYMMETRIC:
        float_nodes.update(depthwise_convolutions(graph))
    if scheme is ActivationScheme.SYMMETRIC:
        # Signed with zero-point 0, 8 bits hold every second grey level only.
        float_nodes.update(input_convolutions(graph))
    quantized = quantize(
        graph,
        batches,
        settings,
        scheme=scheme,
        feed=lambda pixels: {input_name: pixels},
        float_nodes=float_nodes,
    )
    editor = GraphEditor(quantized)
    _make_pixels_exact(editor)
    return editor.finish()


def _make_pixels_exact(editor: GraphEditor) -> None:
    """Give the quantiser of the pixels the range that pixels have, not the one pictures had.

    With steps of exactly one grey level an unsigned quantiser loses nothing at all.
    """
    graph_input = editor.model.graph.input[0].name
    for node in editor.nodes:
        if node.op_type != "QuantizeLinear":
            continue
        scale_of_pixel = _pixel_scale(editor, node.input[0], graph_input)
        if scale_of_pixel is None:
            continue
        zero_point = editor.constants[node.input[2]]
        levels = 255 if zero_point.dtype == np.uint8 else 127
        scale = np.asarray(255.0 * scale_of_pixel / levels, np.float32)
        name = editor.add_constant(f"{node.name}_pixel_scale", scale)
        zero = editor.add_constant(f"{node.name}_pixel_zero", np.zeros((), zero_point.dtype))
        for user in [node, *editor.readers[node.output[0]]]:
            user.input[1], user.input[2] = name, zero


def _pixel_scale(editor: GraphEditor, tensor: str, graph_input: str) -> float | None:
    """What one grey level of the input is in *tensor*; ``None`` where it is not just pixels."""
    scale = 1.0
    while tensor != graph_input:
        node = editor.producer(tensor)
        if node is None or node.op_type not in _PIXEL_OPERATORS:
            return None
        if node.op_type == "Mul":
            factor = next((editor.constants[n] for n in node.input if n in editor.constants), None)
            if factor is None or factor.size != 1:
                return None
            scale *= float(factor.reshape(()))
        tensor = next(name for name in node.input if name not in editor.constants)
    return scale if scale > 0 else None
