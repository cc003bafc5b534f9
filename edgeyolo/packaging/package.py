"""Packs an artifact into a folder or zip that appears whole or not at all."""

from __future__ import annotations

import re
import tempfile
import zipfile
from enum import Enum
from pathlib import Path

from edgeyolo.atomic import atomic_file, atomic_folder
from edgeyolo.contract import Contract
from edgeyolo.ownership import write_marker
from edgeyolo.packaging.plain import write_plain
from edgeyolo.packaging.servers import write_ovms, write_triton
from edgeyolo.predictor import locate
from edgeyolo.spec import Backend

# In every package; a folder without it is not replaced.
MARKER = "edgeyolo-package.json"
# Zip cannot say anything earlier; equal contents make equal files.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class PackageLayout(Enum):
    """Whom the package is for.

    PLAIN: A device with Python: artifact, requirements and a run script.
    TRITON: A model repository of NVIDIA Triton.
    OVMS: A model repository of OpenVINO Model Server.
    """

    PLAIN = "plain"
    TRITON = "triton"
    OVMS = "ovms"


def package(
    artifact: Path, target: Path, *, layout: PackageLayout = PackageLayout.PLAIN, zipped: bool
) -> None:
    """Pack an artifact.

    Args:
        artifact: Folder, or a lone vendor file with its contract inside.
        target: Folder or zip file to write; an older one is replaced.
        layout: Whom it is for.
        zipped: A zip file instead of a folder.

    Raises:
        ArtifactError: The artifact cannot be used.
        MissingPackageError: Its runtime is not installed here (PLAIN only).
        UnsupportedError: The layout does not take this backend.
        OutputError: *target* cannot be written.
    """
    entry, contract = locate(artifact)
    files = _files(entry, contract)
    name = model_name(artifact)
    if not zipped:
        with atomic_folder(target, marker=MARKER) as temporary:
            _fill(temporary, name, contract, files, layout)
        return
    with tempfile.TemporaryDirectory() as scratch, atomic_file(target) as temporary:
        folder = Path(scratch)
        _fill(folder, name, contract, files, layout)
        # All in one folder, so that unpacking makes no mess.
        _zip(folder, temporary, prefix=target.stem)


def model_name(artifact: Path) -> str:
    """A name that every server accepts, from the artifact's folder or file."""
    path = artifact.resolve()
    return re.sub(r"[^A-Za-z0-9_-]+", "_", path.name if path.is_dir() else path.stem)


def _fill(
    folder: Path, name: str, contract: Contract, files: dict[str, Path], layout: PackageLayout
) -> None:
    if layout is PackageLayout.PLAIN:
        write_plain(folder, contract, files)
    elif layout is PackageLayout.TRITON:
        write_triton(folder, name, contract, files)
    else:
        write_ovms(folder, name, contract, files)
    label = {"layout": layout.value, "model": contract.model.name, "name": name}
    write_marker(folder, MARKER, label)


def _files(entry: Path, contract: Contract) -> dict[str, Path]:
    """Name inside the artifact -> file on disk."""
    if contract.files:
        folder = entry
        for _ in Path(contract.entry).parts:
            folder = folder.parent
        return {name: folder / name for name in contract.files}
    files = {contract.entry: entry}
    weights = Path(contract.entry).with_suffix(".bin").as_posix()
    if contract.backend is Backend.OPENVINO:
        files[weights] = entry.with_suffix(".bin")
    return files


def _zip(folder: Path, target: Path, *, prefix: str) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = f"{prefix}/{path.relative_to(folder).as_posix()}"
                member = zipfile.ZipInfo(name, _ZIP_TIME)
                member.compress_type = zipfile.ZIP_DEFLATED
                member.external_attr = 0o644 << 16
                archive.writestr(member, path.read_bytes())
