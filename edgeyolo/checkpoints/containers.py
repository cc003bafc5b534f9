"""Opens a checkpoint file, whichever of torch's three containers it is.

Yields the unpickled root, made of plain values and records, and the bytes of storages on
request. What a file claims is checked against its size first. No torch here: a hostile file
is refused before torch is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeyolo.checkpoints.foreign import check_not_foreign
from edgeyolo.checkpoints.records import (
    ITEM_BYTES,
    IncompleteError,
    RefusedError,
    StorageRecord,
    TensorRecord,
)
from edgeyolo.checkpoints.stream_container import StreamContainer
from edgeyolo.checkpoints.structure import check_structure
from edgeyolo.checkpoints.tar_container import TarContainer, is_tar
from edgeyolo.checkpoints.window import Window
from edgeyolo.checkpoints.zip_container import SIGNATURE, ZipContainer
from edgeyolo.errors import CheckpointError, one_line


@dataclass(frozen=True, slots=True)
class Stored:
    """An opened checkpoint file.

    Attributes:
        root: The unpickled value; free of loops.
        container: ``"zip"``, ``"stream"`` or ``"tar"``.
        file_bytes: Size of the file.
    """

    root: object
    container: str
    file_bytes: int
    _read_storage: Callable[[StorageRecord], bytes]

    def tensor_bytes(self, tensor: TensorRecord) -> bytes:
        """The storage of *tensor* from its first element on, little-endian."""
        storage = tensor.storage
        item_bytes = ITEM_BYTES[storage.dtype]
        data = self._read_storage(storage)
        first = storage.first * item_bytes
        return data[first : first + storage.count * item_bytes]


@contextmanager
def open_stored(path: Path) -> Iterator[Stored]:
    """Open and unpickle a checkpoint file; close it at the end of the block.

    Raises:
        CheckpointError: The file is missing, empty, incomplete, of another kind, damaged or
            hostile. Also for what goes wrong inside the block while it is taken apart.
    """
    try:
        with path.open("rb") as file:
            yield _open(Window(file))
    except IncompleteError as error:
        raise CheckpointError(
            f"{path} is incomplete: it has {path.stat().st_size:,} bytes and {error}; "
            "download or copy it again"
        ) from error
    except RefusedError as error:
        raise CheckpointError(f"{path} is not a usable checkpoint: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise CheckpointError(f"{path} is damaged: {one_line(error)}") from error


def _open(window: Window) -> Stored:
    head = window.head(0, 4096)
    check_not_foreign(head, window.size)
    reader: ZipContainer | TarContainer | StreamContainer
    if head.startswith(SIGNATURE):
        kind, reader = "zip", ZipContainer(window)
    elif is_tar(head):
        kind, reader = "tar", TarContainer(window)
    elif head[:1] == b"\x80" or head[:1] in b"(]}cLI":
        kind, reader = "stream", StreamContainer(window)
    else:
        raise RefusedError(
            f"it is not a file that torch.save wrote: it begins with {head[:8]!r} "
            f"({window.size:,} bytes)"
        )
    root = reader.load()
    check_structure(root)
    return Stored(root, kind, window.size, reader.read_storage)
