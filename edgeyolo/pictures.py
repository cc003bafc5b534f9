"""Pictures on disk: listing folders, reading files as BGR frames, and encoding frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeyolo.errors import OutputError, SourceError, one_line
from edgeyolo.opencv import load_opencv
from edgeyolo.picture_headers import is_cut_off, is_webp, tagged_orientation
from edgeyolo.picture_sizes import check_claimed_size

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
# The other orientations undo themselves.
_UNDONE_BY = {6: 8, 8: 6}
# Longest side that a format or its library can hold, in pixels.
_MOST_PX = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}


def list_pictures(folder: Path) -> list[Path]:
    """All pictures directly in *folder*, sorted by name.

    Raises:
        SourceError: No such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder of pictures")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise SourceError(
            f"{folder} has no pictures ({', '.join(sorted(SUFFIXES))}); name the folder that has"
        )
    return found


def read_picture(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR, EXIF rotation applied; grey, 16-bit, CMYK and alpha are converted.

    Raises:
        SourceError: Missing, empty, truncated or not a picture.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read {path}: {one_line(error.strerror or error)}") from error
    except ValueError as error:  # a zero byte in a name that came out of a list
        raise SourceError(f"cannot read {str(path)!r}: {one_line(error)}") from error
    return decode_picture(content, str(path))


def decode_picture(content: bytes, name: str, *, ignore_exif: bool = False) -> NDArray[np.uint8]:
    """Decode an encoded picture.

    Args:
        content: A whole file.
        name: What error messages call it.
        ignore_exif: Take the pixels as stored, not rotated as the EXIF tag says.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        SourceError: The bytes are empty, cut off or no picture.
    """
    cv2 = load_opencv()
    if not content:
        raise SourceError(f"{name} is not a picture: it is empty (0 bytes)")
    if is_cut_off(content):
        raise SourceError(f"{name} is not a picture or is cut off (no end marker); copy it again")
    try:
        check_claimed_size(content)
    except ValueError as error:
        raise SourceError(f"{name} is not a picture that can be read: {error}") from error
    as_stored = ignore_exif or is_webp(content)
    flags = cv2.IMREAD_COLOR | (cv2.IMREAD_IGNORE_ORIENTATION if as_stored else 0)
    try:
        # Not cv2.imread: it cannot open every path, and only prints a warning for a bad file.
        frame = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error as error:
        raise SourceError(f"{name} is not a picture: {one_line(error)}") from error
    if frame is None or frame.size == 0:
        raise SourceError(f"{name} is not a picture, or it is damaged ({len(content)} bytes)")
    return _turned(np.asarray(frame, np.uint8), _turn_left(content, ignore_exif=ignore_exif))


def _turn_left(content: bytes, *, ignore_exif: bool) -> int:
    """EXIF orientation by which what OpenCV decoded is yet to be turned.

    Left to itself OpenCV 5.0 turns a WebP and 4.11 does not, so it is decoded as stored; both
    turn a TIFF whatever IMREAD_IGNORE_ORIENTATION says.
    """
    tag = tagged_orientation(content)
    if is_webp(content):
        return 1 if ignore_exif else tag
    return _UNDONE_BY.get(tag, tag) if ignore_exif else 1


def _turned(frame: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """A stored frame as EXIF *orientation* 1..8 says that it is seen."""
    if orientation >= 5:
        frame = frame.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        frame = frame[:, ::-1]
    if orientation in (3, 4, 7, 8):
        frame = frame[::-1]
    return np.ascontiguousarray(frame)


def encode_picture(
    frame_bgr: NDArray[np.uint8], suffix: str, *, quality: int | None = None
) -> bytes:
    """A frame as the content of a picture file.

    Args:
        frame_bgr: (H, W, 3) uint8.
        suffix: ``".png"``, ``".jpg"``, ...; a format with colours.
        quality: Of a JPEG, 0..100; OpenCV's own where ``None``.

    Raises:
        OutputError: The format cannot hold this frame.
    """
    import cv2

    height, width = frame_bgr.shape[:2]
    # OpenCV 4 raises what OpenCV 5 only returns, and prints first: asked before it can.
    if max(height, width) > _MOST_PX.get(suffix, max(height, width)):
        raise OutputError(
            f"a {suffix} file holds at most {_MOST_PX[suffix]} pixels a side, the picture is "
            f"{width}x{height}; write .png"
        )
    settings = [] if quality is None else [cv2.IMWRITE_JPEG_QUALITY, quality]
    try:
        encoded, data = cv2.imencode(suffix, frame_bgr, settings)
    except cv2.error as error:
        raise OutputError(f"OpenCV cannot make a {suffix} file: {one_line(error)}") from error
    if not encoded:
        raise OutputError(f"OpenCV cannot make a {suffix} file of {width}x{height} pixels")
    return data.tobytes()
