"""An artifact: a folder with one model file (or its parts) and ``artifact.json``, the contract."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeyolo import contract as contracts
from edgeyolo.atomic import atomic_folder, check_folder_target, write_text
from edgeyolo.contract import Contract, Measured
from edgeyolo.errors import ArtifactError, one_line

CONTRACT_FILE = "artifact.json"
# A contract with 1000 long class names and every record is under 100 kB.
_MAX_CONTRACT_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model file that was checked against its contract.

    Attributes:
        folder: Where it lies.
        contract: What it says of itself.
    """

    folder: Path
    contract: Contract

    @property
    def entry(self) -> Path:
        """The file that the vendor runtime opens."""
        return self.folder / self.contract.entry


def check_artifact_target(folder: Path) -> None:
    """Raise ``OutputError`` where :func:`save_artifact` could not write *folder*."""
    check_folder_target(folder, marker=CONTRACT_FILE)


def save_artifact(folder: Path, contract: Contract, files: Mapping[str, Path]) -> Artifact:
    """Write an artifact folder; it appears complete or not at all.

    Args:
        folder: Where; an older artifact there is replaced.
        contract: Its ``files`` are filled in here.
        files: Name inside the artifact -> existing file to copy.

    Raises:
        OutputError: The folder cannot be written, or another one of that name is no artifact.
    """
    with atomic_folder(folder, marker=CONTRACT_FILE) as temporary:
        digests = {}
        for name, source in files.items():
            contracts.check_member_name(name)
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            digests[name] = sha256_of(target)
        if contract.entry not in digests:
            raise ValueError(f"the entry {contract.entry!r} is not among {sorted(digests)}")
        complete = dataclasses.replace(contract, files=digests)
        # Last: a folder without it is no artifact.
        (temporary / CONTRACT_FILE).write_text(contracts.sealed(complete), encoding="utf-8")
    return Artifact(folder, complete)


def load_artifact(folder: Path, *, check_digests: bool = True) -> Artifact:
    """Read an artifact folder and check that neither contract nor files were altered or lost.

    Other files in the folder are nobody's concern here; ``edgeyolo inspect`` names them.

    Args:
        check_digests: Whether files are read and compared; the contract always is.

    Raises:
        ArtifactError: Not an artifact, of another schema, or altered; the file is named.
    """
    path = folder / CONTRACT_FILE
    if not folder.is_dir():
        raise ArtifactError(f"{folder} is not a folder")
    try:
        if path.stat().st_size > _MAX_CONTRACT_BYTES:
            raise ArtifactError(f"{path} is larger than any contract; the file is damaged")
        text = path.read_bytes()
    except FileNotFoundError:
        raise ArtifactError(
            f"{folder} is not an artifact (no {CONTRACT_FILE}); make one with: edgeyolo export"
        ) from None
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {one_line(error.strerror or error)}") from error
    contract = contracts.decode(text, origin=str(path))
    if contract.entry not in contract.files:
        raise ArtifactError(f"{path}: the entry file {contract.entry!r} has no digest")
    contracts.check_seal(text, origin=str(path))
    if check_digests:
        _check_files(folder, contract)
    return Artifact(folder, contract)


def record_measured(artifact: Artifact, measured: Measured) -> Artifact:
    """Replace the measurements in ``artifact.json``; model files stay as they are."""
    contract = dataclasses.replace(artifact.contract, measured=measured)
    write_contract(artifact.folder, contract)
    return Artifact(artifact.folder, contract)


def write_contract(folder: Path, contract: Contract) -> None:
    """Replace ``artifact.json`` in one step; its files are there already."""
    write_text(folder / CONTRACT_FILE, contracts.sealed(contract))


def foreign_files(artifact: Artifact) -> list[str]:
    """Files in the folder that the contract does not name, relative to it."""
    folder = artifact.folder
    own = {CONTRACT_FILE, *artifact.contract.files}
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if name not in own)


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def _check_files(folder: Path, contract: Contract) -> None:
    for name, expected in contract.files.items():
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise ArtifactError(
                f"{folder}: {name} is missing; the artifact is incomplete, export it again"
            )
        try:
            actual = sha256_of(path)
        except OSError as error:
            raise ArtifactError(
                f"cannot read {path}: {one_line(error.strerror or error)}"
            ) from error
        if actual != expected:
            raise ArtifactError(
                f"{folder}: {name} was altered since the export (SHA-256 {actual[:12]}…, "
                f"the contract says {expected[:12]}…); export it again"
            )
