"""Augmented batches as one picture, with their boxes: what the network really sees."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeyolo.data.batch_formats import BATCH_FORMATS
from edgeyolo.data.batches import Batch
from edgeyolo.spec import ColorOrder, Family

# Distinct BGR colours, repeated over the classes.
_COLORS = (
    (60, 76, 231),
    (113, 204, 46),
    (219, 152, 52),
    (15, 196, 241),
    (182, 89, 155),
    (34, 126, 230),
    (156, 188, 26),
    (80, 200, 255),
)


def preview(
    batch: Batch, family: Family, class_names: tuple[str, ...], columns: int = 4
) -> NDArray[np.uint8]:
    """The batch's pictures side by side with boxes and class names, BGR."""
    pictures = np.ascontiguousarray(batch.images.numpy().transpose(0, 2, 3, 1))
    form = BATCH_FORMATS[family]
    if form.color_order is ColorOrder.RGB:
        pictures = np.ascontiguousarray(pictures[..., ::-1])
    height, width = pictures.shape[1:3]
    rows_px = form.rows_px(batch.targets, len(pictures), (height, width))
    tiles = [
        _drawn(picture.copy(), rows, class_names)
        for picture, rows in zip(pictures, rows_px, strict=True)
    ]
    rows_of_tiles = -(-len(tiles) // columns)
    page = np.zeros((rows_of_tiles * height, min(columns, len(tiles)) * width, 3), np.uint8)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        page[row * height : (row + 1) * height, column * width : (column + 1) * width] = tile
    return page


def _drawn(
    picture: NDArray[np.uint8], rows: NDArray[np.float32], class_names: tuple[str, ...]
) -> NDArray[np.uint8]:
    for class_id, cx, cy, width, height in rows.tolist():
        color = _COLORS[int(class_id) % len(_COLORS)]
        start = (round(cx - width / 2), round(cy - height / 2))
        end = (round(cx + width / 2), round(cy + height / 2))
        cv2.rectangle(picture, start, end, color, 2)
        name = class_names[int(class_id)]
        place = (start[0] + 3, max(start[1] + 14, 14))
        cv2.putText(picture, name, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, color, 1, cv2.LINE_AA)
    return picture
