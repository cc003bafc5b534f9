"""Export from end to end: checkpoint in, proven artifact out."""

from __future__ import annotations

import dataclasses
import datetime
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import edgeyolo
from edgeyolo import contract as contracts
from edgeyolo.artifact import Artifact, check_artifact_target, load_artifact, save_artifact
from edgeyolo.calibration.ranges import RangeEstimator
from edgeyolo.checkpoints.load import LoadedModel, load_model
from edgeyolo.contract import (
    Contract,
    FoldingRecord,
    Measured,
    ParityRecord,
    Provenance,
    Thresholds,
)
from edgeyolo.errors import ArtifactError, OutputError, ParityError, UnsupportedError
from edgeyolo.evaluation.preprocess_check import check_weights
from edgeyolo.evaluation.proof_frames import PROOF_PICTURES, proof_frames
from edgeyolo.export_proof import prove, wrong_suppression
from edgeyolo.exporters.catalog import EXPORTERS
from edgeyolo.exporters.vendor import Exporter, ExportSource, VendorFiles, tool_versions
from edgeyolo.int8_report import Int8Files
from edgeyolo.int8_request import Int8Request, photographs
from edgeyolo.letterbox import Letterboxer
from edgeyolo.models.architecture import Activation
from edgeyolo.models.deploy import DeployReport, deploy
from edgeyolo.quantization import compare_int8, write_int8
from edgeyolo.spec import Backend, Precision, Preprocess

# What quantises, beside the exporter's own packages; NNCF runs ONNX graphs on onnxruntime.
_CALIBRATION_PACKAGES = {
    Backend.OPENVINO: ("nncf",),
    Backend.ONNX: ("nncf", "onnxruntime"),
    Backend.TENSORRT: ("nncf", "onnxruntime"),
}
# Where non-maximum suppression can be part of the graph.
SUPPRESSING = (Backend.ONNX, Backend.TENSORRT)

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What to export.

    Attributes:
        checkpoint: Weights file.
        backend: Where it will run.
        precision: FP32, FP16 or, with *int8*, INT8.
        output: Artifact folder; named after model, precision and backend where ``None``.
        input_hw: Network input in pixels; the family's or the checkpoint's own where ``None``.
        batch: Pictures per call; ``None`` for any number.
        pixels: uint8 NHWC BGR pixels in; else float32 NCHW, preprocessed on the host.
        names_file: Class names, where the checkpoint has none.
        legacy: YOLOX weights of the first release (RGB, ImageNet mean and std).
        activation: Of a checkpoint that does not tell; the published one where ``None``.
        images: Folder of pictures for parity; rendered scenes where ``None``.
        thresholds: Defaults written into the contract.
        suppress_in_graph: End the graph in non-maximum suppression with *thresholds*.
        waive_parity: Write the artifact although parity fails; the contract says so.
        int8: How INT8 is made; needed for that precision, and only for it.
    """

    checkpoint: Path
    backend: Backend
    precision: Precision = Precision.FP32
    output: Path | None = None
    input_hw: tuple[int, int] | None = None
    batch: int | None = 1
    pixels: bool = True
    names_file: Path | None = None
    legacy: bool = False
    activation: Activation | None = None
    images: Path | None = None
    thresholds: Thresholds = dataclasses.field(default_factory=Thresholds)
    suppress_in_graph: bool = False
    waive_parity: bool = False
    int8: Int8Request | None = None

    def __post_init__(self) -> None:
        contracts.check_batch(self.batch)
        if (self.precision is Precision.INT8) != (self.int8 is not None):
            raise UnsupportedError(
                "INT8 needs calibration pictures: --precision int8 --calibration DIR"
                if self.int8 is None
                else f"calibration belongs to --precision int8, not to {self.precision}"
            )


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was written.

    Attributes:
        artifact: On disk.
        parity: Against PyTorch.
        notes: What a user should know, one line each.
        int8: What was measured while quantising; ``None`` for float artifacts.
    """

    artifact: Artifact
    parity: ParityRecord
    notes: tuple[str, ...]
    int8: Int8Files | None = None


def export(request: ExportRequest, progress: Progress = lambda _: None) -> ExportResult:
    """Turn a checkpoint into an artifact and prove that it detects the same.

    Args:
        progress: Called with one line whenever a stage begins.

    Raises:
        CheckpointError: The weights cannot be read.
        UnsupportedError: The backend cannot do this.
        ParityError: The file does not detect what PyTorch detects; nothing is written.
        OutputError: The artifact cannot be written, or its default name is taken by the artifact of
            other weights.
    """
    exporter = _exporter(request.backend)
    if request.suppress_in_graph and request.backend not in SUPPRESSING:
        raise UnsupportedError(
            f"suppression in the graph is for {' and '.join(SUPPRESSING)}, not {request.backend}; "
            "leave it to the host"
        )
    if request.output is not None:
        check_artifact_target(request.output)
    progress(f"reading {request.checkpoint.name}")
    loaded = load_model(
        request.checkpoint,
        names_file=request.names_file,
        input_hw=request.input_hw,
        legacy=request.legacy,
        activation=request.activation,
    )
    output = request.output or _default_output(request, loaded)
    check_artifact_target(output)
    frames, image_source = _proof_frames(request, loaded)
    implausible = _implausible_preprocess(loaded, frames)
    if implausible and not request.waive_parity:
        raise ParityError(f"{implausible}; nothing was written (--allow-mismatch writes it anyway)")
    deployed, report = deploy(loaded.model)
    source = ExportSource(
        deployed,
        loaded.spec,
        batch=request.batch,
        pixels=request.pixels,
        suppression=request.thresholds if request.suppress_in_graph else None,
        canvases=_canvases(frames, loaded.spec.preprocess),
    )
    progress(f"exporting {loaded.spec.name} to {request.backend} {request.precision}")
    with tempfile.TemporaryDirectory(prefix="edgeyolo-") as name:
        folder = Path(name)
        files, int8 = _vendor_files(request, exporter, source, folder, progress)
        contract = _contract(request, loaded, files, exporter)
        if int8 is not None:
            contract = _with_calibration(contract, int8)
        measured = dataclasses.replace(contract.measured, folding=_folding(report))
        contract = dataclasses.replace(contract, measured=measured)
        exporter.embed(folder, files.entry, contracts.encode(contract))
        progress(f"checking against PyTorch on {len(frames)} pictures ({image_source})")
        parity = prove(loaded, folder, contract, files, frames, image_source)
        if not parity.passed and not request.waive_parity:
            raise ParityError(
                f"the {request.backend} {request.precision} file does not detect what PyTorch "
                f"detects: {parity.note}; nothing was written (--allow-mismatch writes it anyway)"
            )
        wrong = wrong_suppression(folder, contract, files, frames)
        if wrong and not request.waive_parity:
            raise ParityError(f"{wrong}; nothing was written (--allow-mismatch writes it anyway)")
        contract = dataclasses.replace(
            contract,
            measured=dataclasses.replace(contract.measured, parity=parity),
            waivers=_waivers(parity, wrong, implausible),
        )
        # Again: a lone file tells what was measured and waived, too.
        exporter.embed(folder, files.entry, contracts.encode(contract))
        artifact = save_artifact(output, contract, {name: folder / name for name in files.names})
    return ExportResult(artifact, parity, (*source.notes, *files.notes), int8)


def _proof_frames(
    request: ExportRequest, loaded: LoadedModel
) -> tuple[list[NDArray[np.uint8]], str]:
    """Pictures that the file is proven on, and what to call them."""
    if request.int8 is not None and request.images is None:
        # Scenes show few objects that a detector of photographs knows for sure; in INT8 the
        # unsure ones come and go.
        return photographs(request.int8, loaded.spec.preprocess, PROOF_PICTURES)
    return proof_frames(request.images, loaded.spec.input_hw)


def _vendor_files(
    request: ExportRequest,
    exporter: Exporter,
    source: ExportSource,
    folder: Path,
    progress: Progress,
) -> tuple[VendorFiles, Int8Files | None]:
    """Write the model's files, and say what quantising measured where it is asked for."""
    if request.int8 is None:
        return exporter.write(source, request.precision, folder), None
    int8 = write_int8(source, request.backend, request.int8, request.thresholds, folder, progress)
    return int8.files, int8


def _folding(report: DeployReport) -> FoldingRecord:
    return FoldingRecord(
        source_form=report.source_form.value,
        batch_norms=report.folded_batch_norms,
        repconv_blocks=report.reparameterized_blocks,
        implicit_heads=report.folded_implicit_heads,
        auxiliary_heads=report.dropped_auxiliary_heads,
        max_logit_difference=report.max_abs_difference,
        max_relative_difference=report.max_relative_difference,
    )


def _waivers(parity: ParityRecord, wrong: str | None, implausible: str | None) -> tuple[str, ...]:
    """Checks that failed and were switched off."""
    failed = (
        ("parity", not parity.passed or wrong is not None),
        ("preprocessing", implausible is not None),
    )
    return tuple(name for name, is_so in failed if is_so)


def try_int8(
    checkpoint: Path,
    backend: Backend,
    request: Int8Request,
    estimators: Sequence[RangeEstimator | None],
    *,
    input_hw: tuple[int, int] | None = None,
    names_file: Path | None = None,
    legacy: bool = False,
    activation: Activation | None = None,
    progress: Progress = lambda _: None,
) -> Iterator[Int8Files]:
    """Quantise and measure without writing an artifact; a result per range estimator.

    Args:
        estimators: ``None`` for the backend's best.

    Raises:
        CheckpointError: The weights cannot be read.
        AccuracyError: A budget cannot be met.
    """
    loaded = load_model(
        checkpoint,
        names_file=names_file,
        input_hw=input_hw,
        legacy=legacy,
        activation=activation,
    )
    deployed, _ = deploy(loaded.model)
    source = ExportSource(deployed, loaded.spec)
    yield from compare_int8(source, backend, request, estimators, Thresholds(), progress)


def _implausible_preprocess(loaded: LoadedModel, frames: Sequence[NDArray[np.uint8]]) -> str | None:
    """Why the preprocessing must be wrong, or ``None``."""
    check = check_weights(loaded, frames)
    if check is None or check.plausible:
        return None
    return f"{loaded.checkpoint.path.name}: the preprocessing looks wrong: {check.describe()}"


def _canvases(
    frames: Sequence[NDArray[np.uint8]], preprocess: Preprocess
) -> tuple[NDArray[np.uint8], ...]:
    letterboxer = Letterboxer(preprocess)
    canvases = np.empty((len(frames), *preprocess.input_hw, 3), np.uint8)
    for frame, canvas in zip(frames, canvases, strict=True):
        letterboxer.place(frame, canvas)
    return tuple(canvases)


def _contract(
    request: ExportRequest, loaded: LoadedModel, files: VendorFiles, exporter: Exporter
) -> Contract:
    now = datetime.datetime.now(datetime.timezone.utc)
    return Contract(
        model=loaded.spec,
        backend=request.backend,
        precision=request.precision,
        input=files.input,
        output=files.output,
        entry=files.entry,
        provenance=Provenance(
            source_name=request.checkpoint.name,
            source_sha256=loaded.checkpoint.sha256,
            created=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            tools={"edgeyolo": edgeyolo.__version__, **tool_versions(exporter.packages)},
        ),
        thresholds=request.thresholds,
    )


def _with_calibration(contract: Contract, int8: Int8Files) -> Contract:
    provenance = contract.provenance
    # Sensitivity is measured on a Q/DQ graph, whatever the backend.
    backend = contract.backend if int8.sensitivity is None else Backend.ONNX
    packages = _CALIBRATION_PACKAGES.get(backend, ())
    tools = {**provenance.tools, **tool_versions(packages)}
    return dataclasses.replace(
        contract,
        provenance=dataclasses.replace(provenance, tools=tools),
        calibration=int8.record,
        measured=Measured(accuracy=int8.accuracy(), latency=int8.latency()),
    )


def _exporter(backend: Backend) -> Exporter:
    try:
        return EXPORTERS[backend]
    except KeyError:
        names = ", ".join(EXPORTERS)
        raise UnsupportedError(f"no exporter for {backend}; there are: {names}") from None


def _default_output(request: ExportRequest, loaded: LoadedModel) -> Path:
    """A folder named after model, precision and backend.

    Raises:
        OutputError: It holds the artifact of other weights, which nobody asked to replace.
    """
    variant = loaded.spec.name.replace("-", "_")
    output = Path(f"{variant}-{request.precision}-{request.backend}")
    try:
        provenance = load_artifact(output, check_digests=False).contract.provenance
    except ArtifactError:
        return output  # nothing there, or nothing whole
    if provenance.source_sha256 != loaded.checkpoint.sha256:
        raise OutputError(
            f"{output} was made from other weights ({provenance.source_name}); "
            "choose another name with --output"
        )
    return output
