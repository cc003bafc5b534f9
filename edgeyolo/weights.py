"""Weights by name: the embedded detector, and official ones, downloaded once and always verified.

Cache: ``$EDGEYOLO_CACHE``, else ``$XDG_CACHE_HOME/edgeyolo``, else ``~/.cache/edgeyolo``, else
(no home) a folder of the user's own in the temporary folder.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgeyolo.artifact import sha256_of
from edgeyolo.atomic import write_text
from edgeyolo.checkpoints.containers import open_stored
from edgeyolo.download import Expected, Patience, Progress, download
from edgeyolo.embedded import DEMO_NAME, checkpoint_path
from edgeyolo.errors import CheckpointError, DownloadError, OutputError, one_line
from edgeyolo.weights_catalog import ALIASES, OFFICIAL_WEIGHTS, OfficialWeights


@dataclass(frozen=True, slots=True)
class FirstUse:
    """The digest that a file without a published one had when the user decided to trust it."""

    url: str
    sha256: str
    size_bytes: int


def resolve_weights(
    name_or_path: str | Path,
    *,
    trust_first_use: bool = False,
    patience: Patience | None = None,
    progress: Progress = lambda _done, _total: None,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """The file to read: an existing path as it is, a name from the cache or the network.

    Args:
        name_or_path: ``"yolox-s"``, ``"yolov7"``, ``"demo"`` for the embedded detector, or a path.
        trust_first_use: Accept an official file whose digest is not published, and hold every
            later use against the digest it has now.
        patience: See :class:`~edgeyolo.download.Patience`.
        progress: Called while downloading.
        say: Called with a line when something takes time.

    Raises:
        CheckpointError: Neither a file nor a known name.
        DownloadError: The file is not in the cache and cannot be fetched, is not what was
            expected, or its digest is unknown and *trust_first_use* is off.
        OutputError: The cache cannot be written.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    if str(name_or_path) == DEMO_NAME:
        return checkpoint_path()
    weights = find_weights(str(name_or_path))
    if weights is None:
        kind = "a folder, not a file" if path.is_dir() else "neither a file nor a known name"
        known = ", ".join((DEMO_NAME, *OFFICIAL_WEIGHTS))
        raise CheckpointError(f"{path} is {kind}; known names: {known}")
    return fetch(
        weights, trust_first_use=trust_first_use, patience=patience, progress=progress, say=say
    )


def find_weights(name: str) -> OfficialWeights | None:
    """The catalogue entry of a name in any of its spellings."""
    return OFFICIAL_WEIGHTS.get(ALIASES.get(name, name))


def fetch(
    weights: OfficialWeights,
    *,
    trust_first_use: bool = False,
    patience: Patience | None = None,
    progress: Progress = lambda _done, _total: None,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """The verified file of a catalogue entry; see :func:`resolve_weights`."""
    target = cached_path(weights)
    expected = _expected(weights, target)
    if expected.sha256 is not None and target.is_file() and _matches(target, expected):
        return target  # needs no lock, so a cache that cannot be written will do
    if expected.sha256 is None and not trust_first_use:
        raise DownloadError(
            f"no digest of {weights.name} is published, so it cannot be verified; if you trust "
            f"{weights.url} now, run: edgeyolo weights pull {weights.name} --trust-first-use "
            "(its digest is recorded and every later use is held against it)"
        )
    with _locked(target, say):
        expected = _expected(weights, target)  # another process may have been quicker
        if target.is_file() and expected.sha256 is not None:
            if _matches(target, expected):
                return target
            say(f"{target} is not what it should be; it is downloaded again")
            target.unlink()
        if not target.is_file():
            say(f"downloading {weights.url}")
            download(weights.url, target, expected, patience=patience, progress=progress)
        if expected.sha256 is None:
            say(f"recorded SHA-256 {_trust(weights, target)} of {weights.name}")
    return target


def cached_path(weights: OfficialWeights) -> Path:
    """Where the file is, or would be, in the cache."""
    return cache_folder() / "weights" / weights.release / weights.file_name


def is_cached(weights: OfficialWeights) -> bool:
    """Whether a file of the right size is in the cache; its digest is checked when it is used."""
    path = cached_path(weights)
    return path.is_file() and weights.size_bytes in (None, path.stat().st_size)


def cache_folder() -> Path:
    """See the module docstring; the folder need not exist."""
    if named := os.environ.get("EDGEYOLO_CACHE"):
        return Path(named).absolute()
    standard = os.environ.get("XDG_CACHE_HOME", "")
    if standard and Path(standard).is_absolute():  # relative ones are to be ignored (XDG)
        return Path(standard) / "edgeyolo"
    try:
        home = Path.home()
    except RuntimeError:
        home = Path()
    if home.is_absolute() and os.access(home, os.W_OK):
        return home / ".cache" / "edgeyolo"
    return _temporary_cache()


def _temporary_cache() -> Path:
    user = os.getuid()
    folder = Path(tempfile.gettempdir()) / f"edgeyolo-cache-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    facts = folder.lstat()
    if facts.st_uid != user or facts.st_mode & 0o022:
        raise OutputError(
            f"{folder} can be written by others; set EDGEYOLO_CACHE to a folder of your own"
        )
    return folder


def _expected(weights: OfficialWeights, target: Path) -> Expected:
    """What the catalogue says, else what was recorded on first use, else nothing."""
    if weights.sha256 is not None:
        return Expected(weights.size_bytes, weights.sha256)
    trusted = _trusted(target)
    if trusted is not None and trusted.url == weights.url:
        return Expected(trusted.size_bytes, trusted.sha256)
    return Expected(None, None)


def _matches(path: Path, expected: Expected) -> bool:
    return expected.size_bytes in (None, path.stat().st_size) and sha256_of(path) == expected.sha256


def _trust(weights: OfficialWeights, target: Path) -> str:
    """Record the digest of a file, if it is a checkpoint at all, and return it."""
    try:
        with open_stored(target):
            pass
    except CheckpointError as error:
        target.unlink()
        raise DownloadError(f"{weights.url} is no checkpoint: {one_line(error)}") from error
    record = FirstUse(weights.url, sha256_of(target), target.stat().st_size)
    write_text(_record_path(target), msgspec.json.encode(record).decode())
    return record.sha256


def _trusted(target: Path) -> FirstUse | None:
    path = _record_path(target)
    try:
        return msgspec.json.decode(path.read_bytes(), type=FirstUse)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise DownloadError(
            f"the recorded digest {path} cannot be read ({one_line(error)}); "
            "delete it to decide again"
        ) from error


def _record_path(target: Path) -> Path:
    return target.with_name(target.name + ".trusted.json")


@contextmanager
def _locked(target: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time fetch *target*; the lock dies with its process."""
    import fcntl  # not on every system that can import this module

    path = target.with_name(target.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"cannot write the cache {path.parent}: {one_line(error.strerror or error)}; "
            "set EDGEYOLO_CACHE to a folder of your own"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process is fetching {target.name}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
