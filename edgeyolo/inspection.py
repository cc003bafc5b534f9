"""What is this file, and is it sound? Told by its content, not by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeyolo.artifact import CONTRACT_FILE, foreign_files, load_artifact
from edgeyolo.coco_names import COCO_NAMES
from edgeyolo.contract import CONTRACT_KEY, Contract, decode
from edgeyolo.errors import ArtifactError, EdgeYoloError, MissingPackageError, one_line
from edgeyolo.runtimes.containers import ir_facts, onnx_metadata, openvino_contract


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a file or folder is.

    Attributes:
        path: As it was given.
        kind: ``"artifact"``, ``"checkpoint"``, ``"onnx"``, ``"openvino"``, ``"tflite"``,
            ``"engine"`` or ``"unknown"``.
        sound: False where it is damaged, altered or known to give wrong results.
        facts: Name -> value, for people and JSON.
        findings: What is wrong or worth knowing, one line each.
    """

    path: Path
    kind: str
    sound: bool
    facts: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[str, ...] = ()


def inspect(path: Path) -> Inspection:
    """Look at anything: artifact folder, checkpoint, ONNX, IR, TFLite, engine.

    Damage is a finding, not an exception. A file is never executed or unpickled.

    Raises:
        ArtifactError: *path* does not exist or cannot be read.
    """
    if path.is_dir():
        return _guarded(path, "artifact", _artifact)
    kind = kind_of(path)
    reader = _READERS.get(kind)
    if reader is None:
        return Inspection(path, kind, False, {"bytes": path.stat().st_size}, (_unknown(path),))
    return _guarded(path, kind, reader)


# The files that TensorRT 8 to 11 write.
_ENGINE_STARTS = (b"ptrt", b"ftrt")


def kind_of(path: Path) -> str:
    """Tell the kind of a file from its first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {one_line(error.strerror or error)}") from error
    if head[4:8] == b"TFL3":
        return "tflite"
    if head.lstrip()[:5] in (b"<?xml", b"<net "):
        return "openvino"
    if head[:4] in _ENGINE_STARTS or path.suffix.lower() in (".engine", ".plan"):
        return "engine"
    suffix = path.suffix.lower()
    by_suffix = {".onnx": "onnx", ".tflite": "tflite", ".xml": "openvino"}
    if suffix in by_suffix:
        return by_suffix[suffix]
    # zip, pickle protocols 2 to 5, and torch's old tar container
    if head[:2] == b"PK" or head[:1] == b"\x80" or head[257:262] == b"ustar":
        return "checkpoint"
    return "checkpoint" if suffix in (".pt", ".pth", ".pkl") else "unknown"


_UNKNOWN = (
    "not a file that edgeyolo knows (artifact folder, YOLOX or YOLOv7 checkpoint, ONNX, OpenVINO "
    "IR .xml, TFLite, TensorRT engine)"
)


def _unknown(path: Path) -> str:
    """What to look at instead."""
    if path.name == CONTRACT_FILE:
        return f"the contract of an artifact, which is its whole folder: inspect {path.parent}"
    graph = path.with_suffix(".xml")
    if path.suffix.lower() == ".bin" and graph.is_file():
        return f"the weights of an OpenVINO IR, whose graph is beside them: inspect {graph}"
    return _UNKNOWN


def _guarded(
    path: Path, kind: str, reader: Callable[[Path], tuple[dict[str, Any], list[str], bool]]
) -> Inspection:
    try:
        facts, findings, sound = reader(path)
    except MissingPackageError as error:
        return Inspection(path, kind, False, {}, (f"cannot look inside: {error}",))
    except EdgeYoloError as error:
        return Inspection(path, kind, False, {}, (one_line(error, limit=1000),))
    return Inspection(path, kind, sound, facts, tuple(findings))


def _artifact(path: Path) -> tuple[dict[str, Any], list[str], bool]:
    if not (path / CONTRACT_FILE).exists():
        raise ArtifactError(f"{path} is a folder without {CONTRACT_FILE}: no artifact")
    artifact = load_artifact(path)
    contract = artifact.contract
    facts = contract_facts(contract)
    facts["files"] = len(contract.files)
    findings = [f"{name} is not part of the artifact" for name in foreign_files(artifact)[:5]]
    # The entry file may have faults of its own that digests do not show.
    inner = inspect(path / contract.entry)
    # Nobody can look inside an engine; that it is the one that was built, its digest has shown.
    engine = inner.kind == "engine"
    findings.extend(() if engine else inner.findings)
    findings.extend(line for line in _waived(contract) if line not in findings)
    return facts, findings, (engine or inner.sound) and _proven(contract)


def contract_facts(contract: Contract) -> dict[str, Any]:
    """The parts of a contract that people ask for first."""
    preprocess = contract.model.preprocess
    facts: dict[str, Any] = {
        "model": contract.model.name,
        "classes": contract.model.num_classes,
        "class_names": list(contract.model.class_names),
        "backend": contract.backend,
        "precision": contract.precision,
        "input_hw": list(preprocess.input_hw),
        "input": f"{contract.input.dtype} {contract.input.layout}",
        "batch": contract.input.batch or "any",
        "color_order": preprocess.color_order,
        "outputs": f"{contract.output.kind}: {', '.join(contract.output.names)}",
        "source": contract.provenance.source_name,
        "source_sha256": contract.provenance.source_sha256,
        "created": contract.provenance.created,
        "tools": contract.provenance.tools,
        "license": contract.model.license or "unknown",
    }
    for name in ("calibration", "build_target"):
        value = getattr(contract, name)
        if value is not None:
            facts[name] = value
    for name in ("folding", "parity", "accuracy", "latency"):
        value = getattr(contract.measured, name)
        if value is not None:
            facts[name] = value
    return facts


def _checkpoint(path: Path) -> tuple[dict[str, Any], list[str], bool]:
    from edgeyolo.checkpoints.reader import read_checkpoint

    checkpoint = read_checkpoint(path)
    facts: dict[str, Any] = {
        "model": checkpoint.architecture.name,
        "form": checkpoint.form,
        "classes": checkpoint.num_classes,
        "class_names": list(checkpoint.class_names or ()),
        "strides": list(checkpoint.strides),
        "activation": checkpoint.activation,
        "assumed": [] if checkpoint.activation_told else ["activation"],
        "parameters": sum(
            value.numel()
            for key, value in checkpoint.state.items()
            if value.is_floating_point() and "running_" not in key and "anchor" not in key
        ),
        "container": checkpoint.container,
        "sha256": checkpoint.sha256,
        **checkpoint.extras,
    }
    findings = []
    if not checkpoint.activation_told:
        findings.append(
            f"activation {checkpoint.activation} is assumed; the file does not tell: if it was "
            "trained with another one, give --activation"
        )
    if checkpoint.class_names is None:
        findings.append(
            "holds no class names; export takes COCO's for the 80 classes, give others with --names"
            if checkpoint.num_classes == len(COCO_NAMES)
            else f"holds no class names; export needs all {checkpoint.num_classes} (--names FILE)"
        )
    broken = [key for key, value in checkpoint.state.items() if not bool(value.isfinite().all())]
    if broken:
        findings.append(f"{len(broken)} tensors hold NaN or infinity, the first is {broken[0]}")
    return facts, findings, not broken


def _onnx(path: Path) -> tuple[dict[str, Any], list[str], bool]:
    from edgeyolo.exporters.onnx_inspection import onnx_facts

    facts, findings, sound = onnx_facts(path)
    return _with_contract(path, onnx_metadata(path).get(CONTRACT_KEY), facts, findings, sound)


def _openvino(path: Path) -> tuple[dict[str, Any], list[str], bool]:
    text = openvino_contract(path)
    weights = path.with_suffix(".bin")
    findings = []
    if not weights.is_file():
        findings.append(f"{weights.name} is missing beside it; an IR is two files")
    return _with_contract(path, text, ir_facts(path), findings, not findings)


def _tflite(path: Path) -> tuple[dict[str, Any], list[str], bool]:
    from edgeyolo.runtimes.tflite_inspection import inspect_tflite

    found = inspect_tflite(path)
    return _with_contract(
        path, found.contract, dict(found.facts), list(found.findings), found.sound
    )


def _engine(path: Path) -> tuple[dict[str, Any], list[str], bool]:
    size = path.stat().st_size
    with path.open("rb") as file:
        is_plan = file.read(4) in _ENGINE_STARTS
    if not size:
        raise ArtifactError(f"{path} is empty (0 bytes); build the engine again: edgeyolo build")
    finding = (
        "a TensorRT engine tells nothing about itself without the GPU it was built for; inspect "
        "the artifact folder it belongs to"
        if is_plan
        else "does not begin as engines of TensorRT do; if it is one of TensorRT for RTX, inspect "
        "the artifact folder it belongs to"
    )
    return {"bytes": size}, [finding], is_plan


def _with_contract(
    path: Path, text: str | None, facts: dict[str, Any], findings: list[str], sound: bool
) -> tuple[dict[str, Any], list[str], bool]:
    if text is None:
        findings.append(
            "carries no edgeyolo contract: colour order, scaling and class names are unknown"
        )
        return facts, findings, sound
    contract = decode(text, origin=str(path))
    findings.extend(_waived(contract))
    return {**contract_facts(contract), **facts}, findings, sound and _proven(contract)


def _waived(contract: Contract) -> list[str]:
    """What a file was written in spite of."""
    findings = [f"{check} was waived at export" for check in contract.waivers]
    parity = contract.measured.parity
    if parity is not None and not parity.passed:
        findings.append(f"parity against PyTorch failed: {parity.note}")
    return findings


def _proven(contract: Contract) -> bool:
    parity = contract.measured.parity
    return parity is None or parity.passed


_READERS: Mapping[str, Callable[[Path], tuple[dict[str, Any], list[str], bool]]] = {
    "checkpoint": _checkpoint,
    "onnx": _onnx,
    "openvino": _openvino,
    "tflite": _tflite,
    "engine": _engine,
}
