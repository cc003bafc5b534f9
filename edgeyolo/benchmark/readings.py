"""Small text files of ``/proc`` and ``/sys``, which may be missing, empty or busy."""

from __future__ import annotations

import re
from pathlib import Path


def text_of(path: Path) -> str:
    """What is in it, stripped; empty where it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def number_in(path: Path) -> float | None:
    """The number in it, if there is one."""
    content = text_of(path)
    return float(content) if is_number(content) else None


def numbers_in(root: Path, pattern: str) -> list[float]:
    """Of all files that match, in order of their names."""
    found = [number_in(path) for path in sorted(root.glob(pattern))]
    return [value for value in found if value is not None]


def is_number(content: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", content) is not None
