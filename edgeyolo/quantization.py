"""INT8 export: calibration set, quantisation, budget and measurement, put together.

``edgeyolo.calibration`` knows neither exporters nor runtimes; here it gets both.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeyolo.calibration.budget import FrontierPoint, Score, ScoreKind
from edgeyolo.calibration.cache import CalibrationCache
from edgeyolo.calibration.coverage import Coverage, survey
from edgeyolo.calibration.pictures import (
    DEFAULT_PICTURES,
    CalibrationPictures,
    choose_pictures,
)
from edgeyolo.calibration.quantize import (
    QuantizedModel,
    Quantizer,
    QuantizeRequest,
    quantize,
)
from edgeyolo.calibration.ranges import RangeEstimator
from edgeyolo.calibration.sensitivity import Sensitivity
from edgeyolo.calibration.sensitivity_files import (
    JSON_NAME,
    SVG_NAME,
    sensitivity_json,
    sensitivity_svg,
)
from edgeyolo.calibration.settings import Int8Settings
from edgeyolo.contract import (
    AccuracyRecord,
    CalibrationRecord,
    LatencyRecord,
    Thresholds,
)
from edgeyolo.data.labels import read_dataset
from edgeyolo.errors import UnsupportedError
from edgeyolo.exporters.catalog import EXPORTERS
from edgeyolo.exporters.vendor import ExportSource, VendorFiles
from edgeyolo.int8_files import raw_tflite_output, tflite_quantizer, write_files
from edgeyolo.int8_measure import Int8Meter, measuring_contract
from edgeyolo.pictures import list_pictures, read_picture
from edgeyolo.spec import Backend, OutputKind, Precision, Preprocess

_LABELS = frozenset({".json", ".yaml", ".yml"})
# What is best where, over the table of docs/int8.md.
DEFAULT_ESTIMATORS = {
    Backend.OPENVINO: RangeEstimator.MEAN_MIN_MAX,
    Backend.ONNX: RangeEstimator.MEAN_MIN_MAX,
    Backend.TENSORRT: RangeEstimator.MEAN_MIN_MAX,
    Backend.TFLITE: RangeEstimator.MSE,
}
# Where every operator can be in int8.
FULL_INTEGER = (Backend.TFLITE,)
# Without labels, agreement is counted on so many pictures.
_AGREEMENT_PICTURES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Request:
    """How INT8 is made.

    Attributes:
        calibration: Folder, list, video, COCO JSON or data-set YAML.
        most: Calibration pictures used.
        allow_few: Accept fewer than 32.
        seed: Of the choice of pictures.
        estimator: The backend's best where ``None``.
        float_layers: Convolutions left in float, named as in the ONNX graph.
        max_drop: Budget; ``None`` for none.
        val_images: Pictures to measure on.
        val_annotations: Their labels; without, agreement with the float model is measured.
        full_integer: TFLite: every operator in int8, raw heads decoded on the host.
        with_sensitivity: Measure every layer even where no budget asks for it.
        cache_folder: Calibration results; ``None`` for no cache.
    """

    calibration: Path
    most: int = DEFAULT_PICTURES
    allow_few: bool = False
    seed: int = 0
    estimator: RangeEstimator | None = None
    float_layers: tuple[str, ...] = ()
    max_drop: float | None = None
    val_images: Path | None = None
    val_annotations: Path | None = None
    full_integer: bool = False
    with_sensitivity: bool = False
    cache_folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Int8Files:
    """INT8 files in a folder, and everything measured on the way.

    Attributes:
        files: As an exporter describes them.
        record: For the contract.
        coverage: Of the calibration set.
        float_score: Of the float model on the same backend.
        score: Of the INT8 files.
        float_ms: Median time of a float call, ``None`` where the backend does not run here.
        frontier: All trials of the budget.
        cost_ms: What the budget's float layers cost.
        sensitivity: Where it was measured.
        device: What the time was measured on.
        dataset: What the score was measured on.
        compared: Detections of the float model that agreement was counted on; ``None`` for AP.
    """

    files: VendorFiles
    record: CalibrationRecord
    coverage: Coverage
    float_score: Score
    score: Score
    float_ms: float | None
    frontier: tuple[FrontierPoint, ...]
    cost_ms: float | None
    sensitivity: Sensitivity | None
    device: str
    dataset: str
    compared: int | None = None

    def accuracy(self) -> AccuracyRecord | None:
        """For the contract, where AP was measured."""
        if self.score.kind is not ScoreKind.AP:
            return None
        return AccuracyRecord(
            ap=self.score.value,
            ap50=self.score.ap50 or 0.0,
            images=self.score.pictures,
            dataset=self.dataset,
            float_ap=self.float_score.value,
        )

    def latency(self) -> LatencyRecord | None:
        """For the contract, where the backend runs on this machine."""
        if self.score.network_ms is None or self.float_ms is None:
            return None
        return LatencyRecord(
            network_ms=self.score.network_ms,
            batch=1,
            device=self.device,
            threads=None,
            float_network_ms=self.float_ms,
        )

    def lines(self) -> list[str]:
        """Float and INT8 side by side, for people."""
        before, after = self.float_score.value, self.score.value
        lines = [
            f"{self.score.kind} on {self.score.pictures} pictures of {self.dataset}: "
            f"float {before:.4f}, INT8 {after:.4f} (drop {before - after:+.4f})"
        ]
        if self.compared is not None:
            lines.append(f"agreement was counted on {self.compared} detections of the float model")
        int8_ms, float_ms = self.score.network_ms, self.float_ms
        if int8_ms is not None and float_ms is not None:
            lines.append(
                f"network on this machine ({self.device}): float {float_ms:.2f} ms, "
                f"INT8 {int8_ms:.2f} ms ({int8_ms / float_ms:.2f} of the time)"
            )
            if int8_ms >= float_ms:
                lines.append(
                    "INT8 is SLOWER than float on this machine; export fp32 or fp16 for it"
                )
        if len(self.frontier) > 1:
            lines.append("budget: " + "; ".join(point.text() for point in self.frontier))
        if self.cost_ms is not None and self.record.float_layers:
            lines.append(
                f"{len(self.record.float_layers)} layers stay float, which costs "
                f"{self.cost_ms:+.2f} ms against INT8 throughout"
            )
        return lines


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
        float_score = meter.float_score()
        model = quantize(
            QuantizeRequest(
                backend=backend,
                source=source.graph(OutputKind.DECODED),
                pictures=pictures,
                settings=Int8Settings(
                    estimator=request.estimator or DEFAULT_ESTIMATORS[backend],
                    float_layers=frozenset(request.float_layers),
                ),
                quantizer=own_quantizer(source, backend, request, pictures),
                variant="full-integer" if request.full_integer else "",
                max_drop=request.max_drop,
                float_score=float_score,
                with_sensitivity=request.with_sensitivity,
                cache=CalibrationCache(request.cache_folder) if request.cache_folder else None,
            ),
            meter,
            progress,
        )
        float_ms = None if backend is Backend.TENSORRT else meter.float_ms
        device = meter.device
        compared = None if meter.dataset is not None else meter.float_objects()
    assert model.score is not None
    score = model.score
    if backend is Backend.TENSORRT:
        # onnxruntime stood in for it: its time says nothing.
        score = replace(score, network_ms=None)
    return Int8Files(
        files=_write(source, backend, model, request, folder),
        record=model.record,
        coverage=coverage,
        float_score=float_score,
        score=score,
        float_ms=float_ms,
        frontier=model.frontier,
        cost_ms=None if backend is Backend.TENSORRT else model.cost_ms,
        sensitivity=model.sensitivity,
        device=device,
        dataset=dataset_name(request),
        compared=compared,
    )


def calibration_pictures(request: Int8Request, preprocess: Preprocess) -> CalibrationPictures:
    """The calibration set that a request names.

    Raises:
        DatasetError, SourceError: It cannot be used.
    """
    where: Path | list[Path] = request.calibration
    if request.calibration.suffix.lower() in _LABELS:
        where = [
            picture.path for picture in read_dataset(request.calibration, split="train").pictures
        ]
    return choose_pictures(
        where,
        preprocess,
        most=request.most,
        seed=request.seed,
        allow_few=request.allow_few,
    )


def photographs(
    request: Int8Request, preprocess: Preprocess, count: int
) -> tuple[list[NDArray[np.uint8]], str]:
    """Some (H, W, 3) uint8 BGR pictures that a request names, and what to call them.

    Of the validation pictures where there are any, else of the calibration set.
    """
    frames = _Frames(request.val_images, calibration_pictures(request, preprocess), count)
    return list(frames), (request.val_images or request.calibration).name


def own_quantizer(
    source: ExportSource, backend: Backend, request: Int8Request, pictures: CalibrationPictures
) -> Quantizer | None:
    """What makes the files where they do not start from the DECODED ONNX graph."""
    if backend is not Backend.TFLITE:
        return None
    return tflite_quantizer(source, pictures, full_integer=request.full_integer)


def dataset_name(request: Int8Request) -> str:
    """What the accuracy is measured on."""
    if request.val_annotations is not None:
        return request.val_annotations.parent.name + "/" + request.val_annotations.name
    return (request.val_images or request.calibration).name


def _meter(
    source: ExportSource,
    backend: Backend,
    request: Int8Request,
    thresholds: Thresholds,
    pictures: CalibrationPictures,
    work: Path,
) -> Int8Meter:
    # A network for TensorRT is measured by onnxruntime, which computes the same Q/DQ pairs.
    stand_in = Backend.ONNX if backend is Backend.TENSORRT else backend
    plain = replace(source, suppression=None)
    files = EXPORTERS[stand_in].write(plain, Precision.FP32, work)
    contract = measuring_contract(source.spec, stand_in, files, thresholds, Precision.FP32)
    dataset = None
    if request.val_annotations is not None:
        dataset = read_dataset(request.val_annotations, images=request.val_images)
    output = raw_tflite_output(plain) if request.full_integer else contract.output
    return Int8Meter(
        float_file=work / files.entry,
        contract=replace(contract, precision=Precision.INT8, output=output),
        float_contract=contract,
        dataset=dataset,
        frames=_Frames(request.val_images, pictures, _AGREEMENT_PICTURES),
    )


@dataclass(frozen=True, slots=True)
class _Frames:
    """At most *most* pictures, evenly spread, of a folder or else of the calibration set."""

    folder: Path | None
    pictures: CalibrationPictures
    most: int

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        if self.folder is None:
            return self.pictures.sample(self.most).frames()
        found = list_pictures(self.folder)
        index = np.linspace(0, len(found) - 1, min(self.most, len(found))).round().astype(int)
        return (read_picture(found[i]) for i in index.tolist())


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
