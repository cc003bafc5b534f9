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
from edgeyolo.evaluation.box_check import CentreEvidence, centre_evidence
from edgeyolo.evaluation.preprocess_check import PreprocessCheck, check_preprocess
from edgeyolo.evaluation.proof_frames import proof_frames
from edgeyolo.exporters.adopt import CENTRES, Adopted, AdoptRequest, adopt
from edgeyolo.exporters.foreign_layouts import FOREIGN_LAYOUTS, Columns
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
        images: Pictures to check preprocessing and boxes on; rendered scenes where ``None``.

    Raises:
        CheckpointError: Not an ONNX file.
        UnsupportedError: Not a YOLOX or YOLOv7 export.
        OutputError: *output* cannot be written.
        ArtifactError: The pictures show that preprocessing or columns are wrong (unless *force*).
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
        warnings, implausible = _checked(contract, adopted, images, force=force)
        if implausible:
            contract = replace(contract, waivers=("parity", *implausible))
            _save(adopted, contract, folder)
        names = files_beside(folder, ENTRY)
        artifact = save_artifact(target, contract, {name: folder / name for name in names})
    return Adoption(artifact, warnings)


def _save(adopted: Adopted, contract: Contract, folder: Path) -> None:
    embed_contract(adopted.proto, contracts.encode(contract))
    save_onnx(adopted.proto, folder / ENTRY)


def _checked(
    contract: Contract, adopted: Adopted, images: Path | None, *, force: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Warnings, and the checks that the file fails (with *force*)."""
    boxes, check, source = _check(contract, adopted, images)
    faults = {}
    if (problem := _box_problem(boxes, adopted)) is not None:
        faults["boxes"] = problem
    if check is not None and check.conclusive and not check.plausible:
        faults["preprocessing"] = f"the preprocessing looks wrong: {check.describe()}"
    if faults and not force:
        problem = next(iter(faults.values()))
        raise ArtifactError(f"{problem}; nothing was written (--force writes it anyway)")
    warnings = list(faults.values())
    if check is not None and not check.conclusive:
        advice = "" if images else "; give --images DIR with pictures of its classes"
        warnings.append(f"nothing recognised in {source}: {check.describe()}{advice}")
    return tuple(warnings), tuple(faults)


def _box_problem(boxes: CentreEvidence, adopted: Adopted) -> str | None:
    """What is wrong with the columns, and what to try."""
    if not boxes.finite:
        return "the model gives box centres that are not numbers (NaN or infinity)"
    if adopted.columns is Columns.LOGITS and not boxes.may_be_offsets:
        return f"the boxes are decoded already: {boxes.describe()}; try --columns pixels"
    if adopted.columns is Columns.PIXELS and not boxes.may_be_pixels:
        decodable = FOREIGN_LAYOUTS[adopted.spec.family].decodable
        advice = "try --columns logits" if decodable else "export it with --grid"
        return f"the boxes are not in pixels: {boxes.describe()}; {advice}"
    return None


def _check(
    contract: Contract, adopted: Adopted, images: Path | None
) -> tuple[CentreEvidence, PreprocessCheck | None, str]:
    """Both checks, and what they were made on."""
    frames, source = proof_frames(images, adopted.spec.input_hw)
    output = replace(contract.output, names=(CENTRES, contract.output.names[1]))
    with tempfile.TemporaryDirectory(prefix="edgeyolo-") as name:
        file = Path(name, ENTRY)
        save_onnx(adopted.with_centres(), file)
        session = open_session(file, replace(contract, output=output), SessionOptions())
        try:
            return (
                centre_evidence(adopted.spec, lambda x: session.run(x)[0], frames),
                check_preprocess(adopted.spec, lambda x: session.run(x)[1], frames),
                source,
            )
        finally:
            session.close()
