"""PyTorch detector -> simplified ONNX graph with named inputs and outputs."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch

from edgeyolo.contract import CONTRACT_KEY, InputSpec
from edgeyolo.errors import BackendError, one_line
from edgeyolo.exporters.graph_model import ExportGraph, output_names
from edgeyolo.exporters.simplify import SimplifyReport, simplify
from edgeyolo.models.detector import Detector
from edgeyolo.spec import Layout, ModelSpec, OutputKind

# 13 is the first with per-axis DequantizeLinear; TensorRT 8.6 reads up to 17.
OPSET = 13
INPUT_NAME = "images"


def input_spec(*, pixels: bool, batch: int | None) -> InputSpec:
    """The input tensor of an exported graph.

    Args:
        pixels: uint8 NHWC BGR pixels with the preprocessing inside the graph; else float32 NCHW,
            preprocessed on the host.
        batch: Pictures per call; ``None`` for any number.
    """
    return InputSpec(
        name=INPUT_NAME,
        layout=Layout.NHWC if pixels else Layout.NCHW,
        dtype="uint8" if pixels else "float32",
        preprocessed_in_graph=pixels,
        batch=batch,
    )


def export_onnx(
    model: Detector,
    spec: ModelSpec,
    *,
    form: OutputKind = OutputKind.DECODED,
    pixels: bool = True,
    batch: int | None = 1,
) -> tuple[onnx.ModelProto, SimplifyReport]:
    """Trace a detector into a simplified ONNX graph.

    Args:
        model: In deploy form (:func:`edgeyolo.models.deploy.deploy`), eval mode.
        spec: Its input size decides the graph's.
        form: DECODED (``boxes``, ``scores``) or RAW head maps, NCHW logits.
        pixels: See :func:`input_spec`.
        batch: Pictures per call; ``None`` for a dynamic batch.

    Returns:
        The graph, and what simplification did.

    Raises:
        BackendError: torch or the checker refuses the graph.
    """
    names = output_names(spec, form)
    proto = _trace(ExportGraph(model, spec, form=form, pixels=pixels).eval(), spec, names, batch)
    _name_batch_axis(proto, batch)
    simplified, report = simplify(proto)
    del simplified.metadata_props[:]
    simplified.producer_name = "edgeyolo"
    simplified.producer_version = ""
    return simplified, report


def write_metadata(proto: onnx.ModelProto, properties: Mapping[str, str]) -> None:
    """Set ``metadata_props`` of a graph, replacing entries of the same key."""
    kept = [(item.key, item.value) for item in proto.metadata_props if item.key not in properties]
    del proto.metadata_props[:]
    for key, value in [*kept, *properties.items()]:
        proto.metadata_props.add(key=key, value=value)


def embed_contract(proto: onnx.ModelProto, contract_json: str) -> None:
    """Put the contract into the graph, so that a lone file still loads."""
    write_metadata(proto, {CONTRACT_KEY: contract_json})


def save_onnx(proto: onnx.ModelProto, path: Path) -> None:
    """Write a graph; over 2 GB its weights go into one file beside it."""
    if proto.ByteSize() < 2**31 - 2**20:
        onnx.save(proto, path)
    else:
        onnx.save(proto, path, save_as_external_data=True, location=f"{path.name}.data")


def _trace(
    graph: ExportGraph, spec: ModelSpec, names: tuple[str, ...], batch: int | None
) -> onnx.ModelProto:
    height, width = spec.input_hw
    count = batch or 1
    if graph.pixels is None:
        example = torch.zeros(count, 3, height, width)
    else:
        example = torch.zeros(count, height, width, 3, dtype=torch.uint8)
    dynamic = None if batch else {name: {0: "batch"} for name in (INPUT_NAME, *names)}
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        torch.no_grad(),
    ):
        # torch announces on every call that this exporter is the older one (seen in 2.13).
        warnings.simplefilter("ignore")
        path = Path(folder, "model.onnx")
        try:
            torch.onnx.export(
                graph,
                (example,),
                path,
                input_names=[INPUT_NAME],
                output_names=list(names),
                dynamic_axes=dynamic,
                opset_version=OPSET,
                dynamo=False,
            )
        except Exception as error:
            raise BackendError(
                f"torch.onnx could not export {spec.name}: {one_line(error)}"
            ) from error
        return onnx.load(path)


def _name_batch_axis(proto: onnx.ModelProto, batch: int | None) -> None:
    """The tracer leaves batch sizes of outputs symbolic where reshapes use -1: state them."""
    for value in [*proto.graph.input, *proto.graph.output]:
        axis = value.type.tensor_type.shape.dim[0]
        if batch is None:
            axis.dim_param = "batch"
        else:
            axis.dim_value = batch
