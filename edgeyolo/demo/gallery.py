"""One picture of several scenes with the detections of an artifact drawn in."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeyolo.atomic import write_bytes
from edgeyolo.drawing import draw
from edgeyolo.predictor import load
from edgeyolo.scenes import Difficulty, render_scene

_FIRST_SEED = 4_000_002
_SCENE_HW = (480, 640)
_COLUMNS, _ROWS = 3, 2
_JPEG_QUALITY = 90


def write_gallery(path: Path, artifact: Path) -> None:
    """Write a JPEG of 1920x960 pixels: six scenes larger than the network's input.

    Raises:
        OutputError: *path* cannot be written.
    """
    with load(artifact) as predictor:
        tiles = [
            draw(scene, predictor.predict(scene))
            for scene in (
                render_scene(_FIRST_SEED + number, _SCENE_HW, Difficulty.NORMAL).frame_bgr
                for number in range(_COLUMNS * _ROWS)
            )
        ]
    _, content = cv2.imencode(".jpg", _tiled(tiles), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    write_bytes(path, content.tobytes())


def _tiled(tiles: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    rows = [np.hstack(tiles[start : start + _COLUMNS]) for start in range(0, len(tiles), _COLUMNS)]
    return np.vstack(rows)
