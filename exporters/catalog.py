"""All exporters."""

from __future__ import annotations

from collections.abc import Mapping

from edgeyolo.exporters.onnx_files import OnnxFiles
from edgeyolo.exporters.openvino_exporter import OpenVinoFiles
from edgeyolo.exporters.tensorrt_exporter import TensorRtFiles
from edgeyolo.exporters.tflite_exporter import TfliteFiles
from edgeyolo.exporters.vendor import Exporter
from edgeyolo.spec import Backend

EXPORTERS: Mapping[Backend, Exporter] = {
    Backend.ONNX: OnnxFiles(),
    Backend.OPENVINO: OpenVinoFiles(),
    Backend.TFLITE: TfliteFiles(),
    Backend.TENSORRT: TensorRtFiles(),
}
