"""Ways to damage a file: blind ones on bytes, and some that know its format.

Every function takes a ``random.Random`` and gives new content; the same seed gives the same.
"""

from __future__ import annotations

import io
import json
import lzma
import random
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

# Whole numbers at which programs change their mind.
NUMBERS = (0, 1, 2, 3, 7, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1)
# What breaks parsers of text: numbers of every kind, brackets, quotes, markup, encodings.
SNIPPETS = (
    b"nan", b"-1", b"0", b"1e308", b"1e999", b"-0.0", b"9" * 30, b"9" * 5000, b"null", b"true",
    b"[]", b"{}", b'"', b"'", b",", b":", b"[", b"}", b"\n", b"\r", b"\t- ", b"\0", b"\xff\xfe",
    b"\xc3\x28", b"&lt;", b"<a>", b"</object>", b"<!--", b"<![CDATA[", b"<!DOCTYPE a>", b"&#0;",
    b"!!python/object:os.system ", b"*x", b"&x ", b"<<: ", b"2001-99-99", b"0x", b"1_0", b"../",
    b"/dev/zero", b"%s", b"\\u0000", b"\\ud800", b"\xe2\x98\x83", b"\xef\xbb\xbf", b"\x1b[31m",
    b"[" * 3000, b"{" * 3000, b"- " * 3000, b"<a>" * 3000,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 1e308, -0.5, "", "a", "\0", "../x",
    "nan", "\u2603", [], {}, [0], [[]], {"a": 1}, "x" * 5000, list(range(300)),
)  # fmt: skip

Mutation = Callable[[random.Random, bytes], bytes]


def flip(rng: random.Random, data: bytes) -> bytes:
    """Some bits are flipped."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 40))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(rng: random.Random, data: bytes) -> bytes:
    """The end is missing, mostly a little of it."""
    keep = rng.randrange(len(data) + 1) if rng.random() < 0.5 else len(data) - rng.randrange(64)
    return data[: max(0, keep)]


def splice(rng: random.Random, data: bytes) -> bytes:
    """A part of the file is put somewhere else, over or between what is there."""
    start = rng.randrange(len(data) + 1)
    part = data[start : start + rng.choice((4, 16, 64, 512))]
    place = rng.randrange(len(data) + 1)
    return data[:place] + part + data[place + (len(part) if rng.random() < 0.5 else 0) :]


def repeat(rng: random.Random, data: bytes) -> bytes:
    """A chunk follows itself, once or many times."""
    start = rng.randrange(len(data) + 1)
    part = data[start : start + rng.choice((1, 4, 32, 256))]
    return data[:start] + part * rng.choice((2, 3, 100)) + data[start + len(part) :]


def remove(rng: random.Random, data: bytes) -> bytes:
    """A chunk is missing."""
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.choice((1, 2, 4, 16, 128)) :]


def number(rng: random.Random, data: bytes) -> bytes:
    """A length, an offset or a count says something else: 1, 2, 4 or 8 bytes of either order."""
    size = rng.choice((1, 2, 4, 4, 4, 8))
    place = rng.randrange(max(1, len(data)))
    if rng.random() < 0.7:
        place -= place % size
    value = rng.choice(NUMBERS) if rng.random() < 0.7 else rng.randrange(len(data) + 1)
    value %= 256**size
    changed = int(value).to_bytes(size, "little")
    return data[:place] + (changed if rng.random() < 0.5 else changed[::-1]) + data[place + size :]


def snippet(rng: random.Random, data: bytes) -> bytes:
    """Text that breaks parsers, over or between what is there."""
    place = rng.randrange(len(data) + 1)
    part = rng.choice(SNIPPETS)
    return data[:place] + part + data[place + (len(part) if rng.random() < 0.4 else 0) :]


BLIND: tuple[Mutation, ...] = (flip, truncate, splice, repeat, remove, number)
TEXT: tuple[Mutation, ...] = (flip, truncate, splice, repeat, remove, snippet, snippet)


def mutate(rng: random.Random, data: bytes, ways: Sequence[Mutation]) -> bytes:
    """One to four mutations, one after the other."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4))):
        data = rng.choice(ways)(rng, data)
    return data


# What Python's reader raises for archives that were damaged before.
_NO_ARCHIVE = (
    zipfile.BadZipFile, OSError, ValueError, RuntimeError, EOFError, zlib.error, struct.error,
    lzma.LZMAError,
)  # fmt: skip


def zip_member(rng: random.Random, data: bytes) -> bytes:
    """A member of a zip archive is damaged, renamed, repeated or lost; sums are right again."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except _NO_ARCHIVE:
        return flip(rng, data)
    if not members:
        return flip(rng, data)
    index = rng.randrange(len(members))
    # Twice as often the pickle, which decides most.
    if rng.random() < 0.5:
        index = next((i for i, (name, _) in enumerate(members) if name.endswith(".pkl")), index)
    name, content = members[index]
    what = rng.randrange(8)
    if what == 0:
        del members[index]
    elif what == 1:
        members.append((name, content))
    elif what == 2:
        members[index] = (mutate(rng, name.encode(), TEXT).decode("latin-1") or "x", content)
    else:
        members[index] = (name, mutate(rng, content, BLIND))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name that occurs twice is meant
        for name, content in members:
            method = zipfile.ZIP_DEFLATED if what == 7 else zipfile.ZIP_STORED
            info = zipfile.ZipInfo("x")
            info.filename = name.replace("\0", "_")[:1000]
            archive.writestr(info, content, method)
    return packed.getvalue()


def json_value(rng: random.Random, data: bytes) -> bytes:
    """A value of a JSON document is replaced, removed or repeated; the document stays JSON."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return snippet(rng, data)
    places: list[tuple[Any, Any]] = []
    _collect(document, places)
    if not places:
        return json.dumps(rng.choice(VALUES)).encode()
    parent, key = rng.choice(places)
    what = rng.randrange(6)
    if what == 0:
        del parent[key]
    elif what == 1 and isinstance(parent, list):
        parent.insert(key, parent[key])
    elif what == 2 and isinstance(parent, dict):
        parent[rng.choice(("", "x", "schema", "id", "names"))] = parent.pop(key)
    elif what == 3:
        other, other_key = rng.choice(places)
        parent[key] = json.loads(json.dumps(other[other_key]))
    elif what == 4 and isinstance(parent[key], int | float):
        parent[key] = parent[key] * rng.choice((-1, 0, 2, 0.5, 1e9))
    else:
        parent[key] = rng.choice(VALUES)
    return json.dumps(document).encode()


def _collect(value: Any, places: list[tuple[Any, Any]]) -> None:
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in keys:
        places.append((value, key))
        if isinstance(value[key], dict | list):
            _collect(value[key], places)


def xml_attribute(rng: random.Random, data: bytes) -> bytes:
    """An attribute's value or an element's text is replaced."""
    found = list(re.finditer(rb'="([^"]*)"|>([^<]+)<', data))
    if not found:
        return snippet(rng, data)
    chosen = rng.choice(found)
    group = 1 if chosen.group(1) is not None else 2
    others = [b"", b"-1", b"0", b"1", b"4294967296", b"9" * 25, b"nan", b"f16", b"Result", b"a,b"]
    other = rng.choice(found)
    others += [other.group(1) or other.group(2) or b""] * 5
    return data[: chosen.start(group)] + rng.choice(others) + data[chosen.end(group) :]


def xml_element(rng: random.Random, data: bytes) -> bytes:
    """A line of an XML file is lost, repeated, or put somewhere else."""
    lines = data.split(b"\n")
    index = rng.randrange(len(lines))
    what = rng.randrange(3)
    line = lines[index] if what == 1 else lines.pop(index)
    if what:
        lines.insert(rng.randrange(len(lines) + 1), line)
    return b"\n".join(lines)


def protobuf_field(rng: random.Random, data: bytes) -> bytes:
    """A field of a protobuf message, at any depth, is changed; lengths around it are mended."""
    fields = _protobuf_fields(data)
    if not fields:
        return flip(rng, data)
    start, body, end, kind = rng.choice(fields)
    if kind == 2 and end - body > 1 and rng.random() < 0.75:
        inner = protobuf_field(rng, data[body:end])
        return (
            data[:start]
            + data[start:end][: _tag_size(data, start)]
            + _length(inner)
            + inner
            + (data[end:])
        )
    what = rng.randrange(5)
    if what == 0:
        return data[:start] + data[end:]
    if what == 1:
        return data[:end] + data[start:end] + data[end:]
    if kind == 2:
        content = mutate(rng, data[body:end], BLIND)
        tag = data[start : start + _tag_size(data, start)]
        return data[:start] + tag + _length(content) + content + data[end:]
    if kind == 0:
        return data[:body] + _varint(rng.choice((*NUMBERS, 2**63, 2**64 - 1))) + data[end:]
    return data[:body] + rng.randbytes(end - body) + data[end:]


def _tag_size(data: bytes, start: int) -> int:
    size = 1
    while data[start + size - 1] & 0x80:
        size += 1
    return size


def _length(content: bytes) -> bytes:
    return _varint(len(content))


def _varint(value: int) -> bytes:
    out = bytearray()
    while True:
        out.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def _protobuf_fields(data: bytes) -> list[tuple[int, int, int, int]]:
    """(start, payload start, end, wire type) of each field; empty where it is no message."""
    found = []
    place = 0
    try:
        while place < len(data):
            start = place
            tag, place = _read_varint(data, place)
            kind = tag & 7
            body = place
            if kind == 0:
                _, place = _read_varint(data, place)
            elif kind == 2:
                size, body = _read_varint(data, place)
                place = body + size
            elif kind in (1, 5):
                place += 8 if kind == 1 else 4
            else:
                return []
            if tag >> 3 == 0 or place > len(data):
                return []
            found.append((start, body, place, kind))
    except IndexError:
        return []
    return found


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80 or shift > 63:
            return value, place


def flatbuffer_word(rng: random.Random, data: bytes) -> bytes:
    """A small aligned number becomes another small one: an index, an enum, a shape, an offset."""
    if len(data) < 16:
        return flip(rng, data)
    for _ in range(50):
        size = rng.choice((1, 2, 4, 4))
        place = rng.randrange(8, len(data) - size)
        place -= place % size
        value = int.from_bytes(data[place : place + size], "little")
        if 0 < value < 4096:
            break
    value = rng.choice((0, 1, 2, 3, 5, 9, 33, 64, 127, 250, value - 1, value + 1, value * 2, 2**20))
    return data[:place] + int(value % 256**size).to_bytes(size, "little") + data[place + size :]


def png_chunk(rng: random.Random, data: bytes) -> bytes:
    """A chunk of a PNG is damaged, lost or repeated; its check sum is right again."""
    chunks = []
    place = 8
    while place + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, place)
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + size]))
        place += 12 + size
    if not chunks:
        return flip(rng, data)
    index = rng.randrange(len(chunks))
    kind, content = chunks[index]
    what = rng.randrange(5)
    if what == 0:
        del chunks[index]
    elif what == 1:
        chunks.insert(index, chunks[index])
    else:
        chunks[index] = (kind, mutate(rng, content, BLIND))
    packed = [
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    ]
    return data[:8] + b"".join(packed)
