"""``quantize(request)``: a float graph and pictures become INT8 files for one backend."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgeyolo.calibration.block_sensitivity import ScoreNetwork, measure_blocks
from edgeyolo.calibration.budget import FrontierPoint, Score, keep_within
from edgeyolo.calibration.cache import CacheKey, CalibrationCache
from edgeyolo.calibration.nncf_backend import ActivationScheme
from edgeyolo.calibration.onnx_flavours import for_onnxruntime, for_sensitivity, for_tensorrt
from edgeyolo.calibration.onnx_int8 import quantize_onnx
from edgeyolo.calibration.openvino_int8 import quantize_openvino
from edgeyolo.calibration.pictures import CalibrationPictures
from edgeyolo.calibration.sensitivity import Sensitivity, measure_sensitivity
from edgeyolo.calibration.settings import Int8Settings
from edgeyolo.calibration.switched_graph import SwitchedGraph
from edgeyolo.contract import CalibrationRecord
from edgeyolo.errors import UnsupportedError, needs
from edgeyolo.spec import Backend

if TYPE_CHECKING:
    import onnx

# File name -> content.
ModelFiles = Mapping[str, bytes]


class Measure(Protocol):
    """Accuracy (and time, where this machine can run it) of quantised files."""

    def __call__(self, files: ModelFiles) -> Score: ...


class Quantizer(Protocol):
    """One backend's way from float to INT8 files."""

    def __call__(self, settings: Int8Settings) -> ModelFiles: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeRequest:
    """What to quantise, and how well.

    Attributes:
        backend: Where it will run.
        source: Float ONNX graph, uint8 NHWC pixels in, ``boxes`` and ``scores`` out; layers are
            named as in it.
        pictures: Calibration set.
        settings: Algorithm and layers that the user wants in float.
        quantizer: What makes the files, for backends that do not start from *source* (TFLite);
            ours for the others where ``None``.
        variant: Form of the files where a backend has several; part of the cache key.
        max_drop: Most that the score may fall below *float_score*; ``None`` for no budget.
        float_score: Of the float model, on the pictures that *measure* uses.
        with_sensitivity: Measure every layer even where the budget does not ask for it.
        score_blocks: Accuracy of any network; where given, the sensitivity is measured as
            accuracy, too, block by block.
        cache: Where results are kept; ``None`` for nowhere.
    """

    backend: Backend
    source: onnx.ModelProto
    pictures: CalibrationPictures
    settings: Int8Settings
    quantizer: Quantizer | None = None
    variant: str = ""
    max_drop: float | None = None
    float_score: Score | None = None
    with_sensitivity: bool = False
    score_blocks: ScoreNetwork | None = None
    cache: CalibrationCache | None = None

    def __post_init__(self) -> None:
        if self.max_drop is not None and self.float_score is None:
            raise ValueError("max_drop needs float_score, what the drop is counted from")


@dataclass(frozen=True, slots=True)
class QuantizedModel:
    """INT8 files, and what is known of them.

    Attributes:
        files: File name -> content.
        record: For the contract.
        score: Of these files; ``None`` where nothing measured them.
        frontier: Every trial of the budget; one point without.
        sensitivity: Per layer, where it was measured.
        cost_ms: Time that the budget's float layers cost, where it was measured.
    """

    files: ModelFiles
    record: CalibrationRecord
    score: Score | None
    frontier: tuple[FrontierPoint, ...]
    sensitivity: Sensitivity | None
    cost_ms: float | None


def quantize(
    request: QuantizeRequest,
    measure: Measure | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> QuantizedModel:
    """Quantise, within the budget where there is one.

    Args:
        measure: Needed for a budget.
        progress: Called with one line per stage.

    Raises:
        AccuracyError: The budget cannot be met; the message has the frontier.
        MissingPackageError, BackendError: A quantisation library is missing or fails.
        UnsupportedError: The backend or graph cannot be quantised.
    """
    job = _Job(request, progress)
    if request.max_drop is None:
        files = job.files(frozenset())
        score = measure(files) if measure is not None else None
        sensitivity = job.sensitivity() if request.with_sensitivity else None
        frontier = () if score is None else (_point((), score, request.float_score),)
        return QuantizedModel(files, job.record(()), score, frontier, sensitivity, None)
    if measure is None or request.float_score is None:
        raise ValueError("a budget needs something that measures")
    kept = keep_within(
        max_drop=request.max_drop,
        float_score=request.float_score,
        order=lambda: [layer.name for layer in job.sensitivity().order()],
        quantize=job.files,
        measure=measure,
        progress=progress,
    )
    if request.with_sensitivity:
        job.sensitivity()
    return QuantizedModel(
        kept.files,
        job.record(kept.chosen.float_layers),
        kept.chosen.score,
        kept.frontier,
        job.measured_sensitivity,
        kept.cost_ms,
    )


def digest_of_graph(graph: onnx.ModelProto) -> str:
    """SHA-256 of weights and structure."""
    return hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest()


class _Job:
    """One request: quantises with more and more float layers, through the cache."""

    def __init__(self, request: QuantizeRequest, progress: Callable[[str], None]) -> None:
        self.request = request
        self.progress = progress
        self.measured_sensitivity: Sensitivity | None = None
        self._graph_sha256 = digest_of_graph(request.source)
        self._quantizer = request.quantizer or _own_quantizer(
            request.backend, request.source, request.pictures
        )

    def files(self, float_layers: frozenset[str]) -> ModelFiles:
        request = self.request
        settings = Int8Settings(
            estimator=request.settings.estimator,
            float_layers=request.settings.float_layers | float_layers,
        )
        return self._through_cache(
            request.backend, settings, request.variant, lambda: self._quantizer(settings)
        )

    def sensitivity(self) -> Sensitivity:
        """Measured on a Q/DQ graph: the result itself, or one that resembles it."""
        if self.measured_sensitivity is None:
            request = self.request
            self.progress("measuring the sensitivity of every layer")
            if request.backend in (Backend.ONNX, Backend.TENSORRT):
                files = self.files(frozenset())
            else:
                files = self._through_cache(
                    Backend.ONNX, request.settings, "sensitivity", self._resembling_files
                )
            quantized = type(request.source).FromString(next(iter(files.values())))
            graph = SwitchedGraph(request.source, quantized)
            found = measure_sensitivity(graph, request.source, request.pictures)
            if request.score_blocks is not None:
                self.progress("measuring the accuracy that every block costs")
                blocks = measure_blocks(graph, request.score_blocks, self.progress)
                found = replace(found, blocks=blocks)
            self.measured_sensitivity = found
        return self.measured_sensitivity

    def _resembling_files(self) -> ModelFiles:
        request = self.request
        graph = quantize_onnx(
            request.source, request.pictures, request.settings, scheme=ActivationScheme.ASYMMETRIC
        )
        return {"model.onnx": for_sensitivity(graph).SerializeToString()}

    def record(self, float_layers: tuple[str, ...]) -> CalibrationRecord:
        return CalibrationRecord(
            algorithm=self.request.settings.estimator.value,
            images=len(self.request.pictures),
            digest=self.request.pictures.digest,
            float_layers=(*sorted(self.request.settings.float_layers), *float_layers),
        )

    def _through_cache(
        self,
        backend: Backend,
        settings: Int8Settings,
        variant: str,
        make: Callable[[], ModelFiles],
    ) -> ModelFiles:
        key = CacheKey(
            backend=backend,
            graph_sha256=self._graph_sha256,
            pictures_sha256=self.request.pictures.digest,
            preprocess=self.request.pictures.preprocess,
            settings=settings,
            variant=variant,
        )
        cache = self.request.cache
        found = cache.get(key) if cache is not None else None
        if found is not None:
            self.progress(f"{backend} INT8 from the calibration cache")
            return found
        self.progress(
            f"quantising for {backend} on {len(self.request.pictures)} pictures "
            f"({settings.estimator})"
        )
        files = make()
        if cache is not None:
            cache.put(key, files)
        return files


def _own_quantizer(
    backend: Backend, source: onnx.ModelProto, pictures: CalibrationPictures
) -> Quantizer:
    def onnx_files(settings: Int8Settings) -> ModelFiles:
        scheme = ActivationScheme.ASYMMETRIC_PER_TENSOR
        graph = quantize_onnx(source, pictures, settings, scheme=scheme)
        return {"model.onnx": for_onnxruntime(graph, pictures).SerializeToString()}

    def tensorrt_files(settings: Int8Settings) -> ModelFiles:
        graph = quantize_onnx(source, pictures, settings, scheme=ActivationScheme.SYMMETRIC)
        return {"model.onnx": for_tensorrt(graph).SerializeToString()}

    def openvino_files(settings: Int8Settings) -> ModelFiles:
        converted = _converted(source)
        return _ir_files(quantize_openvino(converted, source, pictures, settings))

    makers: dict[Backend, Quantizer] = {
        Backend.ONNX: onnx_files,
        Backend.TENSORRT: tensorrt_files,
        Backend.OPENVINO: openvino_files,
    }
    if backend not in makers:
        raise UnsupportedError(f"{backend} is not quantised from ONNX; give its own quantizer")
    return makers[backend]


def _converted(source: onnx.ModelProto) -> Any:
    with needs("openvino", extra="openvino"):
        import openvino
    import onnx as onnx_package

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        onnx_package.save(source, path)
        return openvino.convert_model(str(path))


def _ir_files(model: Any) -> ModelFiles:
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        # Not halved: what stays float stays float32.
        openvino.save_model(model, str(Path(folder, "model.xml")), compress_to_fp16=False)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def _point(float_layers: tuple[str, ...], score: Score, float_score: Score | None) -> FrontierPoint:
    drop = 0.0 if float_score is None else float_score.value - score.value
    return FrontierPoint(float_layers, score, drop)
