"""Reading picture files as BGR frames, and telling broken ones from sound ones.

OpenCV decodes a JPEG that was cut off without complaint (grey below the cut), so the end
marker is checked here. Headers are parsed here as well, since the size of 100 000 pictures is
wanted without decoding them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeyolo.errors import DatasetError, one_line

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
)
MAX_SIDE_PX = 65_500
_PNG = b"\x89PNG\r\n\x1a\n"
# JPEG start-of-frame markers: C0..CF without DHT (C4), JPG (C8) and DAC (CC).
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_HEADER_BYTES = 1 << 16
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


def read_bytes(path: Path) -> bytes:
    """The bytes of a picture file, or :class:`DatasetError` where there are none."""
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise DatasetError(f"cannot read picture {path}: {reason}") from error
    if not content:
        raise DatasetError(f"picture {path} is empty (0 bytes)")
    return content


def read_picture(path: Path, *, ignore_exif: bool = False) -> NDArray[np.uint8]:
    """Decode a picture file.

    Grey, 16-bit, CMYK and transparent pictures are converted; the path may hold any characters.

    Args:
        path: JPEG, PNG, BMP, WebP, TIFF or PNM.
        ignore_exif: Take the pixels as stored, not rotated as the EXIF tag says.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        DatasetError: The file is missing, empty, cut off or no picture.
    """
    return decode_picture(read_bytes(path), str(path), ignore_exif=ignore_exif)


def decode_picture(content: bytes, name: str, *, ignore_exif: bool = False) -> NDArray[np.uint8]:
    """As :func:`read_picture`, from bytes; *name* is for the error message."""
    if is_cut_off(content):
        raise DatasetError(f"picture {name} is cut off (no end marker); copy it again")
    flags = cv2.IMREAD_COLOR | (cv2.IMREAD_IGNORE_ORIENTATION if ignore_exif else 0)
    try:
        frame = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error as error:
        raise DatasetError(f"picture {name} cannot be decoded: {one_line(error)}") from error
    # OpenCV returns None; its annotations say it cannot.
    if frame is None or frame.size == 0:
        raise DatasetError(f"picture {name} cannot be decoded: no known picture format or damaged")
    return np.asarray(frame, np.uint8)


def is_cut_off(content: bytes) -> bool:
    """Whether a JPEG or PNG file ends before its end marker; False for other formats."""
    if content.startswith(b"\xff\xd8"):
        # The end marker of an embedded thumbnail does not count: look behind the first scan.
        scan = _jpeg_scan_start(content)
        return scan is None or content.rfind(b"\xff\xd9") < scan
    if content.startswith(_PNG):
        return b"IEND" not in content[-64:] and content.rfind(b"IEND") < 0
    return False


def read_header(content: bytes, name: str) -> PictureHeader:
    """Size, orientation and pixel format of an encoded picture.

    JPEG, PNG and BMP are parsed; other formats are decoded.

    Raises:
        DatasetError: The bytes are no picture.
    """
    try:
        if content.startswith(b"\xff\xd8"):
            header = _jpeg_header(content)
        elif content.startswith(_PNG):
            width, height, bits, color = struct.unpack(">IIBB", content[16:26])
            header = PictureHeader((height, width), 1, _PNG_CHANNELS.get(color, 3), bits)
        else:
            header = PictureHeader(_decoded_hw(content, name))
    except (struct.error, IndexError) as error:
        raise DatasetError(f"picture {name} is cut off within its header") from error
    if not all(0 < side <= MAX_SIDE_PX for side in header.stored_hw):
        raise DatasetError(
            f"picture {name} claims {header.stored_hw[1]}x{header.stored_hw[0]} pixels"
        )
    return header


def picture_header(path: Path) -> PictureHeader:
    """:func:`read_header` of a file, reading no more of it than needed.

    Raises:
        DatasetError: The file is missing, empty or no picture.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_HEADER_BYTES)
            if start.startswith((b"\xff\xd8", _PNG)):
                try:
                    return read_header(start, str(path))
                except DatasetError:
                    pass  # long metadata in front of the size: read on
            content = start + file.read()
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise DatasetError(f"cannot read picture {path}: {reason}") from error
    if not content:
        raise DatasetError(f"picture {path} is empty (0 bytes)")
    return read_header(content, str(path))


def _decoded_hw(content: bytes, name: str) -> tuple[int, int]:
    height, width = decode_picture(content, name).shape[:2]
    return height, width


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
