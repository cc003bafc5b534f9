"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeyolo.errors import OutputError, one_line
from edgeyolo.ownership import check_replaceable, write_marker


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path beside *path* that takes its name when the block ends without error.

    Raises:
        OutputError: The folder cannot be made or written, or the disk is full. Whatever stood
            under *path* before is untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise _cannot_write(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, *, marker: str) -> Iterator[Path]:
    """A temporary folder beside *path* that takes its name when the block ends without error.

    A folder that stood under *path* is replaced in one step where the system can (Linux); else it
    is moved aside first and comes back if the renaming fails.

    Args:
        marker: A file that every folder of this kind has, and which names the others; written
            here unless the block does. An older folder is not touched where it has none or holds
            anything else, unless it is empty.

    Raises:
        OutputError: As for :func:`atomic_file`; or *path* is a file, a folder of another kind, or
            one with somebody's files in it.
    """
    _check_replaceable(path, marker)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        yield temporary
        if not (temporary / marker).exists():
            write_marker(temporary, marker)
        for member in temporary.rglob("*"):
            if member.is_file():
                _flush(member)
        temporary.chmod(0o777 & ~_umask())
        _swap(temporary, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_file_target(path: Path) -> None:
    """Raise, before long work, the :class:`OutputError` that :func:`atomic_file` would raise."""
    if os.path.isdir(path):
        raise OutputError(f"{path} is a folder, a file is to be written there; name a file")
    _check_place(path)


def check_folder_target(path: Path, *, marker: str) -> None:
    """Raise, before long work, the :class:`OutputError` that :func:`atomic_folder` would raise."""
    _check_replaceable(path, marker)
    _check_place(path)


def _check_place(path: Path) -> None:
    """Try to write beside *path*, or in the nearest folder above it that exists; leave nothing."""
    place = path.absolute().parent
    try:
        while not place.exists():
            place = place.parent
        with tempfile.NamedTemporaryFile(prefix=f".{path.name}.", suffix=".part", dir=place):
            pass
    except OSError as error:
        raise _cannot_write(path, error) from error


def _check_replaceable(path: Path, marker: str) -> None:
    try:
        check_replaceable(path, marker)
    except OSError as error:
        raise _cannot_write(path, error) from error


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes atomically."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def _swap(new: Path, path: Path) -> None:
    # The older folder then bears the temporary name, which the caller removes.
    if not path.is_symlink() and _exchange(new, path):
        return
    while True:
        aside = _moved_aside(path)
        try:
            new.rename(path)
        except OSError as error:
            # Another process put its folder there in the meantime: the last one wins.
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                _remove(aside)
                continue
            if aside is not None and not path.exists():
                aside.rename(path)
            raise
        _remove(aside)
        return


def _exchange(new: Path, path: Path) -> bool:
    """Exchange the names of two folders in one step, so that a kill -9 cannot fall in between.

    False where one of them is missing, or system or file system cannot do it.
    """
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    here = -100  # AT_FDCWD
    swap = 2  # RENAME_EXCHANGE
    return bool(renameat2(here, os.fsencode(new), here, os.fsencode(path), swap) == 0)


def _moved_aside(path: Path) -> Path | None:
    """Move an older folder to a temporary name; ``None`` where there was none."""
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
    try:
        path.rename(aside)
    except FileNotFoundError:
        aside.rmdir()
        return None
    return aside


def _remove(aside: Path | None) -> None:
    if aside is not None:
        shutil.rmtree(aside, ignore_errors=True)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {one_line(error.strerror or error)}")
