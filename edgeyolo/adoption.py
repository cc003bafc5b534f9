"""A foreign ONNX detector becomes an artifact."""

from __future__ import annotations

import datetime
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import edgeyolo
from edgeyolo import contract as contracts
from edgeyolo.artifact import Artifact, check_artifact_target, save_artifact, sha256_of
from edgeyolo.checkpoints.names import read_names
from edgeyolo.coco_names import COCO_NAMES
from edgeyolo.contract import Contract, Provenance
from edgeyolo.errors import ArtifactError
from edgeyolo.evaluation.preprocess_check import PreprocessCheck, check_preprocess
from edgeyolo.evaluation.proof_frames import proof_frames
from edgeyolo.exporters.adopt import Adopted, AdoptRequest, adopt
from edgeyolo.exporters.foreign_layouts import Columns
from edgeyolo.exporters.onnx_exporter import embed_contract, save_onnx
from edgeyolo.exporters.onnx_files import ENTRY, files_beside
from edgeyolo.exporters.vendor import tool_versions
from edgeyolo.predictor import open_session
from edgeyolo.runtimes.session import SessionOptions
from edgeyolo.spec import Backend, Family, Precision


@dataclass(frozen=True, slots=True)
class Adoption:
    """The artifact, and what a user should know of it."""

    artifact: Artifact
    warnings: tuple[str, ...]


def adopt_file(
    file: Path,
    family: Family,
    *,
    names_file: Path | None = None,
    columns: str | None = None,
    legacy: bool = False,
    images: Path | None = None,
    output: Path | None = None,
    force: bool = False,
) -> Adoption:
    """Write an ONNX Runtime artifact from an ONNX export of another tool.

    Args:
        images: Pictures to check the preprocessing on; rendered scenes where ``None``.

    Raises:
        CheckpointError: Not an ONNX file.
        UnsupportedError: Not a YOLOX or YOLOv7 export.
        OutputError: *output* cannot be written.
        ArtifactError: The pictures show that the preprocessing is wrong (unless *force*).
    """
    target = output or Path(f"{file.stem}-fp32-onnx")
    check_artifact_target(target)
    adopted = adopt(
        AdoptRequest(
            file=file,
            family=family,
            class_names=read_names(names_file) if names_file else COCO_NAMES,
            columns=Columns(columns) if columns else None,
            legacy=legacy,
        )
    )
    now = datetime.datetime.now(datetime.timezone.utc)
    contract = Contract(
        model=adopted.spec,
        backend=Backend.ONNX,
        precision=Precision.FP32,
        input=adopted.input,
        output=adopted.output,
        entry=ENTRY,
        provenance=Provenance(
            source_name=file.name,
            source_sha256=sha256_of(file),
            created=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            tools={"edgeyolo": edgeyolo.__version__, **tool_versions(("onnx",))},
        ),
        # There is no PyTorch model to compare with.
        waivers=("parity",),
    )
    with tempfile.TemporaryDirectory(prefix="edgeyolo-") as name:
        folder = Path(name)
        _save(adopted, contract, folder)
        warnings, plausible = _checked(folder / ENTRY, contract, adopted, images, force=force)
        if not plausible:
            contract = replace(contract, waivers=("parity", "preprocessing"))
            _save(adopted, contract, folder)
        names = files_beside(folder, ENTRY)
        artifact = save_artifact(target, contract, {name: folder / name for name in names})
    return Adoption(artifact, warnings)


def _save(adopted: Adopted, contract: Contract, folder: Path) -> None:
    embed_contract(adopted.proto, contracts.encode(contract))
    save_onnx(adopted.proto, folder / ENTRY)


def _checked(
    file: Path, contract: Contract, adopted: Adopted, images: Path | None, *, force: bool
) -> tuple[tuple[str, ...], bool]:
    """Warnings, and whether the preprocessing can be right."""
    check, source = _check(file, contract, adopted, images)
    if check is None:
        return (), True
    if not check.conclusive:
        advice = "" if images else "; give --images DIR with pictures of its classes"
        return (f"nothing recognised in {source}: {check.describe()}{advice}",), True
    if check.plausible:
        return (), True
    message = f"the preprocessing looks wrong: {check.describe()}"
    if not force:
        raise ArtifactError(f"{message}; nothing was written (--force writes it anyway)")
    return (message,), False


def _check(
    file: Path, contract: Contract, adopted: Adopted, images: Path | None
) -> tuple[PreprocessCheck | None, str]:
    """The check, and what it was made on."""
    frames, source = proof_frames(images, adopted.spec.input_hw)
    session = open_session(file, contract, SessionOptions())
    try:
        return check_preprocess(adopted.spec, lambda x: session.run(x)[1], frames), source
    finally:
        session.close()
