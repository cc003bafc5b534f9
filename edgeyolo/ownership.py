"""Which folders may be replaced: those of ours that hold nothing but what was written there.

Each folder of ours has a marker, a JSON file whose ``files`` (a list, or a mapping by name) names
the others in it: ``artifact.json`` of an artifact, a small file of its own elsewhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeyolo.errors import OutputError

# What file managers and Python leave anywhere.
_LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
_MOST_NAMED = 3


def write_marker(folder: Path, marker: str, content: Mapping[str, Any] | None = None) -> None:
    """Write the marker of a complete *folder*, with further *content*."""
    document = {**(content or {}), "files": sorted(_files_below(folder) - {marker})}
    (folder / marker).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def check_replaceable(path: Path, marker: str) -> None:
    """Raise unless a folder can be written under *path*; nothing there is good, too.

    Raises:
        OutputError: A file is there; or a folder that has no *marker*, or files that it does not
            name.
        OSError: The folder cannot be read.
    """
    if path.is_file():
        raise OutputError(f"{path} is a file, a folder is to be written there; choose another name")
    while True:
        try:
            before = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            problem = _problem(path, marker)
        except FileNotFoundError:
            continue
        # Another process may have replaced the folder in between, and be removing the old one.
        try:
            if os.path.samestat(before, path.stat()):
                break
        except FileNotFoundError:
            return
    if problem is not None:
        raise OutputError(
            f"{path} {problem}; nothing there was touched, choose another name, or remove it"
        )


def _problem(path: Path, marker: str) -> str | None:
    present = _files_below(path)
    if not present and not any(path.iterdir()):
        return None
    if marker not in present:
        return f"exists and was not written by this command (no {marker} in it)"
    own = _named_by(path / marker)
    if own is None:
        return (
            "exists and was not written by this command "
            f"({marker} in it does not say what belongs to it)"
        )
    foreign = sorted(
        name
        for name in present - own - {marker}
        if name.rpartition("/")[2] not in _LITTER and "__pycache__" not in name.split("/")
    )
    if not foreign:
        return None
    more = f" and {len(foreign) - _MOST_NAMED} more" if len(foreign) > _MOST_NAMED else ""
    return f"holds what was not written by this command: {', '.join(foreign[:_MOST_NAMED])}{more}"


def _files_below(folder: Path) -> set[str]:
    """Names of files (and links) relative to *folder*, with ``/``."""

    def refuse(error: OSError) -> None:
        raise error

    found = set()
    for place, folders, files in os.walk(folder, onerror=refuse):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        for name in (*files, *links):
            found.add(Path(place, name).relative_to(folder).as_posix())
    return found


def _named_by(marker: Path) -> set[str] | None:
    try:
        document = json.loads(marker.read_bytes())
    except (ValueError, RecursionError):
        return None
    files = document.get("files") if isinstance(document, dict) else None
    if not isinstance(files, dict | list) or not all(isinstance(name, str) for name in files):
        return None
    return set(files)
