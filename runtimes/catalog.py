"""All runtimes, and which one opens a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgeyolo.runtimes.onnxruntime_adapter import OnnxRuntime
from edgeyolo.runtimes.openvino_adapter import OpenVinoRuntime
from edgeyolo.runtimes.session import Runtime
from edgeyolo.runtimes.tensorrt_adapter import TensorRtRuntime
from edgeyolo.runtimes.tflite_adapter import TfliteRuntime
from edgeyolo.spec import Backend

RUNTIMES: Mapping[Backend, Runtime] = {
    Backend.ONNX: OnnxRuntime(),
    Backend.OPENVINO: OpenVinoRuntime(),
    Backend.TFLITE: TfliteRuntime(),
    Backend.TENSORRT: TensorRtRuntime(),
}

SUFFIXES: Mapping[str, Backend] = {
    ".onnx": Backend.ONNX,
    ".xml": Backend.OPENVINO,
    ".tflite": Backend.TFLITE,
    ".engine": Backend.TENSORRT,
}


def backend_of(file: Path) -> Backend | None:
    """The backend that a lone vendor file belongs to, by its suffix."""
    return SUFFIXES.get(file.suffix.lower())
