"""Typed settings: listed with ``--help-config``, changed with ``--set key=value``."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

import msgspec

_Record = TypeVar("_Record")


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of a record of settings.

    Attributes:
        key: What ``--set`` takes; fields of a nested record are ``outer.inner``.
        kind: Type as a person reads it.
        value: The present value.
        help: What it does.
    """

    key: str
    kind: str
    value: Any
    help: str


def setting(default: Any, help_text: str) -> Any:
    """A dataclass field with a default and an explanation."""
    return dataclasses.field(default=default, metadata={"help": help_text})


def listed(record: Any, prefix: str = "") -> Iterator[Setting]:
    """All settings of *record*, a dataclass instance, nested ones included."""
    hints = typing.get_type_hints(type(record))
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        key = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from listed(value, f"{key}.")
        else:
            help_text = field.metadata.get("help") or _documented(type(record), field.name)
            yield Setting(key, _kind(hints[field.name]), value, help_text)


def changed(record: _Record, assignments: Sequence[str]) -> _Record:
    """*record* with ``key=value`` texts applied.

    Raises:
        ValueError: Unknown key, or a value that is not of the field's type.
    """
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ValueError(f"settings are written key=value, got {assignment!r}")
        record = _with(record, key.strip(), text.strip())
    return record


def _with(record: _Record, key: str, text: str, prefix: str = "") -> _Record:
    """*record* with its field *key* changed; *prefix* leads to it from the outermost record."""
    full_key = f"{prefix}{key}"
    outer, dot, inner = key.partition(".")
    names = {field.name for field in dataclasses.fields(record)}  # type: ignore[arg-type]
    if outer not in names:
        known = ", ".join(entry.key for entry in listed(record, prefix))
        raise ValueError(f"unknown setting {full_key!r}; known here: {known}")
    current = getattr(record, outer)
    if dataclasses.is_dataclass(current) and not isinstance(current, type):
        if not dot:
            inner_names = ", ".join(entry.key for entry in listed(current, f"{full_key}."))
            raise ValueError(f"{full_key!r} is a group; set one of: {inner_names}")
        value: Any = _with(current, inner, text, f"{prefix}{outer}.")
    else:
        value = parsed(text, typing.get_type_hints(type(record))[outer], full_key)
    return dataclasses.replace(record, **{outer: value})  # type: ignore[type-var]


def parsed(text: str, kind: Any, key: str) -> Any:
    """*text* as a value of type *kind*; tuples are written ``a,b``."""
    value: Any = text
    if text.lower() in {"none", "null", "off"} and type(None) in typing.get_args(kind):
        return None
    if any(typing.get_origin(option) is tuple for option in (kind, *typing.get_args(kind))):
        value = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"{key}={text}: expected {_kind(kind)} ({error})") from error


def as_plain(record: Any) -> dict[str, Any]:
    """The record as dicts, lists and numbers, for JSON and checkpoints."""
    plain: dict[str, Any] = msgspec.to_builtins(record)
    return plain


def from_plain(plain: Mapping[str, Any], kind: type[_Record]) -> _Record:
    """The record again.

    Raises:
        ValueError: A field is missing or of another type (written by another version).
    """
    try:
        return msgspec.convert(dict(plain), kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"saved settings do not fit this version: {error}") from error


def _kind(hint: Any) -> str:
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "|".join(str(member.value) for member in hint)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(option) for option in typing.get_args(hint))
    if origin is tuple:
        return ",".join("..." if a is Ellipsis else _kind(a) for a in typing.get_args(hint))
    if hint is type(None):
        return "none"
    return str(getattr(hint, "__name__", hint))


def _documented(record_type: type, name: str) -> str:
    """What the "Attributes" section of the record's docstring says about a field."""
    lines = (record_type.__doc__ or "").splitlines()
    found: list[str] = []
    for line in lines:
        stripped = line.strip()
        if stripped.startswith(f"{name}: "):
            found.append(stripped.partition(": ")[2])
            indent = len(line) - len(line.lstrip())
        elif found:
            if not stripped or len(line) - len(line.lstrip()) <= indent:
                break
            found.append(stripped)
    return " ".join(found)
