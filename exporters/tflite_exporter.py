"""Artifacts for TFLite: one ``.tflite`` file, lowered from the RAW-form ONNX graph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeyolo.contract import CONTRACT_KEY, InputSpec, OutputSpec
from edgeyolo.errors import UnsupportedError
from edgeyolo.exporters.tflite_lowering import lower
from edgeyolo.exporters.vendor import ExportSource, VendorFiles
from edgeyolo.spec import Backend, Layout, ModelSpec, OutputKind, Precision
from edgeyolo.tflite.graph import Graph, Kind, Operator
from edgeyolo.tflite.writer import set_metadata, to_bytes

ENTRY = "model.tflite"


@dataclass(frozen=True, slots=True)
class TfliteModel:
    """A TFLite graph, and how it is fed and read."""

    graph: Graph
    input: InputSpec
    output: OutputSpec


class TfliteFiles:
    """See :class:`edgeyolo.exporters.vendor.Exporter`."""

    backend: Backend = Backend.TFLITE
    packages: tuple[str, ...] = ("torch", "onnx", "onnxsim", "ai-edge-litert")

    def write(self, source: ExportSource, precision: Precision, folder: Path) -> VendorFiles:
        raw = source.graph(OutputKind.RAW)
        model = export_tflite(raw, source.spec, precision=precision, batch=source.batch)
        (folder / ENTRY).write_bytes(to_bytes(model.graph))
        return VendorFiles(entry=ENTRY, names=(ENTRY,), input=model.input, output=model.output)

    def embed(self, folder: Path, entry: str, contract_json: str) -> None:
        data = (folder / entry).read_bytes()
        (folder / entry).write_bytes(set_metadata(data, CONTRACT_KEY, contract_json.encode()))


def export_tflite(
    raw_onnx: onnx.ModelProto,
    spec: ModelSpec,
    *,
    precision: Precision = Precision.FP32,
    form: OutputKind = OutputKind.DECODED,
    batch: int | None = 1,
) -> TfliteModel:
    """Lower a graph.

    Args:
        raw_onnx: Simplified, outputs in RAW form, input ``(B, H, W, 3)`` uint8 with all
            preprocessing inside or ``(B, 3, H, W)`` float32 without.
        spec: What the model is; decides the decode.
        precision: FP32, or FP16 for weights of half the size (computed in float32 where the
            processor has no half precision). INT8 is made by ``edgeyolo.calibration``.
        form: DECODED or RAW.
        batch: Pictures per call; ``None`` for a file that accepts any number.

    Raises:
        UnsupportedError: A node outside the closed set, a form or precision not known.
    """
    graph = lower(raw_onnx, spec, form=form, batch=batch or 1)
    if precision is Precision.FP16:
        graph = with_half_weights(graph)
    elif precision is not Precision.FP32:
        raise UnsupportedError(f"tflite lowers to fp32 and fp16; {precision} needs calibration")
    return TfliteModel(graph, _input_spec(graph, batch), output_spec(graph, form))


def output_spec(graph: Graph, form: OutputKind) -> OutputSpec:
    """The outputs of a lowered graph."""
    return OutputSpec(kind=form, names=graph.outputs, layout=Layout.NHWC)


def _input_spec(graph: Graph, batch: int | None) -> InputSpec:
    tensor = graph.tensors[graph.inputs[0]]
    return InputSpec(
        name=tensor.name,
        layout=Layout.NHWC,
        dtype=tensor.dtype.name,
        preprocessed_in_graph=tensor.dtype == np.uint8,
        batch=batch,
    )


def with_half_weights(graph: Graph) -> Graph:
    """The graph with float16 convolution weights, each read through a DEQUANTIZE.

    Runtimes unpack such constants once, when the model is loaded. Weights that float16 cannot
    hold (beyond 65504, or so small that digits are lost) stay float32.
    """
    tensors = dict(graph.tensors)
    operators: list[Operator] = []
    for operator in graph.operators:
        if operator.kind not in (Kind.CONV_2D, Kind.DEPTHWISE_CONV_2D):
            operators.append(operator)
            continue
        image, weights, bias = operator.inputs
        data = tensors[weights].data
        half_name = f"{weights}_half"
        if data is not None and half_name not in tensors:
            half = _as_half(data)
            if half is None:
                operators.append(operator)
                continue
            tensors[half_name] = replace(
                tensors[weights], name=half_name, dtype=half.dtype, data=half
            )
            tensors[weights] = replace(tensors[weights], data=None)
            operators.append(
                Operator(Kind.DEQUANTIZE, (half_name,), (weights,), source=operator.source)
            )
        operators.append(replace(operator, inputs=(image, weights, bias)))
    return Graph(tensors, operators, graph.inputs, graph.outputs, dict(graph.metadata))


def _as_half(weights: NDArray[Any]) -> NDArray[np.float16] | None:
    largest = float(np.abs(weights).max(initial=0.0))
    if largest > np.finfo(np.float16).max:
        return None
    half: NDArray[np.float16] = weights.astype(np.float16)
    # Below 6e-5 float16 has fewer than 11 bits: weights with 1/255 folded in are near it.
    error = float(np.abs(half.astype(np.float32) - weights).max(initial=0.0))
    return half if error <= largest * 2**-10 else None
