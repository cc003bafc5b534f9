"""The raw stream of torch 0.2 to 1.5: several pickles one after the other, then the numbers.

Order: magic number, protocol, facts about the writing machine, the root, the list of storage
keys, and per key the number of elements (int64) and the elements.
"""

from __future__ import annotations

from edgeyolo.checkpoints.records import (
    ITEM_BYTES,
    IncompleteError,
    RefusedError,
    StorageRecord,
)
from edgeyolo.checkpoints.storages import storage_record
from edgeyolo.checkpoints.unpickler import MAX_PICKLE_BYTES, Unpickler
from edgeyolo.checkpoints.window import Window

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


class StreamContainer:
    """See the module docstring."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._claimed: dict[str, StorageRecord] = {}
        self._places: dict[str, tuple[int, int]] = {}

    def load(self) -> object:
        """The unpickled root.

        Raises:
            RefusedError: Not such a stream; a plain pickle is read to its end first, so that
                a hostile one is named as such.
        """
        # Five pickles in a row share one read; none may be longer than the limit.
        data = self._window.head(0, MAX_PICKLE_BYTES + (1 << 16))
        first = Unpickler(data)
        if first.load() != _MAGIC:
            raise RefusedError(
                "it is a pickle that torch.save did not write; save the checkpoint with torch.save"
            )
        position = first.position
        protocol, position = self._next(data, position)
        if protocol != _PROTOCOL:
            raise RefusedError("it is a torch checkpoint of an unknown protocol")
        machine, position = self._next(data, position)
        if isinstance(machine, dict) and machine.get("little_endian") is False:
            raise RefusedError("it was written on a big-endian machine, which is not supported")
        main = Unpickler(data, position, persistent_load=self._persistent)
        root = main.load()
        keys, position = self._next(data, main.position)
        self._locate(keys, position)
        return root

    def read_storage(self, storage: StorageRecord) -> bytes:
        offset, size = self._places[storage.key]
        return self._window.read(offset, size)

    @staticmethod
    def _next(data: bytes, position: int) -> tuple[object, int]:
        unpickler = Unpickler(data, position)
        return unpickler.load(), unpickler.position

    def _persistent(self, identity: object) -> object:
        storage = storage_record(identity)
        if not isinstance(storage, StorageRecord):
            return storage
        whole = identity[4]  # type: ignore[index]  # storage_record checked the tuple
        item_bytes = ITEM_BYTES[storage.dtype]
        if whole * item_bytes > self._window.size:
            raise IncompleteError(f"one of its storages alone has {whole * item_bytes:,} bytes")
        known = self._claimed.setdefault(
            storage.key, StorageRecord(storage.dtype, storage.key, whole)
        )
        if known.dtype != storage.dtype or known.count != whole:
            raise RefusedError(f"storage {storage.key[:40]!r} has two different sizes or types")
        return storage

    def _locate(self, keys: object, position: int) -> None:
        if not isinstance(keys, list):
            raise RefusedError("it is damaged: the list of its storages is not a list")
        for key in keys:
            storage = self._claimed.get(key) if isinstance(key, str) else None
            if storage is None or key in self._places:
                raise RefusedError("it is damaged: the list of its storages has a wrong key")
            count = int.from_bytes(self._window.read(position, 8), "little", signed=True)
            if count != storage.count:
                raise RefusedError(f"storage {key[:40]!r} has not the size that the pickle says")
            size = count * ITEM_BYTES[storage.dtype]
            if position + 8 + size > self._window.size:
                raise IncompleteError("the end of its numbers is missing")
            self._places[key] = (position + 8, size)
            position += 8 + size
        if missing := self._claimed.keys() - self._places.keys():
            raise RefusedError(f"its storage {min(missing)[:40]!r} is missing")
