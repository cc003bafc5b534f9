"""The contract: everything a predictor needs to use a model file, and all that people ask later.

The same record is ``artifact.json`` in an artifact folder and, without the file digests, the
string under ``CONTRACT_KEY`` in the vendor container (ONNX ``metadata_props``, OpenVINO
``rt_info``, TFLite metadata), so that a lone vendor file still loads.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

from edgeyolo.errors import ArtifactError, one_line
from edgeyolo.spec import Backend, Layout, ModelSpec, OutputKind, Precision

SCHEMA = 1
CONTRACT_KEY = "edgeyolo_contract"

# Far above any use; a batch is allocated before the vendor could object.
MAX_BATCH = 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")


def check_batch(batch: int | None) -> None:
    """Raise ``ValueError`` unless a file can take so many pictures per call; ``None`` is any."""
    if batch is not None and not 1 <= batch <= MAX_BATCH:
        raise ValueError(f"batch must be at least 1 and at most {MAX_BATCH}, got {batch}")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """The one input tensor of the model file.

    Attributes:
        name: Name inside the file.
        layout: NHWC or NCHW.
        dtype: ``"uint8"`` or ``"float32"``.
        preprocessed_in_graph: True where the file takes letterboxed BGR pixels 0..255 and does
            colour order, scaling and layout itself; False where the host must.
        batch: Number of pictures per call; ``None`` where any number is accepted.
    """

    name: str
    layout: Layout
    dtype: str
    preprocessed_in_graph: bool
    batch: int | None

    def __post_init__(self) -> None:
        if self.dtype not in ("uint8", "float32"):
            raise ValueError(f"input dtype must be uint8 or float32, got {self.dtype!r}")
        check_batch(self.batch)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSpec:
    """What comes out.

    Attributes:
        kind: See :class:`~edgeyolo.spec.OutputKind`.
        names: Names inside the file, in this order: DECODED ``(boxes, scores)``; RAW
            ``(box, objectness, class)`` per level, fine to coarse; SUPPRESSED ``(detections,)``.
        layout: Axis order of RAW tensors: NHWC (B, H, W, A*c) or NCHW (B, A*c, H, W),
            A anchors per cell (1 without anchors), anchor-major channels.
        activated: True where RAW objectness and class tensors went through sigmoid already.
    """

    kind: OutputKind
    names: tuple[str, ...]
    layout: Layout = Layout.NHWC
    activated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Default thresholds of the predictor; also those inside a SUPPRESSED graph."""

    min_score: float = 0.25
    iou_threshold: float = 0.45
    max_detections: int = 300

    def __post_init__(self) -> None:
        for name in ("min_score", "iou_threshold"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} must be within 0..1, got {value}")
        if self.max_detections < 1:
            raise ValueError(f"max_detections must be at least 1, got {self.max_detections}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRecord:
    """Where the ranges of an INT8 file come from.

    Attributes:
        algorithm: Name of the range estimator in our vocabulary.
        images: Number of calibration pictures.
        digest: SHA-256 over the pictures, in order.
        float_layers: Layers left in float, named as in the source graph.
    """

    algorithm: str
    images: int
    digest: str
    float_layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where the file comes from.

    Attributes:
        source_name: File name of the checkpoint, without folder.
        source_sha256: Its digest.
        created: UTC time, ISO 8601.
        tools: Package name -> version of everything that took part.
    """

    source_name: str
    source_sha256: str
    created: str
    tools: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildTarget:
    """The machine an engine was built for; it loads on no other.

    Attributes:
        module: ``"tensorrt"`` or ``"tensorrt_rtx"``.
        version: Version of that module.
        gpu: Name of the GPU, or ``None`` where the engine is portable between GPUs.
        compute_capability: ``"8.7"``, or ``None`` likewise.
        driver: Version of the CUDA driver, or ``None`` where built without one.
        platform: ``"x86_64"``, ``"aarch64"``.
        system: ``"Linux"``, ``"Windows"``.
        multiprocessors: Of the GPU, which tells Jetsons of one name apart; ``None`` where the
            engine is portable, or older than this field.
    """

    module: str
    version: str
    gpu: str | None
    compute_capability: str | None
    driver: str | None
    platform: str
    system: str
    multiprocessors: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityRecord:
    """The exported file against the PyTorch model, measured on real pictures.

    Attributes:
        passed: Whether all limits were kept.
        images: Number of pictures; *image_source* says which.
        matched: Detections found by both, out of *reference* found by PyTorch and
            *extra* found only by the file.
        max_box_error_px: Largest corner difference of matched boxes, network-input pixels.
        max_score_error: Largest score difference of matched boxes.
        mean_iou: Mean IoU of matched boxes.
        max_raw_error: Largest difference before suppression, where that was compared: of corners
            relative to box side plus stride, and of scores.
        mean_raw_error: Mean of the same over all anchors.
        note: First diverging node, or why a limit differs.
    """

    passed: bool
    images: int
    image_source: str
    reference: int
    matched: int
    extra: int
    max_box_error_px: float
    max_score_error: float
    mean_iou: float
    max_raw_error: float | None = None
    mean_raw_error: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyRecord:
    """COCO AP of this file, and of the float model on the same pictures where measured."""

    ap: float
    ap50: float
    images: int
    dataset: str
    float_ap: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyRecord:
    """Median time of one network call on the machine named."""

    network_ms: float
    batch: int
    device: str
    threads: int | None
    float_network_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldingRecord:
    """The network that was exported against the one in the checkpoint, on a random picture.

    Attributes:
        source_form: ``"training"``, ``"deploy"`` or ``"export"``.
        batch_norms: Batch norms folded into their convolution.
        repconv_blocks: RepConv blocks turned into one 3x3 convolution.
        implicit_heads: Prediction convolutions that took in their implicit terms.
        auxiliary_heads: Auxiliary prediction convolutions left behind.
        max_logit_difference: Over all logits of that picture.
        max_relative_difference: The same, relative to the standard deviation of the level's
            logits where that is above 1.
    """

    source_form: str
    batch_norms: int
    repconv_blocks: int
    implicit_heads: int
    auxiliary_heads: int
    max_logit_difference: float
    max_relative_difference: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured on this very file."""

    folding: FoldingRecord | None = None
    parity: ParityRecord | None = None
    accuracy: AccuracyRecord | None = None
    latency: LatencyRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """See the module docstring.

    Attributes:
        entry: File to open, relative to the folder.
        files: File name -> SHA-256, every file of the folder but ``artifact.json``; empty in
            the copy inside a vendor file.
        waivers: Checks that the user switched off: ``"parity"``, ``"preprocessing"``, ``"boxes"``.
        digest: SHA-256 over the rest of ``artifact.json``; not in the copy inside a vendor file.
    """

    model: ModelSpec
    backend: Backend
    precision: Precision
    input: InputSpec
    output: OutputSpec
    entry: str
    provenance: Provenance
    thresholds: Thresholds = field(default_factory=Thresholds)
    calibration: CalibrationRecord | None = None
    build_target: BuildTarget | None = None
    measured: Measured = field(default_factory=Measured)
    waivers: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    digest: str | None = None
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise ValueError(f"schema {self.schema} is not {SCHEMA}")
        for name, digest in self.files.items():
            check_member_name(name)
            if not _SHA256.fullmatch(digest):
                raise ValueError(f"digest of {name!r} is not a SHA-256: {digest!r}")
        check_member_name(self.entry)
        levels = len(self.model.strides)
        expected = {
            OutputKind.DECODED: 2,
            OutputKind.RAW: 3 * levels,
            OutputKind.SUPPRESSED: 1,
        }[self.output.kind]
        if len(self.output.names) != expected:
            raise ValueError(
                f"{self.output.kind} outputs of {levels} levels are {expected} tensors, "
                f"the contract names {len(self.output.names)}"
            )

    @property
    def doubts(self) -> str | None:
        """Why the file may detect other things than its weights do, in one line."""
        words = []
        if "parity" in self.waivers:
            parity = self.measured.parity
            words.append(
                "was written although parity with PyTorch failed"
                if parity is not None and not parity.passed
                else "never passed a comparison with PyTorch"
            )
        if "preprocessing" in self.waivers:
            words.append("was written although its preprocessing looked wrong")
        if "boxes" in self.waivers:
            words.append("was written although its boxes looked wrong")
        return " and ".join(words) or None


def check_member_name(name: str) -> None:
    """Raise ``ValueError`` for a name that could leave the artifact's folder."""
    parts = name.split("/")
    if (
        not name
        or name.startswith("/")
        or "\\" in name
        or "\0" in name
        or {"", ".", ".."} & {*parts}
    ):
        raise ValueError(f"{name!r} is not a file name inside an artifact")


def sealed(contract: Contract) -> str:
    """The contract as JSON text with its digest, as it stands in ``artifact.json``."""
    return seal_document(msgspec.to_builtins(contract))


def seal_document(document: dict[str, Any]) -> str:
    """JSON text of *document* with the digest over all of it."""
    whole = {**document, "digest": _digest_of(document)}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2).decode()


def check_seal(text: str | bytes, *, origin: str) -> None:
    """Whether a contract that :func:`decode` accepts is the one that was written.

    Order and spacing of the JSON do not matter.

    Raises:
        ArtifactError: It has no digest, or another one.
    """
    document = msgspec.json.decode(text)
    found = document.get("digest")
    if found is None:
        raise ArtifactError(f"{origin} has no digest; export the artifact again")
    try:
        expected = _digest_of(document)
    except OverflowError:  # a number that no contract holds
        expected = None
    if found != expected:
        raise ArtifactError(
            f"{origin} was altered since it was written: its digest differs; export the artifact "
            "again (class names, input size and thresholds are options of edgeyolo export)"
        )


def _digest_of(document: dict[str, Any]) -> str:
    rest = {key: value for key, value in document.items() if key != "digest"}
    return hashlib.sha256(msgspec.json.encode(rest, order="sorted")).hexdigest()


def encode(contract: Contract, *, indent: bool = False) -> str:
    """The contract as JSON text."""
    data = msgspec.json.encode(contract)
    return (msgspec.json.format(data, indent=2) if indent else data).decode()


def decode(text: str | bytes, *, origin: str) -> Contract:
    """Read a contract, checking types, invariants and schema.

    Args:
        text: JSON.
        origin: What the text was read from, for messages.

    Raises:
        ArtifactError: Not JSON, not a contract, or of a schema that this version cannot read.
    """
    try:
        head = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError(
            f"{origin}: the contract is not valid JSON ({one_line(error)})"
        ) from error
    if not isinstance(head, dict) or "schema" not in head:
        raise ArtifactError(f"{origin}: this JSON is not an edgeyolo contract (no schema number)")
    if head["schema"] != SCHEMA:
        raise ArtifactError(
            f"{origin}: contract schema {head['schema']!r}, this version reads {SCHEMA}; "
            "update edgeyolo, or export the artifact again"
        )
    try:
        return msgspec.convert(head, Contract)
    except (msgspec.ValidationError, ValueError) as error:
        raise ArtifactError(f"{origin}: the contract is not valid: {one_line(error)}") from error
