"""INT8 export: calibration set, quantisation, budget and measurement, put together.

``edgeyolo.calibration`` knows neither exporters nor runtimes; here it gets both.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edgeyolo.calibration.budget import Score
from edgeyolo.calibration.cache import CalibrationCache
from edgeyolo.calibration.coverage import Coverage, survey
from edgeyolo.calibration.pictures import CalibrationPictures
from edgeyolo.calibration.quantize import (
    ModelFiles,
    QuantizedModel,
    Quantizer,
    QuantizeRequest,
    quantize,
)
from edgeyolo.calibration.ranges import RangeEstimator
from edgeyolo.calibration.sensitivity_files import (
    JSON_NAME,
    SVG_NAME,
    sensitivity_json,
    sensitivity_svg,
)
from edgeyolo.calibration.settings import Int8Settings
from edgeyolo.contract import Thresholds
from edgeyolo.data.bad_labels import NOTHING, judge_labels
from edgeyolo.data.labels import read_dataset
from edgeyolo.errors import UnsupportedError
from edgeyolo.exporters.catalog import EXPORTERS
from edgeyolo.exporters.vendor import ExportSource, VendorFiles
from edgeyolo.int8_files import raw_tflite_output, tflite_quantizer, write_files
from edgeyolo.int8_measure import Int8Meter, measuring_contract
from edgeyolo.int8_report import Int8Files
from edgeyolo.int8_request import (
    EvenFrames,
    Int8Request,
    calibration_pictures,
    dataset_name,
)
from edgeyolo.spec import Backend, OutputKind, Precision

# What is best where, over the table of docs/int8.md.
DEFAULT_ESTIMATORS = {
    Backend.OPENVINO: RangeEstimator.MSE,
    Backend.ONNX: RangeEstimator.MEAN_MIN_MAX,
    Backend.TENSORRT: RangeEstimator.MEAN_MIN_MAX,
    Backend.TFLITE: RangeEstimator.MSE,
}
# Where every operator can be in int8.
FULL_INTEGER = (Backend.TFLITE,)
# Without labels, agreement is counted on so many pictures.
_AGREEMENT_PICTURES = 64


def write_int8(
    source: ExportSource,
    backend: Backend,
    request: Int8Request,
    thresholds: Thresholds,
    folder: Path,
    progress: Callable[[str], None],
) -> Int8Files:
    """Write INT8 files of a detector into an existing folder.

    Args:
        source: The detector; uint8 pixels in.
        thresholds: Of the artifact.
        progress: Called with one line per stage.

    Raises:
        AccuracyError: The budget cannot be met.
        DatasetError: Too few calibration pictures, or unusable labels.
        UnsupportedError: The combination is not supported.
    """
    with _measuring(source, backend, request, thresholds, progress) as ground:
        return _quantized(ground, request, folder, progress)


def compare_int8(
    source: ExportSource,
    backend: Backend,
    request: Int8Request,
    estimators: Sequence[RangeEstimator | None],
    thresholds: Thresholds,
    progress: Callable[[str], None],
) -> Iterator[Int8Files]:
    """Quantise with several range estimators and measure; the files are thrown away.

    Args:
        estimators: ``None`` for the backend's best.

    Raises:
        As :func:`write_int8`.
    """
    with _measuring(source, backend, request, thresholds, progress) as ground:
        for estimator in estimators:
            with tempfile.TemporaryDirectory(prefix="edgeyolo-") as folder:
                one = replace(request, estimator=estimator)
                yield _quantized(ground, one, Path(folder), progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What every quantisation of one detector for one backend is measured against."""

    source: ExportSource
    backend: Backend
    pictures: CalibrationPictures
    meter: Int8Meter
    coverage: Coverage
    float_score: Score
    quantizer: Quantizer | None


@contextmanager
def _measuring(
    source: ExportSource,
    backend: Backend,
    request: Int8Request,
    thresholds: Thresholds,
    progress: Callable[[str], None],
) -> Iterator[_Ground]:
    if not source.pixels:
        raise UnsupportedError("INT8 takes pixels; leave --float-input out")
    if request.full_integer and backend not in FULL_INTEGER:
        raise UnsupportedError(
            f"a full-integer form exists for {', '.join(FULL_INTEGER)} only, not for {backend}"
        )
    pictures = calibration_pictures(request, source.spec.preprocess)
    with (
        tempfile.TemporaryDirectory(prefix="edgeyolo-float-") as work,
        _meter(source, backend, request, thresholds, pictures, Path(work)) as meter,
    ):
        progress(f"surveying {len(pictures)} calibration pictures")
        float_predictor = meter.reference()
        coverage = survey(pictures, lambda frame: len(float_predictor.predict(frame)))
        for line in coverage.lines():
            progress(line)
        progress("measuring the float model")
        yield _Ground(
            source=source,
            backend=backend,
            pictures=pictures,
            meter=meter,
            coverage=coverage,
            float_score=meter.float_score(),
            quantizer=own_quantizer(source, backend, request, pictures),
        )


def _quantized(
    ground: _Ground, request: Int8Request, folder: Path, progress: Callable[[str], None]
) -> Int8Files:
    source, backend, meter = ground.source, ground.backend, ground.meter
    # onnxruntime stands in for TensorRT: its time says nothing.
    timed = backend is not Backend.TENSORRT

    def measure(files: ModelFiles) -> Score:
        score = meter(files)
        return score if timed else replace(score, network_ms=None, float_ms=None)

    model = quantize(
        QuantizeRequest(
            backend=backend,
            source=source.graph(OutputKind.DECODED),
            pictures=ground.pictures,
            settings=Int8Settings(
                estimator=request.estimator or DEFAULT_ESTIMATORS[backend],
                float_layers=frozenset(request.float_layers),
            ),
            quantizer=ground.quantizer,
            variant="full-integer" if request.full_integer else "",
            max_drop=request.max_drop,
            float_score=ground.float_score,
            with_sensitivity=request.with_sensitivity or request.with_block_scores,
            score_blocks=meter.of_network if request.with_block_scores else None,
            cache=CalibrationCache(request.cache_folder) if request.cache_folder else None,
        ),
        measure,
        progress,
    )
    assert model.score is not None
    return Int8Files(
        files=_write(source, backend, model, request, folder),
        record=model.record,
        coverage=ground.coverage,
        float_score=ground.float_score,
        score=model.score,
        float_ms=model.score.float_ms,
        frontier=model.frontier,
        cost_ms=model.cost_ms,
        sensitivity=model.sensitivity,
        device=meter.device,
        dataset=dataset_name(request),
        compared=None if meter.dataset is not None else meter.float_objects(),
        left_out=meter.left_out,
    )


def own_quantizer(
    source: ExportSource, backend: Backend, request: Int8Request, pictures: CalibrationPictures
) -> Quantizer | None:
    """What makes the files where they do not start from the DECODED ONNX graph."""
    if backend is not Backend.TFLITE:
        return None
    return tflite_quantizer(source, pictures, full_integer=request.full_integer)


def _meter(
    source: ExportSource,
    backend: Backend,
    request: Int8Request,
    thresholds: Thresholds,
    pictures: CalibrationPictures,
    work: Path,
) -> Int8Meter:
    dataset, left_out = None, NOTHING
    if request.val_annotations is not None:
        dataset = read_dataset(request.val_annotations, images=request.val_images)
        left_out = judge_labels(
            dataset, request.val_annotations, request.val_images, skip=request.skip_bad_labels
        )
    # A network for TensorRT is measured by onnxruntime, which computes the same Q/DQ pairs.
    stand_in = Backend.ONNX if backend is Backend.TENSORRT else backend
    plain = replace(source, suppression=None)
    files = EXPORTERS[stand_in].write(plain, Precision.FP32, work)
    contract = measuring_contract(source.spec, stand_in, files, thresholds, Precision.FP32)
    output = raw_tflite_output(plain) if request.full_integer else contract.output
    return Int8Meter(
        float_file=work / files.entry,
        contract=replace(contract, precision=Precision.INT8, output=output),
        float_contract=contract,
        dataset=dataset,
        frames=EvenFrames(request.val_images, pictures, _AGREEMENT_PICTURES),
        left_out=left_out,
    )


def _write(
    source: ExportSource,
    backend: Backend,
    model: QuantizedModel,
    request: Int8Request,
    folder: Path,
) -> VendorFiles:
    files = write_files(source, backend, model.files, folder, full_integer=request.full_integer)
    if model.sensitivity is None:
        return files
    left = frozenset(model.record.float_layers)
    (folder / JSON_NAME).write_text(sensitivity_json(model.sensitivity), encoding="utf-8")
    (folder / SVG_NAME).write_text(sensitivity_svg(model.sensitivity, left), encoding="utf-8")
    return replace(files, names=(*files.names, JSON_NAME, SVG_NAME))
