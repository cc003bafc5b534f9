"""A foreign ONNX detector becomes an artifact."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import edgeyolo
from edgeyolo import contract as contracts
from edgeyolo.artifact import Artifact, save_artifact, sha256_of
from edgeyolo.checkpoints.names import read_names
from edgeyolo.coco_names import COCO_NAMES
from edgeyolo.contract import Contract, Provenance
from edgeyolo.errors import ArtifactError
from edgeyolo.evaluation.preprocess_check import check_preprocess
from edgeyolo.exporters.adopt import Adopted, AdoptRequest, Columns, adopt
from edgeyolo.exporters.onnx_exporter import embed_contract, save_onnx
from edgeyolo.exporters.onnx_files import ENTRY, files_beside
from edgeyolo.exporters.vendor import tool_versions
from edgeyolo.pictures import list_pictures, read_picture
from edgeyolo.predictor import open_session
from edgeyolo.runtimes.session import SessionOptions
from edgeyolo.spec import Backend, Family, Precision

_CHECK_PICTURES = 8


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

    Raises:
        CheckpointError: Not an ONNX file.
        UnsupportedError: Not a YOLOX or YOLOv7 export.
        ArtifactError: The pictures show that the preprocessing is wrong (unless *force*).
    """
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
    embed_contract(adopted.proto, contracts.encode(contract))
    with tempfile.TemporaryDirectory(prefix="edgeyolo-") as name:
        folder = Path(name)
        save_onnx(adopted.proto, folder / ENTRY)
        warnings = _check(folder / ENTRY, contract, adopted, images, force=force)
        target = output or Path(f"{file.stem}-fp32-onnx")
        names = files_beside(folder, ENTRY)
        artifact = save_artifact(target, contract, {name: folder / name for name in names})
    return Adoption(artifact, warnings)


def _check(
    file: Path, contract: Contract, adopted: Adopted, images: Path | None, *, force: bool
) -> tuple[str, ...]:
    if images is None:
        return ("preprocessing not checked; give --images DIR with pictures of its classes",)
    paths = list_pictures(images)[:_CHECK_PICTURES]
    frames: Sequence[NDArray[np.uint8]] = [read_picture(path) for path in paths]
    session = open_session(file, contract, SessionOptions())
    try:
        check = check_preprocess(adopted.spec, lambda x: session.run(x)[1], frames)
    finally:
        session.close()
    if check is None:
        return ()
    if not check.conclusive:
        return (f"nothing recognised in {images}: {check.describe()}",)
    if check.plausible:
        return ()
    message = f"the preprocessing looks wrong: {check.describe()}"
    if not force:
        raise ArtifactError(f"{message}; nothing was written (--force writes it anyway)")
    return (message,)
