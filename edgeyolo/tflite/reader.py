"""What a ``.tflite`` file contains, read without the vendor's runtime and without trust.

The vendor's runtime follows offsets of the file without checking all of them: a truncated or
altered file can end the process. So every offset and index that matters is checked here first.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edgeyolo.errors import ArtifactError
from edgeyolo.tflite.graph import Quantization
from edgeyolo.tflite.numbers import OPERATOR_NAMES, TYPE_BYTES, TYPE_NAMES

_T = TypeVar("_T")

# Far above what any detector has; keeps a hostile file from making us loop for minutes.
_MOST_ITEMS = 1_000_000
_MOST_ELEMENTS = 1 << 31


@dataclass(frozen=True, slots=True)
class FileTensor:
    """A tensor as the file declares it.

    Attributes:
        dtype: numpy's name, ``"float32"``, ``"int8"``, ...
        constant: Whether the file holds its values.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None
    constant: bool


@dataclass(frozen=True, slots=True)
class FileOperator:
    """An operator: its builtin name and the indices of its tensors (-1 = left out)."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TfliteFile:
    """The main sub-graph of a file whose structure was checked."""

    tensors: tuple[FileTensor, ...]
    operators: tuple[FileOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    metadata: dict[str, bytes]
    subgraphs: int

    @property
    def input_tensors(self) -> tuple[FileTensor, ...]:
        return tuple(self.tensors[index] for index in self.inputs)

    @property
    def output_tensors(self) -> tuple[FileTensor, ...]:
        return tuple(self.tensors[index] for index in self.outputs)


def read_file(path: Path) -> TfliteFile:
    """Read and check a file.

    Raises:
        ArtifactError: It cannot be read, is no TFLite file, or points outside of itself.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror})") from error
    return read(data, origin=str(path))


def read(data: bytes, *, origin: str) -> TfliteFile:
    """Read and check the bytes of a file; *origin* names it in messages."""
    if len(data) < 16 or data[4:8] != b"TFL3":
        raise ArtifactError(f"{origin}: not a TFLite file ({len(data)} bytes, no TFL3 mark)")
    try:
        return _model(_Table(data, struct.unpack_from("<I", data, 0)[0]))
    except (_Damage, struct.error, UnicodeDecodeError, ValueError) as error:
        raise ArtifactError(
            f"{origin}: the TFLite file is damaged or truncated ({error}); "
            "export or download it again"
        ) from error


class _Damage(Exception):  # noqa: N818
    """Something in the file points where it must not."""


class _Table:
    """A flatbuffer table at a position, with checked access to its fields."""

    __slots__ = ("data", "fields", "position", "size")

    def __init__(self, data: bytes, position: int) -> None:
        if not 4 <= position <= len(data) - 4:
            raise _Damage(f"a table at byte {position} of {len(data)}")
        vtable = position - struct.unpack_from("<i", data, position)[0]
        if not 0 <= vtable <= len(data) - 4:
            raise _Damage(f"a vtable at byte {vtable} of {len(data)}")
        length, size = struct.unpack_from("<HH", data, vtable)
        if length < 4 or length % 2 or vtable + length > len(data):
            raise _Damage(f"a vtable of {length} bytes at byte {vtable}")
        if size < 4 or position + size > len(data):
            raise _Damage(f"a table of {size} bytes at byte {position} of {len(data)}")
        self.data, self.position, self.size = data, position, size
        self.fields = struct.unpack_from(f"<{(length - 4) // 2}H", data, vtable + 4)
        if any(offset >= size for offset in self.fields):
            raise _Damage(f"a field outside its table at byte {position}")

    def _at(self, field: int) -> int | None:
        if field >= len(self.fields) or self.fields[field] == 0:
            return None
        return self.position + int(self.fields[field])

    def number(self, field: int, form: str, default: int = 0) -> int:
        at = self._at(field)
        if at is None:
            return default
        if at + struct.calcsize(form) > self.position + self.size:
            raise _Damage(f"a number outside its table at byte {self.position}")
        return int(struct.unpack_from("<" + form, self.data, at)[0])

    def _reference(self, field: int) -> int | None:
        at = self._at(field)
        if at is None:
            return None
        if at + 4 > self.position + self.size:
            raise _Damage(f"an offset outside its table at byte {self.position}")
        target = at + struct.unpack_from("<I", self.data, at)[0]
        if not 4 <= target <= len(self.data) - 4:
            raise _Damage(f"an offset to byte {target} of {len(self.data)}")
        return int(target)

    def table(self, field: int) -> _Table | None:
        target = self._reference(field)
        return None if target is None else _Table(self.data, target)

    def span(self, field: int, item_bytes: int) -> tuple[int, int]:
        """Start and number of items of a vector; (0, 0) where it is left out."""
        target = self._reference(field)
        if target is None:
            return 0, 0
        count = struct.unpack_from("<I", self.data, target)[0]
        start = target + 4
        if start + count * item_bytes > len(self.data):
            raise _Damage(f"a vector of {count} items at byte {target} of {len(self.data)}")
        return start, count

    def vector(self, field: int, form: str) -> tuple[float, ...]:
        start, count = self.span(field, struct.calcsize("<" + form))
        if count > _MOST_ITEMS:
            raise _Damage(f"a vector of {count} items")
        return struct.unpack_from(f"<{count}{form}", self.data, start)

    def integers(self, field: int) -> tuple[int, ...]:
        return tuple(int(value) for value in self.vector(field, "i"))

    def tables(self, field: int, read_item: Callable[[_Table], _T]) -> list[_T]:
        start, count = self.span(field, 4)
        if count > _MOST_ITEMS:
            raise _Damage(f"a vector of {count} tables")
        items = []
        for place in range(start, start + 4 * count, 4):
            target = place + struct.unpack_from("<I", self.data, place)[0]
            items.append(read_item(_Table(self.data, target)))
        return items

    def text(self, field: int) -> str:
        start, count = self.span(field, 1)
        if start and (start + count >= len(self.data) or self.data[start + count] != 0):
            raise _Damage(f"a text at byte {start} that does not end")
        return self.data[start : start + count].decode()

    def content(self, field: int) -> bytes:
        start, count = self.span(field, 1)
        return self.data[start : start + count]


def _model(root: _Table) -> TfliteFile:
    version = root.number(0, "I")
    if version != 3:
        raise _Damage(f"schema version {version}, not 3")
    kinds = root.tables(1, _operator_kind)
    buffers = root.tables(4, _buffer)
    graphs = root.tables(2, lambda table: _subgraph(table, kinds, buffers))
    if not graphs:
        raise _Damage("no graph")
    # Signatures: LiteRT looks up their tensors without asking.
    root.tables(7, lambda table: _signature(table, [len(graph[0]) for graph in graphs]))
    metadata = {}
    for name, index in root.tables(6, lambda table: (table.text(0), table.number(1, "I"))):
        if index >= len(buffers):
            raise _Damage(f"metadata {name!r} in buffer {index} of {len(buffers)}")
        metadata[name] = buffers[index]
    tensors, operators, inputs, outputs = graphs[0]
    return TfliteFile(tensors, operators, inputs, outputs, metadata, len(graphs))


def _operator_kind(table: _Table) -> str:
    # The older byte field is used where the newer one is absent.
    number = max(table.number(0, "b"), table.number(3, "i"))
    custom = table.text(1)
    if number < 0:
        raise _Damage(f"operator code {number}")
    if number == 32:
        return f"CUSTOM:{custom}"
    return OPERATOR_NAMES[number] if number < len(OPERATOR_NAMES) else f"BUILTIN_{number}"


def _buffer(table: _Table) -> bytes:
    offset, size = table.number(1, "Q"), table.number(2, "Q")
    # Offsets above 1 are how files over 2 GiB keep their data behind the flatbuffer.
    if offset > 1:
        if offset + size > len(table.data):
            raise _Damage(f"a buffer of {size} bytes at byte {offset} of {len(table.data)}")
        return table.data[offset : offset + size]
    return table.content(0)


_Parts = tuple[tuple[FileTensor, ...], tuple[FileOperator, ...], tuple[int, ...], tuple[int, ...]]


def _subgraph(table: _Table, kinds: list[str], buffers: list[bytes]) -> _Parts:
    tensors = tuple(table.tables(0, lambda item: _tensor(item, buffers)))
    operators = tuple(table.tables(3, lambda item: _operator(item, kinds, len(tensors))))
    inputs = _indices(table.integers(1), len(tensors), least=0)
    outputs = _indices(table.integers(2), len(tensors), least=0)
    table.text(4)
    return tensors, operators, inputs, outputs


def _indices(indices: tuple[int, ...], count: int, *, least: int) -> tuple[int, ...]:
    for index in indices:
        if not least <= index < count:
            raise _Damage(f"tensor {index} of {count}")
    return indices


def _tensor(table: _Table, buffers: list[bytes]) -> FileTensor:
    number, index = table.number(1, "b"), table.number(2, "I")
    shape = table.integers(0)
    if any(side < 0 for side in shape) or math.prod(shape) > _MOST_ELEMENTS:
        raise _Damage(f"a tensor of shape {shape}")
    dtype = TYPE_NAMES[number] if 0 <= number < len(TYPE_NAMES) else f"type{number}"
    if index >= len(buffers):
        raise _Damage(f"buffer {index} of {len(buffers)}")
    name = table.text(3)
    size = len(buffers[index])
    expected = math.prod(shape) * TYPE_BYTES.get(dtype, 0)
    if size and dtype in TYPE_BYTES and size != expected:
        raise _Damage(f"constant {name!r} has {size} bytes, its shape {shape} needs {expected}")
    table.table(6)
    table.vector(7, "i")
    return FileTensor(name, shape, dtype, _quantization(table.table(4), shape), bool(size))


def _quantization(table: _Table | None, shape: tuple[int, ...]) -> Quantization | None:
    if table is None:
        return None
    scales, zero_points = table.vector(2, "f"), table.vector(3, "q")
    axis = table.number(6, "i")
    table.vector(0, "f")
    table.vector(1, "f")
    if not scales:
        return None
    if len(scales) > 1 and not (0 <= axis < len(shape) and shape[axis] == len(scales)):
        raise _Damage(f"{len(scales)} scales along axis {axis} of a tensor of shape {shape}")
    if not zero_points:
        zero_points = (0,) * len(scales)
    return Quantization(scales, tuple(int(value) for value in zero_points), axis)


def _operator(table: _Table, kinds: list[str], tensors: int) -> FileOperator:
    code = table.number(0, "I")
    if code >= len(kinds):
        raise _Damage(f"operator code {code} of {len(kinds)}")
    inputs = _indices(table.integers(1), tensors, least=-1)
    outputs = _indices(table.integers(2), tensors, least=0)
    _indices(table.integers(8), tensors, least=-1)
    options = table.table(4)
    if table.number(3, "B") and options is None:
        raise _Damage(f"a {kinds[code]} without its options")
    if options is not None and kinds[code] in ("RESHAPE", "SQUEEZE"):
        options.vector(0, "i")
    table.content(5)
    table.table(12)
    return FileOperator(kinds[code], inputs, outputs)


def _signature(table: _Table, tensors_per_graph: list[int]) -> None:
    graph = table.number(4, "I")
    if graph >= len(tensors_per_graph):
        raise _Damage(f"a signature of graph {graph} of {len(tensors_per_graph)}")
    for field in (0, 1):
        for name, index in table.tables(field, lambda item: (item.text(0), item.number(1, "I"))):
            if index >= tensors_per_graph[graph]:
                raise _Damage(f"signature entry {name!r} is tensor {index}")
    table.text(2)
