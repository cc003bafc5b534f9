"""Pictures on disk: listing folders and reading files as BGR frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeyolo.errors import SourceError, one_line

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


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
    """(H, W, 3) uint8 BGR, EXIF rotation applied.

    Raises:
        SourceError: Missing, empty, truncated or not a picture.
    """
    import cv2

    try:
        # Not cv2.imread: it cannot open every path, and only prints a warning for a bad file.
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {one_line(error.strerror or error)}") from error
    try:
        frame = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error as error:
        raise SourceError(f"{path} is not a picture: {one_line(error)}") from error
    if frame is None:
        raise SourceError(f"{path} is not a picture, or it is damaged ({data.size} bytes)")
    return np.asarray(frame, np.uint8)
