"""The tar container of torch 0.1: members ``storages``, ``tensors`` and ``pickle``.

No official YOLOX or YOLOv7 file is one; it is read so that nothing with an old name needs
``torch.load``. Only plain members with the expected names are looked at.
"""

from __future__ import annotations

import struct

from edgeyolo.checkpoints.allowlist import storage_dtype
from edgeyolo.checkpoints.records import (
    ITEM_BYTES,
    GlobalName,
    IncompleteError,
    RefusedError,
    StorageRecord,
    TensorRecord,
    shown,
)
from edgeyolo.checkpoints.unpickler import MAX_PICKLE_BYTES, Unpickler
from edgeyolo.checkpoints.window import Window

_BLOCK = 512
_MEMBERS = ("storages", "tensors", "pickle")
_MAX_MEMBERS = 64
_MAX_RECORDS = 100_000


def is_tar(head: bytes) -> bool:
    """Whether a file that begins with *head* (512 bytes or more) is a tar archive."""
    return head[257:262] == b"ustar"


class TarContainer:
    """See the module docstring."""

    def __init__(self, window: Window) -> None:
        members = _members(window)
        if missing := [name for name in _MEMBERS if name not in members]:
            raise RefusedError(
                f"it is a tar archive without {missing[0]!r}, not a torch checkpoint"
            )
        self._members = members
        self._storages: dict[str, StorageRecord] = {}
        self._places: dict[str, tuple[int, int]] = {}
        self._tensors: dict[str, TensorRecord] = {}

    def load(self) -> object:
        """The unpickled root."""
        self._load_storages(_Cursor(self._members["storages"]))
        self._load_tensors(_Cursor(self._members["tensors"]))
        data = self._members["pickle"].head(0, MAX_PICKLE_BYTES + 1)
        return Unpickler(data, persistent_load=self._persistent).load()

    def read_storage(self, storage: StorageRecord) -> bytes:
        return self._members["storages"].read(*self._places[storage.key])

    def _load_storages(self, cursor: _Cursor) -> None:
        for _ in range(_count(cursor.pickle())):
            record = cursor.pickle()
            key, _, kind = record if isinstance(record, tuple) and len(record) == 3 else (0, 0, 0)
            dtype = storage_dtype(kind) if isinstance(kind, GlobalName) else None
            if dtype is None or not isinstance(key, (int, str)):
                raise RefusedError("it is damaged: a storage of its tar archive has no type")
            count = int.from_bytes(cursor.take(8), "little", signed=True)
            if count < 0 or str(key) in self._storages:
                raise RefusedError("it is damaged: a storage of its tar archive has a wrong size")
            self._places[str(key)] = (cursor.position, count * ITEM_BYTES[dtype])
            cursor.skip(count * ITEM_BYTES[dtype])
            self._storages[str(key)] = StorageRecord(dtype, str(key), count)
        views = cursor.pickle()
        for view in views if isinstance(views, list) else ():
            self._add_view(view)

    def _add_view(self, view: object) -> None:
        if not isinstance(view, tuple) or len(view) != 4:
            raise RefusedError("it is damaged: a view in its tar archive has a wrong form")
        target, source, first, count = view
        whole = self._storages.get(str(source)) if isinstance(source, (int, str)) else None
        if (
            whole is None
            or not isinstance(target, (int, str))
            or any(type(number) is not int or number < 0 for number in (first, count))
            or first + count > whole.count
        ):
            raise RefusedError("it is damaged: a view in its tar archive leaves its storage")
        self._storages[str(target)] = StorageRecord(whole.dtype, whole.key, count, first)

    def _load_tensors(self, cursor: _Cursor) -> None:
        for _ in range(_count(cursor.pickle())):
            record = cursor.pickle()
            key, source, _ = record if isinstance(record, tuple) and len(record) == 3 else (0, 0, 0)
            storage = self._storages.get(str(source)) if isinstance(source, (int, str)) else None
            if storage is None or not isinstance(key, (int, str)):
                raise RefusedError("it is damaged: a tensor of its tar archive has no storage")
            # The number of dimensions takes eight bytes, of which four count.
            (dimensions,) = struct.unpack("<i4x", cursor.take(8))
            if not 0 <= dimensions <= 8:
                raise RefusedError(f"a tensor has {dimensions} dimensions; at most 8 are read")
            numbers = struct.unpack(
                f"<{2 * dimensions + 1}q", cursor.take(8 * (2 * dimensions + 1))
            )
            self._tensors[str(key)] = TensorRecord(
                storage, numbers[-1], numbers[:dimensions], numbers[dimensions:-1]
            )

    def _persistent(self, identity: object) -> object:
        if isinstance(identity, (int, str)):
            found = self._tensors.get(str(identity)) or self._storages.get(str(identity))
            if found is not None:
                return found
        raise RefusedError(f"its pickle refers to {shown(identity)}, which is not in it")


class _Cursor:
    """Reads pickles and raw numbers one after the other."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self.position = 0

    def pickle(self) -> object:
        # These pickles are a few hundred bytes; the list of views is the longest.
        data = self._window.head(self.position, 1 << 16)
        unpickler = Unpickler(data)
        value = unpickler.load()
        self.position += unpickler.position
        return value

    def take(self, count: int) -> bytes:
        data = self._window.read(self.position, count)
        self.position += count
        return data

    def skip(self, count: int) -> None:
        self.position += count
        if self.position > self._window.size:
            raise IncompleteError("the end of its numbers is missing")


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_RECORDS:
        raise RefusedError("it is damaged: a list in its tar archive has a wrong length")
    return value


def _members(window: Window) -> dict[str, Window]:
    members: dict[str, Window] = {}
    position = 0
    for _ in range(_MAX_MEMBERS):
        if position + _BLOCK > window.size:
            break
        header = window.read(position, _BLOCK)
        if not any(header):
            return members
        size_text = header[124:136].strip(b"\0 ")
        if header[257:262] != b"ustar" or not size_text.isdigit():
            raise RefusedError("it is damaged: its tar archive has a wrong header")
        try:
            size = int(size_text, 8)
        except ValueError:
            raise RefusedError("it is damaged: its tar archive has a wrong size") from None
        name = header[:100].rstrip(b"\0").decode("latin-1").removeprefix("./")
        if name in _MEMBERS and header[156:157] in (b"0", b"\0"):
            if name in members:
                raise RefusedError(f"its member {name!r} occurs twice")
            members[name] = window.part(position + _BLOCK, size)
        position += _BLOCK + -(-size // _BLOCK) * _BLOCK
    if position > window.size:
        raise IncompleteError("the end of the archive is missing")
    return members
