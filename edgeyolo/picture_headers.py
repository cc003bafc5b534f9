"""What the bytes of a picture file say before they are decoded: size, rotation, completeness.

OpenCV decodes a JPEG that was cut off without complaint (grey below the cut), so the end
marker is looked for here; and the size of 100 000 pictures is wanted without decoding them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

JPEG_SIGNATURE = b"\xff\xd8"
MAX_SIDE_PX = 65_500
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*")
# JPEG start-of-frame markers: C0..CF without DHT (C4), JPG (C8) and DAC (CC).
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """What the first bytes of a picture file say.

    Attributes:
        stored_hw: Height and width as stored.
        orientation: EXIF orientation 1..8; 5 and above swap height and width.
        channels: Stored colour channels (4 in a JPEG: CMYK).
        bits: Per channel.
    """

    stored_hw: tuple[int, int]
    orientation: int = 1
    channels: int = 3
    bits: int = 8

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width as seen, with the EXIF rotation applied."""
        height, width = self.stored_hw
        return (width, height) if self.orientation >= 5 else (height, width)


def is_webp(content: bytes) -> bool:
    return content.startswith(b"RIFF") and content[8:12] == b"WEBP"


def tagged_orientation(content: bytes) -> int:
    """EXIF orientation 1..8 of a WebP or TIFF file; 1 for others, whose header tells it."""
    if content.startswith(TIFF_SIGNATURES):
        return _exif_orientation(content)
    if not is_webp(content):
        return 1
    position = 12
    while position + 8 <= len(content):
        kind, length = struct.unpack_from("<4sI", content, position)
        if kind == b"EXIF":
            block = content[position + 8 : position + 8 + length]
            return _exif_orientation(block.removeprefix(b"Exif\0\0"))
        position += 8 + length + length % 2
    return 1


def is_cut_off(content: bytes) -> bool:
    """Whether a JPEG or PNG file ends before its end marker; False for other formats."""
    if content.startswith(JPEG_SIGNATURE):
        # The end marker of an embedded thumbnail does not count: look behind the first scan.
        scan = _jpeg_scan_start(content)
        return scan is None or content.rfind(b"\xff\xd9") < scan
    return content.startswith(PNG_SIGNATURE) and _png_is_cut_off(content)


def _png_is_cut_off(content: bytes) -> bool:
    """Walks the chunks; OpenCV makes room for what a length says, however little follows."""
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(content):
        length: int = struct.unpack(">I", content[position : position + 4])[0]
        kind = content[position + 4 : position + 8]
        position += 12 + length
        if kind == b"IEND":
            return position > len(content)
    return True


def parsed_header(content: bytes) -> PictureHeader | None:
    """Header of a JPEG or PNG; ``None`` for other formats.

    Raises:
        ValueError: The header is cut off or claims an impossible size.
    """
    try:
        if content.startswith(JPEG_SIGNATURE):
            header = _jpeg_header(content)
        elif content.startswith(PNG_SIGNATURE):
            header = _png_header(content)
        else:
            return None
    except (struct.error, IndexError) as error:
        raise ValueError("cut off within its header") from error
    if not all(0 < side <= MAX_SIDE_PX for side in header.stored_hw):
        raise ValueError(f"claims {header.stored_hw[1]}x{header.stored_hw[0]} pixels")
    return header


def _png_header(content: bytes) -> PictureHeader:
    width, height, bits, color = struct.unpack(">IIBB", content[16:26])
    orientation = 1
    position = len(PNG_SIGNATURE)
    while position + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[position : position + 8])
        if kind == b"eXIf":
            orientation = _exif_orientation(content[position + 8 : position + 8 + length])
        if kind in (b"eXIf", b"IDAT", b"IEND"):
            break
        position += 12 + length
    return PictureHeader((height, width), orientation, _PNG_CHANNELS.get(color, 3), bits)


def _jpeg_segments(content: bytes) -> list[tuple[int, int, int]]:
    """(marker, payload start, payload end) up to and including the start of scan."""
    found = []
    position = 2
    while position + 4 <= len(content):
        if content[position] != 0xFF:
            break
        marker = content[position + 1]
        if marker == 0xFF:  # padding
            position += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without payload
            position += 2
            continue
        (length,) = struct.unpack(">H", content[position + 2 : position + 4])
        found.append((marker, position + 4, position + 2 + length))
        if marker == 0xDA:
            break
        position += 2 + length
    return found


def _jpeg_scan_start(content: bytes) -> int | None:
    segments = _jpeg_segments(content)
    return segments[-1][2] if segments and segments[-1][0] == 0xDA else None


def _jpeg_header(content: bytes) -> PictureHeader:
    orientation = 1
    for marker, start, end in _jpeg_segments(content):
        if marker == 0xE1 and content[start : start + 6] == b"Exif\0\0":
            orientation = _exif_orientation(content[start + 6 : end])
        if marker in _START_OF_FRAME:
            bits, height, width, channels = struct.unpack(">BHHB", content[start : start + 6])
            return PictureHeader((height, width), orientation, channels, bits)
    raise IndexError("no start of frame")


def _exif_orientation(tiff: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack(order + "I", tiff[4:8])
        (count,) = struct.unpack(order + "H", tiff[directory : directory + 2])
        for index in range(count):
            entry = tiff[directory + 2 + 12 * index : directory + 14 + 12 * index]
            tag, _, _, value = struct.unpack(order + "HHIH", entry[:10])
            if tag == 0x0112:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        # A damaged EXIF block says nothing; the picture itself may be sound.
        return 1
    return 1
