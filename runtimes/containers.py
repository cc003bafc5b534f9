"""Contracts inside vendor files, read without any vendor library.

A vendor library may crash on a hostile or damaged file; finding the contract must not need it.
"""

from __future__ import annotations

import mmap
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from edgeyolo.contract import CONTRACT_KEY
from edgeyolo.errors import ArtifactError, one_line

# Field numbers of onnx.proto3: ModelProto.metadata_props, StringStringEntryProto.key and .value.
_METADATA_PROPS, _KEY, _VALUE = 14, 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_XML_BYTES = 256 * 2**20


def onnx_metadata(file: Path) -> dict[str, str]:
    """``metadata_props`` of an ONNX file; weights are skipped, not read.

    Raises:
        ArtifactError: The file is empty, truncated or no protobuf message.
    """
    entries: dict[str, str] = {}
    try:
        with (
            file.open("rb") as opened,
            mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            for number, start, end in _fields(data, 0, len(data)):
                if number == _METADATA_PROPS:
                    entry = data[start:end]
                    parts = {
                        name: entry[a:b].decode() for name, a, b in _fields(entry, 0, len(entry))
                    }
                    entries[parts.get(_KEY, "")] = parts.get(_VALUE, "")
    except OSError as error:
        raise ArtifactError(f"cannot read {file}: {one_line(error.strerror or error)}") from error
    except (ValueError, IndexError) as error:
        raise ArtifactError(
            f"{file} is not a whole ONNX file ({one_line(error)}); it may be truncated"
        ) from error
    return entries


def openvino_contract(file: Path) -> str | None:
    """The contract in the ``rt_info`` of an IR ``.xml`` file.

    Raises:
        ArtifactError: Not an IR file.
    """
    try:
        if file.stat().st_size > _MAX_XML_BYTES:
            raise ArtifactError(f"{file} is too large for the topology of a detector")
        text = file.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {file}: {one_line(error.strerror or error)}") from error
    # IR has no DTD; one is the way to blow up an XML parser.
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise ArtifactError(f"{file} is not an OpenVINO IR file (it declares entities)")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ArtifactError(f"{file} is not an OpenVINO IR file: {one_line(error)}") from error
    if root.tag != "net":
        raise ArtifactError(f"{file} is not an OpenVINO IR file (its root is <{root.tag}>)")
    found = root.find(f"./rt_info/edgeyolo/{CONTRACT_KEY}")
    return None if found is None else found.get("value")


def _fields(data: mmap.mmap | bytes, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Field number, start and end of every length-delimited field of a protobuf message."""
    while position < end:
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise ValueError("field number 0")
        if kind == _VARINT:
            _, position = _varint(data, position)
        elif kind == _FIXED64:
            position += 8
        elif kind == _FIXED32:
            position += 4
        elif kind == _BYTES:
            size, position = _varint(data, position)
            if position + size > end:
                raise ValueError(f"a field of {size} bytes reaches beyond the end")
            yield number, position, position + size
            position += size
        else:
            raise ValueError(f"wire type {kind}")
    if position > end:
        raise ValueError("the last field reaches beyond the end")


def _varint(data: mmap.mmap | bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
    raise ValueError("a number has more than ten bytes")


def ir_facts(file: Path) -> dict[str, object]:
    """Operators, inputs and outputs of an IR ``.xml`` that :func:`openvino_contract` accepted."""
    root = ElementTree.fromstring(file.read_bytes())
    layers = root.findall("./layers/layer")
    return {
        "ir_version": root.get("version"),
        "inputs": [layer.get("name") for layer in layers if layer.get("type") == "Parameter"],
        "outputs": [layer.get("name") for layer in layers if layer.get("type") == "Result"],
        "operators": dict(Counter(layer.get("type") or "?" for layer in layers).most_common()),
        "quantized": any(layer.get("type") == "FakeQuantize" for layer in layers),
    }
