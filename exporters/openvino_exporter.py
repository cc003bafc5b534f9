"""Artifacts for OpenVINO: IR, ``model.xml`` with ``model.bin``."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import onnx

from edgeyolo.contract import decode
from edgeyolo.errors import BackendError, needs, one_line
from edgeyolo.exporters.onnx_exporter import save_onnx
from edgeyolo.exporters.vendor import ExportSource, VendorFiles
from edgeyolo.openvino_core import new_core
from edgeyolo.runtimes.openvino_adapter import RT_INFO_PATH
from edgeyolo.spec import Backend, OutputKind, Precision

ENTRY = "model.xml"
# model_api splits labels at blanks, and XML 1.0 cannot hold every character.
_NOT_IN_LABELS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# JSON has escaped control characters already.
_NOT_IN_XML = re.compile(r"[\ud800-\udfff\ufffe\uffff]")


class OpenVinoFiles:
    """See :class:`edgeyolo.exporters.vendor.Exporter`."""

    backend: Backend = Backend.OPENVINO
    packages: tuple[str, ...] = ("torch", "onnx", "onnxsim", "openvino")

    def write(self, source: ExportSource, precision: Precision, folder: Path) -> VendorFiles:
        model = convert(source.graph(OutputKind.DECODED))
        save_ir(model, folder / ENTRY, half=precision is Precision.FP16)
        return VendorFiles(
            entry=ENTRY,
            names=(ENTRY, "model.bin"),
            input=source.input,
            output=source.output(OutputKind.DECODED),
        )

    def embed(self, folder: Path, entry: str, contract_json: str) -> None:
        embed_contract(folder / entry, contract_json)


def convert(proto: onnx.ModelProto) -> Any:
    """An ONNX graph as ``openvino.Model``, with x * sigmoid(x) fused to Swish."""
    with needs("openvino", extra="openvino"):
        import openvino
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        save_onnx(proto, path)
        try:
            # convert_model, not read_model: only it fuses Swish, which INT8 depends on.
            return openvino.convert_model(str(path))
        except Exception as error:
            raise BackendError(f"OpenVINO cannot convert the graph: {one_line(error)}") from error


def save_ir(model: Any, path: Path, *, half: bool) -> None:
    """Write a model as IR; without *half* weights keep the type they have."""
    import openvino

    openvino.save_model(model, str(path), compress_to_fp16=half)


def embed_contract(path: Path, contract_json: str) -> None:
    """Write the contract into ``rt_info``, and what Intel's model_api reads under ``model_info``.

    ``model_type`` is left out: none of model_api's wrappers takes decoded boxes and scores.
    Weights are written again by OpenVINO as they were.
    """
    import openvino

    model = new_core().read_model(str(path))
    escaped = _NOT_IN_XML.sub(lambda found: f"\\u{ord(found.group()):04x}", contract_json)
    model.set_rt_info(escaped, RT_INFO_PATH)
    contract = decode(contract_json, origin=str(path))
    for key, value in {
        "labels": " ".join(_NOT_IN_LABELS.sub("_", name) for name in contract.model.class_names),
        "confidence_threshold": contract.thresholds.min_score,
        "iou_threshold": contract.thresholds.iou_threshold,
        "pad_value": contract.model.preprocess.pad_value,
        "orig_height": contract.model.input_hw[0],
        "orig_width": contract.model.input_hw[1],
        "resize_type": "fit_to_window_letterbox",
    }.items():
        text = value if isinstance(value, str) else json.dumps(value)
        model.set_rt_info(text, ["model_info", key])
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        copy = Path(folder, path.name)
        openvino.save_model(model, str(copy), compress_to_fp16=False)
        del model  # frees the mapping of the old weights before they are replaced
        copy.with_suffix(".bin").replace(path.with_suffix(".bin"))
        copy.replace(path)
