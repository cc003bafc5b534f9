"""What a pickle may turn into: plain values and these inert records. No torch, no numpy.

A record only remembers what the file said. Nothing here imports, looks up or calls anything
that a file names.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field


class RefusedError(Exception):
    """Why a file is not read, without its name; callers turn it into ``CheckpointError``."""


class IncompleteError(RefusedError):
    """The file ends too early."""


def shown(value: object) -> str:
    """A short text for messages; never the ``repr`` of a container, which may be endless."""
    if isinstance(value, (str, bytes)):
        return repr(value[:40])
    if isinstance(value, (bool, int, float, type(None), GlobalName)):
        return str(value)[:80]
    if isinstance(value, tuple) and len(value) <= 8 and all(type(v) is int for v in value):
        return str(value)[:80]
    return f"a {type(value).__name__}"


@dataclass(frozen=True, slots=True)
class GlobalName:
    """The name of a class or function that is on the allow-list."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class StorageRecord:
    """A block of numbers of one type somewhere in the container.

    Attributes:
        dtype: Key of :data:`ITEM_BYTES`.
        key: Its name in the container.
        count: Number of elements, already checked against the size of the file.
        first: Index of its first element within the stored block (views of old files).
    """

    dtype: str
    key: str
    count: int
    first: int = 0


ITEM_BYTES = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """A strided view of a storage that provably stays inside it and never exceeds its size."""

    storage: StorageRecord
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.shape) > 8:
            raise RefusedError(f"a tensor has {len(self.shape)} dimensions; at most 8 are read")
        if len(self.shape) != len(self.strides):
            raise RefusedError(
                f"a tensor has {len(self.shape)} dimensions and {len(self.strides)} strides"
            )
        sizes = (self.offset, *self.shape, *self.strides)
        if any(type(value) is not int or value < 0 for value in sizes):
            raise RefusedError(f"a tensor has the impossible shape {shown(self.shape)}")
        last = self.offset + sum(
            (length - 1) * stride for length, stride in zip(self.shape, self.strides, strict=True)
        )
        if self.element_count and (
            last >= self.storage.count or self.element_count > self.storage.count
        ):
            raise RefusedError(
                f"a tensor of shape {shown(self.shape)} claims more than the "
                f"{self.storage.count} numbers of its storage"
            )

    @property
    def element_count(self) -> int:
        return math.prod(self.shape)


@dataclass(slots=True, eq=False)
class ModuleRecord:
    """An object of a network class: the class's name and the attributes, nothing that runs."""

    class_name: GlobalName
    attributes: dict[str, object] = field(default_factory=dict)

    def children(self, kind: str) -> dict[str, object]:
        """``_modules``, ``_parameters`` or ``_buffers``; empty where absent.

        Raises:
            RefusedError: It is not a dict with text keys.
        """
        value = self.attributes.get(kind)
        if value is None:
            return {}
        if not isinstance(value, dict) or any(not isinstance(key, str) for key in value):
            raise RefusedError(f"{kind} of a {self.class_name} is not a dict with text keys")
        return value


@dataclass(slots=True, eq=False)
class DtypeRecord:
    """A numpy number type: ``"f8"``, ``"i8"``, ...; ``little`` is cleared for big-endian data."""

    code: str
    little: bool = True


@dataclass(slots=True, eq=False)
class ArrayRecord:
    """A numpy array or scalar; only its raw bytes, read when somebody asks."""

    dtype: DtypeRecord | None = None
    shape: tuple[int, ...] = ()
    data: bytes = b""

    def number(self) -> int | float | None:
        """The value of an array with one element, else ``None``."""
        if self.dtype is None or math.prod(self.shape) != 1:
            return None
        order = "<" if self.dtype.little else ">"
        value: int | float = struct.unpack(order + _FORMATS[self.dtype.code], self.data)[0]
        return value


# numpy's type codes as those of ``struct``.
_FORMATS = dict(
    zip(
        ["f2", "f4", "f8", "b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"],
        "efd?bhiqBHIQ",
        strict=True,
    )
)
