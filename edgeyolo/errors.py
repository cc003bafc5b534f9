"""Every error a user may catch, and ``needs``, which turns a missing package into one of them.

    EdgeYoloError                 the message is one line: what was wrong, the value, what to do
    ├── CheckpointError           a weights file is damaged, foreign or hostile
    ├── ArtifactError             an artifact is damaged, altered or of another schema
    │   └── ContractMissingError  a vendor file without an edgeyolo contract
    ├── UnsupportedError          a combination that this version cannot do
    ├── MissingPackageError       an optional package is not installed
    ├── BackendError              a vendor library failed; its own text is inside
    │   └── BuildTargetError      an engine was built for another machine
    ├── SourceError               a picture, video, camera or stream cannot be read
    ├── DatasetError              pictures or labels cannot be used
    ├── ParityError               the exported file does not detect what PyTorch detects
    ├── AccuracyError             INT8 misses the accuracy budget
    ├── TrainingError             training cannot start or go on
    ├── DownloadError             official weights cannot be fetched or verified
    └── OutputError               a result cannot be written (disk full, read-only, exists)

A bad argument of a Python call is ``ValueError``, not one of these.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from contextlib import contextmanager


class EdgeYoloError(Exception):
    """Base of all errors that the command line shows as one line with exit status 1.

    Attributes:
        told: Another process of the same job has shown it already.
    """

    told = False


class CheckpointError(EdgeYoloError):
    """A weights file is damaged, foreign or hostile."""


class ArtifactError(EdgeYoloError):
    """An artifact is damaged, altered, incomplete or of another schema."""


class ContractMissingError(ArtifactError):
    """A vendor file carries no edgeyolo contract, so how to feed it is unknown."""


class UnsupportedError(EdgeYoloError):
    """What was asked for is a combination that this version cannot do."""


class MissingPackageError(EdgeYoloError):
    """An optional package is not installed."""


class BackendError(EdgeYoloError):
    """A vendor library failed; the message contains its own text."""


class BuildTargetError(BackendError):
    """A compiled engine was built for another machine or library version."""


class SourceError(EdgeYoloError):
    """A picture, video, camera or network stream cannot be read."""


class DatasetError(EdgeYoloError):
    """Pictures or labels of a data set cannot be used."""


class ParityError(EdgeYoloError):
    """An exported file does not detect what the PyTorch model detects."""


class AccuracyError(EdgeYoloError):
    """A quantised model misses the accuracy budget it was given."""


class TrainingError(EdgeYoloError):
    """Training cannot start or cannot go on."""


class DownloadError(EdgeYoloError):
    """Official weights cannot be fetched, or are not what they should be."""


class OutputError(EdgeYoloError):
    """A result cannot be written where it was asked for."""


@contextmanager
def needs(package: str, *, extra: str) -> Iterator[None]:
    """Turn a failing import of an optional package into a message that names the extra.

    Args:
        package: Name of the package as pip knows it.
        extra: The extra of edgeyolo that installs it.

    Raises:
        MissingPackageError: The import inside the block failed; a broken installation
            (a shared library that does not load) is reported with its own text.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"{package} is not installed; run: pip install 'edgeyolo[{extra}]'"
        ) from error
    # Binary modules fail with more than ImportError: TypeError is a bug of ours, not of theirs.
    except (ImportError, OSError, AttributeError, RuntimeError, SystemError) as error:
        if wants_older_numpy(error):
            raise MissingPackageError(
                f"{package} was built for numpy 1 and does not load with the numpy here; "
                f"run: pip install --upgrade 'edgeyolo[{extra}]' (or: pip install 'numpy<2')"
            ) from error
        raise MissingPackageError(
            f"{package} is installed but does not load ({one_line(error)}); "
            f"reinstall it with: pip install --force-reinstall 'edgeyolo[{extra}]'"
        ) from error


def wants_older_numpy(error: BaseException) -> bool:
    """Whether a binary module failed to load because it was built for numpy 1."""
    text = str(error)
    return any(
        sign in text
        for sign in ("numpy.core.multiarray failed to import", "_ARRAY_API", "using NumPy 1.x")
    )


def brief(value: object) -> str:
    """A value out of a file for a message: at most 80 characters, however deep it is nested."""
    shortener = reprlib.Repr()
    shortener.maxlevel = 2
    return one_line(shortener.repr(value), limit=80)


def one_line(error: BaseException | str, limit: int = 300) -> str:
    """The text of a (vendor's) error on a single line of at most *limit* characters."""
    text = " ".join(str(error).split())
    if not text.isprintable():
        # A damaged or hostile file's names must not give orders to the terminal.
        text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    if not text and isinstance(error, BaseException):
        text = type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"
