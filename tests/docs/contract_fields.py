"""The fields of ``artifact.json``, told from the types that the reader checks."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator
from enum import Enum
from typing import Any

from edgeyolo.contract import Contract


def fields_of(record: type[Any] = Contract, prefix: str = "") -> Iterator[tuple[str, str, bool]]:
    """Path, type in words and whether it must be there, of every field that holds no record."""
    hints = typing.get_type_hints(record)
    for field in dataclasses.fields(record):
        path = f"{prefix}{field.name}"
        inner, nullable = _without_none(hints[field.name])
        has_default = (
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
        )
        if dataclasses.is_dataclass(inner) and isinstance(inner, type):
            text = "object or null" if nullable else "object"
            yield path, text, not has_default
            yield from fields_of(inner, f"{path}.")
        else:
            yield path, words(inner) + (" or null" if nullable else ""), not has_default


def words(kind: Any) -> str:
    """A type as a reader of JSON says it."""
    simple = {str: "string", int: "integer", float: "number", bool: "true or false"}
    if kind in simple:
        return simple[kind]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(f"`{member.value}`" for member in kind)
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        if arguments[-1] is Ellipsis:
            return f"list of {words(arguments[0])}"
        return f"{len(arguments)} {words(arguments[0])}s"
    if typing.get_origin(kind) is dict:
        return f"object, {words(arguments[0])} to {words(arguments[1])}"
    raise AssertionError(f"no words for {kind}")


def _without_none(kind: Any) -> tuple[Any, bool]:
    if isinstance(kind, types.UnionType):
        rest = [each for each in typing.get_args(kind) if each is not type(None)]
        assert len(rest) == 1, kind
        return rest[0], True
    return kind, False
