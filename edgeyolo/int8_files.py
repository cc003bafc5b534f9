"""INT8 files of every backend, written as its exporter writes the float ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeyolo.calibration.pictures import CalibrationPictures
from edgeyolo.calibration.quantize import ModelFiles, Quantizer
from edgeyolo.calibration.ranges import RangeEstimator
from edgeyolo.calibration.settings import Int8Settings
from edgeyolo.calibration.tflite_int8 import TfliteCalibration
from edgeyolo.contract import OutputSpec
from edgeyolo.exporters import onnx_files, openvino_exporter, tflite_exporter
from edgeyolo.exporters.nms_graph import append_suppression, suppressed_output
from edgeyolo.exporters.onnx_exporter import save_onnx
from edgeyolo.exporters.tensorrt_exporter import TensorRtFiles
from edgeyolo.exporters.tflite_exporter import TfliteModel, export_tflite
from edgeyolo.exporters.vendor import ExportSource, Proof, VendorFiles
from edgeyolo.spec import Backend, OutputKind, Precision
from edgeyolo.tflite.writer import to_bytes

if TYPE_CHECKING:
    import onnx


def write_files(
    source: ExportSource,
    backend: Backend,
    files: ModelFiles,
    folder: Path,
    *,
    full_integer: bool = False,
) -> VendorFiles:
    """Write the result of a quantisation into an existing folder.

    Args:
        source: The detector; decides suppression in the graph.
        files: From :func:`edgeyolo.calibration.quantize.quantize`.
        full_integer: Of TFLite: outputs are raw heads.
    """
    if backend is Backend.OPENVINO:
        for name, data in files.items():
            (folder / name).write_bytes(data)
        output = source.output(OutputKind.DECODED)
        names = (openvino_exporter.ENTRY, "model.bin")
        return VendorFiles(openvino_exporter.ENTRY, names, source.input, output)
    if backend is Backend.TFLITE:
        (folder / tflite_exporter.ENTRY).write_bytes(files[tflite_exporter.ENTRY])
        model = _lowered(source, full_integer=full_integer)
        entry = tflite_exporter.ENTRY
        return VendorFiles(entry, (entry,), model.input, model.output)
    import onnx

    proto = onnx.load_from_string(files[onnx_files.ENTRY])
    if backend is Backend.TENSORRT:
        return TensorRtFiles().write_graph(source, proto, Precision.INT8, folder)
    return _write_onnx(source, proto, folder)


def raw_tflite_output(source: ExportSource) -> OutputSpec:
    """The raw heads of a full-integer TFLite file."""
    return _lowered(source, full_integer=True).output


def tflite_quantizer(
    source: ExportSource, pictures: CalibrationPictures, *, full_integer: bool
) -> Quantizer:
    """Makes TFLite files; pictures are looked at once, whatever the range estimators."""
    graph = _lowered(source, full_integer=full_integer).graph
    observed: dict[RangeEstimator, TfliteCalibration] = {}

    def quantize(settings: Int8Settings) -> ModelFiles:
        if settings.estimator not in observed:
            earlier = next(iter(observed.values()), None)
            observed[settings.estimator] = TfliteCalibration(
                graph,
                pictures,
                settings.estimator,
                samples=None if earlier is None else earlier.samples,
            )
        result = observed[settings.estimator].quantize(
            settings.float_layers, full_integer=full_integer
        )
        return {tflite_exporter.ENTRY: to_bytes(result)}

    return quantize


def _lowered(source: ExportSource, *, full_integer: bool) -> TfliteModel:
    form = OutputKind.RAW if full_integer else OutputKind.DECODED
    raw = source.graph(OutputKind.RAW)
    return export_tflite(raw, source.spec, form=form, batch=source.batch)


def _write_onnx(source: ExportSource, proto: onnx.ModelProto, folder: Path) -> VendorFiles:
    entry = onnx_files.ENTRY
    output = source.output(OutputKind.DECODED)
    proof = None
    if source.suppression is not None:
        save_onnx(proto, folder / onnx_files.DECODED)
        proof = Proof(onnx_files.DECODED, Backend.ONNX, output, suppressed=(entry,))
        proto = append_suppression(proto, source.suppression)
        output = suppressed_output()
    save_onnx(proto, folder / entry)
    names = tuple(
        name
        for name in onnx_files.files_beside(folder, entry)
        if not name.startswith(onnx_files.DECODED)
    )
    return VendorFiles(entry, names, source.input, output, (), proof)
