"""The zip container of torch 1.6 and later: ``NAME/data.pkl`` and ``NAME/data/KEY``.

torch writes entries uncompressed, with zip64 records. Only that is read: a compressed entry
would open the door to zip bombs. Entries are checked against the file and their CRC.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from edgeyolo.checkpoints.records import (
    ITEM_BYTES,
    IncompleteError,
    RefusedError,
    StorageRecord,
)
from edgeyolo.checkpoints.storages import storage_record
from edgeyolo.checkpoints.unpickler import MAX_PICKLE_BYTES, Unpickler
from edgeyolo.checkpoints.window import Window

SIGNATURE = b"PK\x03\x04"
_MAX_DIRECTORY_BYTES = 32 << 20
_MAX_ENTRIES = 100_000

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s4B4HL2L5H2L")
_LOCAL = struct.Struct("<4s2B4HL2L2H")


@dataclass(frozen=True, slots=True)
class _Entry:
    offset: int
    size: int
    crc: int


class ZipContainer:
    """See the module docstring.

    Raises:
        IncompleteError: The directory at the end is missing: a download broke off.
        RefusedError: Not an archive as torch writes it, or damaged.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._entries = _directory(window)
        pickles = [name for name in self._entries if name.split("/")[1:] == ["data.pkl"]]
        if "data.pkl" in self._entries:
            pickles.append("data.pkl")
        if len(pickles) != 1:
            raise RefusedError(
                "it is a zip archive without data.pkl, not a torch checkpoint; "
                "if a checkpoint is inside, unpack it"
            )
        self._prefix = pickles[0].removesuffix("data.pkl")
        if self._prefix + "constants.pkl" in self._entries:
            raise RefusedError(
                "it is a TorchScript program; the checkpoint that it was made from is needed"
            )
        order = self._entries.get(self._prefix + "byteorder")
        if order is not None and self._read(order, 16) != b"little":
            raise RefusedError("it was written on a big-endian machine, which is not supported")

    def load(self) -> object:
        """The unpickled root."""
        data = self._read(self._entries[self._prefix + "data.pkl"], MAX_PICKLE_BYTES)
        try:
            return Unpickler(data, persistent_load=self._persistent).load()
        except IncompleteError as error:
            # The archive is whole, so it is not a download that broke off.
            raise RefusedError(f"it is damaged: {error}") from error

    def read_storage(self, storage: StorageRecord) -> bytes:
        entry = self._storage_entry(storage.key)
        return self._read(entry, entry.size)

    def _persistent(self, identity: object) -> object:
        storage = storage_record(identity)
        if not isinstance(storage, StorageRecord):
            return storage
        entry = self._storage_entry(storage.key)
        if storage.count * ITEM_BYTES[storage.dtype] > entry.size:
            raise RefusedError(
                f"storage {storage.key[:40]!r} claims {storage.count} {storage.dtype} numbers, "
                f"its entry has {entry.size} bytes"
            )
        return storage

    def _storage_entry(self, key: str) -> _Entry:
        entry = self._entries.get(f"{self._prefix}data/{key}")
        if entry is None:
            raise RefusedError(f"its pickle refers to storage {key[:40]!r}, which is not in it")
        return entry

    def _read(self, entry: _Entry, most: int) -> bytes:
        if entry.size > most:
            raise RefusedError(f"an entry has {entry.size:,} bytes, at most {most:,} are read")
        header = _LOCAL.unpack(self._window.read(entry.offset, _LOCAL.size))
        if header[0] != SIGNATURE:
            raise RefusedError("it is damaged: an entry does not begin with its header")
        name_bytes, extra_bytes = header[-2:]
        start = entry.offset + _LOCAL.size + name_bytes + extra_bytes
        data = self._window.read(start, entry.size)
        if zlib.crc32(data) != entry.crc:
            raise RefusedError("it is damaged: the checksum of an entry is wrong; copy it again")
        return data


def _directory(window: Window) -> dict[str, _Entry]:
    count, size, offset = _end_record(window)
    if count > _MAX_ENTRIES or size > _MAX_DIRECTORY_BYTES:
        raise RefusedError(
            f"it is a zip archive with a directory of {count:,} entries in {size:,} bytes; "
            "no checkpoint has that many"
        )
    data = window.read(offset, size)
    entries: dict[str, _Entry] = {}
    position = total_bytes = 0
    for _ in range(count):
        if position + _CENTRAL.size > len(data):
            raise RefusedError("it is damaged: its directory of entries is too short")
        fields = _CENTRAL.unpack_from(data, position)
        position += _CENTRAL.size
        if fields[0] != b"PK\x01\x02":
            raise RefusedError("it is damaged: its directory of entries is not readable")
        flags, method = fields[5], fields[6]
        crc, packed, unpacked, name_size, extra_size, comment_size = fields[9:15]
        local_offset = fields[-1]
        name = data[position : position + name_size].decode("utf-8", "replace")
        extra = data[position + name_size : position + name_size + extra_size]
        position += name_size + extra_size + comment_size
        unpacked, packed, local_offset = _zip64_values(extra, unpacked, packed, local_offset)
        if method != 0 or flags & 1 or packed != unpacked:
            raise RefusedError(
                f"its entry {name[:60]!r} is compressed or encrypted, which torch.save never "
                "does; unpack the archive and save the checkpoint again"
            )
        total_bytes += unpacked
        if local_offset + unpacked > window.size or total_bytes > window.size:
            raise RefusedError("it is damaged: its entries claim more bytes than the file has")
        if name in entries:
            raise RefusedError(f"its entry {name[:60]!r} occurs twice")
        entries[name] = _Entry(local_offset, unpacked, crc)
    return entries


def _end_record(window: Window) -> tuple[int, int, int]:
    """Number of entries, bytes and offset of the directory."""
    tail_bytes = min(window.size, _END.size + 0xFFFF)
    tail_offset = window.size - tail_bytes
    tail = window.read(tail_offset, tail_bytes)
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or found + _END.size > len(tail):
        raise IncompleteError("the end of the archive is missing")
    _, _, _, _, count, size, offset, _ = _END.unpack_from(tail, found)
    locator = tail_offset + found - _END64_LOCATOR.size
    if locator >= 0:
        signature, _, end64, _ = _END64_LOCATOR.unpack(window.read(locator, _END64_LOCATOR.size))
        if signature == b"PK\x06\x07":
            fields = _END64.unpack(window.read(end64, _END64.size))
            if fields[0] != b"PK\x06\x06":
                raise RefusedError("it is damaged: its zip64 record is not readable")
            count, size, offset = fields[-3:]
    return count, size, offset


def _zip64_values(
    extra: bytes, unpacked: int, packed: int, local_offset: int
) -> tuple[int, int, int]:
    """Sizes and offset, taken from the zip64 field where they do not fit 32 bits."""
    values = [unpacked, packed, local_offset]
    if 0xFFFFFFFF not in values:
        return unpacked, packed, local_offset
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        position += 4
        if kind == 1:
            field = extra[position : position + length]
            for index, value in enumerate(values):
                if value == 0xFFFFFFFF:
                    if len(field) < 8:
                        break
                    values[index] = int.from_bytes(field[:8], "little")
                    field = field[8:]
            return values[0], values[1], values[2]
        position += length
    raise RefusedError("it is damaged: a zip64 field is missing")
