"""The size that a picture file claims, before a decoder allocates it.

A file of a hundred bytes can claim a billion pixels, and OpenCV allocates them before it looks
for data. What is none of the formats below is not given to it at all: OpenCV decodes some twenty,
among them several that hardly anybody looks after.
"""

from __future__ import annotations

import re
import struct

from edgeyolo.picture_headers import JPEG_SIGNATURE, PNG_SIGNATURE, parsed_header

# 16384 x 16384.
_MOST_PIXELS = 1 << 28
# Deflate packs 1032 equal bytes into one, and no format here is much better.
_PIXELS_PER_BYTE = 2_000
# Below it the ratio does not matter: 48 MiB as decoded.
_FEW_PIXELS = 1 << 24
_PPM = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s")
_TIFF_FORMS = {1: "B", 3: "H", 4: "I", 16: "Q"}
FORMATS = "JPEG, PNG, BMP, WebP, TIFF, PPM"


def check_claimed_size(content: bytes) -> None:
    """Refuse what is no picture of a known format, or claims more than it can hold.

    Raises:
        ValueError: With what is wrong, as the end of a sentence.
    """
    width, height = _claimed_wh(content)
    if width <= 0 or height <= 0:
        raise ValueError(f"it claims {width}x{height} pixels")
    pixels = width * height
    if pixels > _MOST_PIXELS or pixels > max(_FEW_PIXELS, len(content) * _PIXELS_PER_BYTE):
        raise ValueError(
            f"it claims {width}x{height} pixels in {len(content):,} bytes; it is damaged, or "
            "larger than what is read here"
        )


def _claimed_wh(content: bytes) -> tuple[int, int]:
    try:
        if content.startswith((JPEG_SIGNATURE, PNG_SIGNATURE)):
            header = parsed_header(content)
            assert header is not None
            return header.stored_hw[1], header.stored_hw[0]
        if content.startswith(b"BM"):
            return _bmp(content)
        if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
            return _webp(content)
        if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return _tiff(content)
    except (struct.error, IndexError) as error:
        raise ValueError("it is cut off within its header") from error
    if found := _PPM.match(content[:4096]):
        return int(found[1]), int(found[2])
    raise ValueError(f"it is none of {FORMATS}")


def _bmp(content: bytes) -> tuple[int, int]:
    (size,) = struct.unpack_from("<I", content, 14)
    if size == 12:  # OS/2
        width, height = struct.unpack_from("<HH", content, 18)
    else:
        # Rows from the top are said by a negative height.
        width, height = (abs(side) for side in struct.unpack_from("<ii", content, 18))
    return width, height


def _webp(content: bytes) -> tuple[int, int]:
    kind = content[12:16]
    if kind == b"VP8X":
        return (
            int.from_bytes(content[24:27], "little") + 1,
            int.from_bytes(content[27:30], "little") + 1,
        )
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", content, 26)
    return width & 0x3FFF, height & 0x3FFF


def _tiff(content: bytes) -> tuple[int, int]:
    order = "<" if content.startswith(b"II") else ">"
    if content[2:4] in (b"+\0", b"\0+"):  # BigTIFF
        (place,) = struct.unpack_from(order + "Q", content, 8)
        (count,) = struct.unpack_from(order + "Q", content, place)
        place, entry_bytes, value_at = place + 8, 20, 12
    else:
        (place,) = struct.unpack_from(order + "I", content, 4)
        (count,) = struct.unpack_from(order + "H", content, place)
        place, entry_bytes, value_at = place + 2, 12, 8
    sides = {256: 0, 257: 0}
    for start in range(place, place + min(count, 4096) * entry_bytes, entry_bytes):
        tag, form = struct.unpack_from(order + "HH", content, start)
        if tag in sides and form in _TIFF_FORMS:
            value_form = order + _TIFF_FORMS[form]
            (sides[tag],) = struct.unpack_from(value_form, content, start + value_at)
    return sides[256], sides[257]
