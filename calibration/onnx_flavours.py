"""Two flavours of one Q/DQ graph: what onnxruntime runs fast, and what TensorRT accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeyolo.calibration.graph_editing import GraphEditor
from edgeyolo.calibration.settings import Batches
from edgeyolo.calibration.silu_ranges import (
    Function,
    OutputRange,
    identity,
    leaky,
    output_ranges,
    silu,
)
from edgeyolo.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx

# They pass 8-bit values on unchanged (nearest and average resizing aside, which nothing here
# uses), so the quantiser of their inputs holds for their output.
_PASSING = frozenset({"Concat", "Resize", "MaxPool"})


# A convolution whose quantised output is noisier than this keeps a float output, and onnxruntime
# computes it in float. YOLOX-Nano's stem has .21 and costs 6 AP; all others stay below .0075.
MOST_NOISE = 0.01


# Every picture gives thousands of values per tensor; more pictures move no limit.
RANGE_PICTURES = 32


def for_onnxruntime(quantized: onnx.ModelProto, batches: Batches) -> onnx.ModelProto:
    """The graph with unsigned activations and convolutions between quantisers on both sides.

    Args:
        quantized: From :func:`edgeyolo.calibration.onnx_int8.quantize_onnx`.
        batches: Calibration input, on which the ranges of convolution outputs are found.
    """
    editor = GraphEditor(quantized)
    make_unsigned(editor)
    requantize_after_moves(editor)
    activations = {
        node.output[0]: activation_behind(editor, node) for node in quantized_convolutions(editor)
    }
    chosen = output_ranges(quantized, activations, batches.sample(RANGE_PICTURES))
    quantize_convolution_outputs(
        editor,
        {name: one.limits for name, one in chosen.items() if one.channel_noise <= MOST_NOISE},
    )
    return editor.finish()


def for_tensorrt(quantized: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with 8-bit concatenations; symmetric int8 with float biases already.

    Args:
        quantized: From :func:`edgeyolo.calibration.onnx_int8.quantize_onnx`, symmetric.

    Raises:
        UnsupportedError: A zero-point is not 0, or a tensor of activations has several scales.
    """
    editor = GraphEditor(quantized)
    make_signed(editor)
    requantize_after_moves(editor)
    for node in editor.nodes:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        scale, zero_point = (editor.constants[name] for name in node.input[1:3])
        if zero_point.dtype != np.int8 or np.any(zero_point):
            raise UnsupportedError(
                f"{node.name!r} has zero-points {np.unique(zero_point)} of type "
                f"{zero_point.dtype}; TensorRT takes int8 with zero-point 0 only"
            )
        if _is_activation(editor, node) and scale.size != 1:
            raise UnsupportedError(
                f"{node.name!r} has {scale.size} scales; TensorRT takes one per activation tensor"
            )
    return editor.finish()


def for_sensitivity(quantized: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with a quantiser in front of every convolution, as OpenVINO and TFLite have it.

    Args:
        quantized: From :func:`edgeyolo.calibration.onnx_int8.quantize_onnx`.
    """
    editor = GraphEditor(quantized)
    requantize_after_moves(editor)
    return editor.finish()


def make_unsigned(editor: GraphEditor) -> None:
    """Rewrite int8 activations as uint8 with the zero-point raised by 128: the same numbers.

    onnxruntime's x86 kernels want unsigned activations; signed ones take 2.3 times the time of
    float.
    """
    for node in editor.nodes:
        if not _is_activation(editor, node):
            continue
        zero_point = editor.constants[node.input[2]]
        if zero_point.dtype != np.int8:
            continue
        name = f"{node.input[2]}_unsigned"
        if name not in editor.constants:
            raised = (zero_point.astype(np.int16) + 128).astype(np.uint8)
            editor.add_constant(name, raised)
        node.input[2] = name


def make_signed(editor: GraphEditor) -> None:
    """Rewrite uint8 activations with zero-point 0 as int8: half as many steps of twice the size."""
    for node in editor.nodes:
        if not _is_activation(editor, node):
            continue
        zero_point = editor.constants[node.input[2]]
        if zero_point.dtype != np.uint8 or np.any(zero_point):
            continue
        scale = editor.constants[node.input[1]]
        scale_name, zero_name = f"{node.name}_signed_scale", f"{node.name}_signed_zero_point"
        editor.add_constant(scale_name, np.asarray(scale * (255.0 / 127.0), np.float32))
        editor.add_constant(zero_name, np.zeros_like(zero_point, np.int8))
        node.input[1], node.input[2] = scale_name, zero_name


def requantize_after_moves(editor: GraphEditor) -> None:
    """Put the inputs' quantiser behind concatenations, resizings and poolings as well.

    It changes no value, since theirs are multiples of its step already, but it lets a runtime
    keep these operators and the convolution behind them in 8 bits.
    """
    for node in editor.nodes:
        if node.op_type not in _PASSING or not editor.readers.get(node.output[0]):
            continue
        sources = [editor.producer(name) for name in _data_inputs(node)]
        quantizers = {
            (tuple(one.input[1:3]) if one is not None and one.op_type == "DequantizeLinear" else ())
            for one in sources
        }
        values = {
            tuple(editor.constants[name].tobytes() for name in names) if names else ()
            for names in quantizers
        }
        if len(values) != 1 or () in values:
            continue
        readers = editor.readers[node.output[0]]
        if all(reader.op_type == "QuantizeLinear" for reader in readers):
            continue
        scale, zero_point = next(iter(quantizers))
        insert_quantizer(editor, node.output[0], scale, zero_point)


def quantize_convolution_outputs(editor: GraphEditor, ranges: Mapping[str, OutputRange]) -> None:
    """Put a quantiser behind quantised convolutions, in front of their activation.

    onnxruntime runs a convolution in int8 only between quantisers on both sides; with NNCF's
    placement alone it dequantises, and computes every convolution in float.

    Args:
        ranges: Tensor name of the convolution's output -> range.
    """
    for tensor, limits in ranges.items():
        scale, zero_point = limits.scale_and_zero_point()
        insert_quantizer(
            editor,
            tensor,
            editor.add_constant(f"{tensor}_scale", np.asarray(scale, np.float32)),
            editor.add_constant(f"{tensor}_zero_point", np.asarray(zero_point, np.uint8)),
        )


def quantized_convolutions(editor: GraphEditor) -> list[onnx.NodeProto]:
    """The convolutions with quantised input and weights."""
    found = []
    for node in editor.nodes:
        if node.op_type == "Conv":
            makers = [editor.producer(name) for name in node.input[:2]]
            if all(one is not None and one.op_type == "DequantizeLinear" for one in makers):
                found.append(node)
    return found


def insert_quantizer(editor: GraphEditor, tensor: str, scale: str, zero_point: str) -> None:
    """Send *tensor* through a Q/DQ pair to all its readers."""
    readers = list(editor.readers.get(tensor, []))
    quantized, restored = f"{tensor}_quantized", f"{tensor}_restored"
    editor.add_node("QuantizeLinear", [tensor, scale, zero_point], quantized)
    editor.add_node("DequantizeLinear", [quantized, scale, zero_point], restored)
    editor.redirect(tensor, restored, readers)
    editor.refresh()


def _is_activation(editor: GraphEditor, node: onnx.NodeProto) -> bool:
    if node.op_type == "QuantizeLinear":
        return node.input[0] not in editor.constants
    if node.op_type != "DequantizeLinear" or node.input[0] in editor.constants:
        return False
    maker = editor.producer(node.input[0])
    return maker is None or _is_activation(editor, maker)


def _data_inputs(node: onnx.NodeProto) -> list[str]:
    return list(node.input) if node.op_type == "Concat" else [node.input[0]]


def activation_behind(editor: GraphEditor, convolution: onnx.NodeProto) -> Function:
    """The function that the readers of a convolution's output apply to it."""
    readers = editor.readers.get(convolution.output[0], [])
    kinds = sorted(node.op_type for node in readers)
    if kinds == ["Mul", "Sigmoid"]:
        return silu
    if kinds == ["LeakyRelu"]:
        slope = next((item.f for item in readers[0].attribute if item.name == "alpha"), 0.01)
        return leaky(float(slope))
    if kinds == ["Relu"]:
        return leaky(0.0)
    return identity
