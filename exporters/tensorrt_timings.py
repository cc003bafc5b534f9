"""Kernel timings of earlier builds. They only save time: whatever is wrong with them, we build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeyolo.atomic import write_bytes
from edgeyolo.errors import OutputError, one_line


def reuse_timings(config: Any, path: Path) -> str | None:
    """Let a build begin with the timings of *path*, or with none where they do not fit.

    Args:
        config: The vendor's ``IBuilderConfig``.

    Returns:
        Why the file was not used, where it is there but unreadable or damaged.
    """
    problem = None
    stored = b""
    try:
        if path.exists():
            stored = path.read_bytes()
    except OSError as error:
        problem = f"kernel timings were not read: {path}: {one_line(error.strerror or error)}"
    cache = config.create_timing_cache(stored)
    if cache is None and stored:
        problem = f"kernel timings in {path} are damaged; all kernels were timed again"
    # A cache of another GPU or version is refused and a fresh one used instead.
    if cache is None or not config.set_timing_cache(cache, False):
        fresh = config.create_timing_cache(b"")
        if fresh is not None:
            config.set_timing_cache(fresh, False)
    return problem


def timings_of(config: Any) -> bytes:
    """What the build has timed or reused, to be kept; empty where the library has no cache."""
    cache = config.get_timing_cache()
    return b"" if cache is None else bytes(cache.serialize())


def keep_timings(path: Path, timings: bytes) -> str | None:
    """Write timings for the next build.

    Returns:
        Why they could not be written.
    """
    try:
        write_bytes(path, timings)
    except OutputError as error:
        return f"kernel timings were not kept: {error}"
    return None
