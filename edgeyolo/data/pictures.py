"""Picture files of data sets: reading them, or telling why not, as :class:`DatasetError`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeyolo import pictures
from edgeyolo.errors import DatasetError, SourceError, one_line
from edgeyolo.picture_headers import (
    JPEG_SIGNATURE,
    PNG_SIGNATURE,
    PictureHeader,
    is_cut_off,
    parsed_header,
    tagged_orientation,
)

PICTURE_SUFFIXES = pictures.SUFFIXES
# Nearly every file tells its size in the first block; EXIF data may push it behind 64 KiB.
_HEADER_BYTES = (4_096, 131_072)


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
    """:func:`edgeyolo.pictures.read_picture`, its errors as :class:`DatasetError`."""
    return decode_picture(read_bytes(path), str(path), ignore_exif=ignore_exif)


def decode_picture(content: bytes, name: str, *, ignore_exif: bool = False) -> NDArray[np.uint8]:
    """As :func:`read_picture`, from bytes; *name* is for the error message."""
    try:
        return pictures.decode_picture(content, name, ignore_exif=ignore_exif)
    except SourceError as error:
        raise DatasetError(str(error)) from error


def read_header(content: bytes, name: str) -> PictureHeader:
    """Size, orientation and pixel format of an encoded picture.

    JPEG and PNG are parsed; other formats are decoded.

    Raises:
        DatasetError: The bytes are no picture.
    """
    try:
        header = parsed_header(content)
    except ValueError as error:
        raise DatasetError(f"picture {name}: {error}") from error
    if header is not None:
        return header
    height, width = decode_picture(content, name).shape[:2]
    orientation = tagged_orientation(content)
    stored_hw = (width, height) if orientation >= 5 else (height, width)
    return PictureHeader(stored_hw, orientation)


def picture_header(path: Path) -> PictureHeader:
    """:func:`read_header` of a file, reading no more of it than needed.

    Raises:
        DatasetError: The file is missing, empty or no picture.
    """
    try:
        with path.open("rb") as file:
            content = b""
            for size in _HEADER_BYTES:
                content += file.read(size - len(content))
                if content.startswith((JPEG_SIGNATURE, PNG_SIGNATURE)):
                    try:
                        return read_header(content, str(path))
                    except DatasetError:
                        continue  # long metadata in front of the size: read on
            content += file.read()
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise DatasetError(f"cannot read picture {path}: {reason}") from error
    if not content:
        raise DatasetError(f"picture {path} is empty (0 bytes)")
    return read_header(content, str(path))


__all__ = [
    "PICTURE_SUFFIXES",
    "PictureHeader",
    "decode_picture",
    "is_cut_off",
    "picture_header",
    "read_bytes",
    "read_header",
    "read_picture",
]
