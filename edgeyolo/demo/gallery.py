"""One picture of several scenes with the detections of an artifact drawn in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeyolo.atomic import write_bytes
from edgeyolo.drawing import draw
from edgeyolo.pictures import encode_picture, list_pictures, read_picture
from edgeyolo.predictor import load

_COLUMNS = 3
_JPEG_QUALITY = 90


def write_gallery(path: Path, artifact: Path, pictures: Path) -> None:
    """Write a JPEG of all pictures of a folder, three in a row.

    Args:
        path: The JPEG.
        artifact: Its detections are drawn.
        pictures: Folder of pictures of one size; a multiple of three.

    Raises:
        OutputError: *path* cannot be written.
    """
    frames = [read_picture(picture) for picture in list_pictures(pictures)]
    with load(artifact) as predictor:
        tiles = [draw(frame, predictor.predict(frame)) for frame in frames]
    write_bytes(path, encode_picture(_tiled(tiles), ".jpg", quality=_JPEG_QUALITY))


def _tiled(tiles: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    rows = [np.hstack(tiles[start : start + _COLUMNS]) for start in range(0, len(tiles), _COLUMNS)]
    return np.vstack(rows)
