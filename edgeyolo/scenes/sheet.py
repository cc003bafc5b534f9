"""A page with all symbols, to print and hold in front of a camera."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeyolo.atomic import write_bytes
from edgeyolo.pictures import encode_picture
from edgeyolo.scenes.symbols import SCENE_CLASSES, draw_symbol

# A4 at 150 dots per inch.
SHEET_HW = (1754, 1240)
_COLUMNS = 2
_SYMBOL_SIDE_PX = 330


def printable_sheet() -> NDArray[np.uint8]:
    """All symbols with their names on an A4 page at 150 dpi: (1754, 1240, 3) uint8 BGR."""
    height, width = SHEET_HW
    page = np.full((height, width, 3), 255, np.uint8)
    rows = -(-len(SCENE_CLASSES) // _COLUMNS)
    cell_h, cell_w = height // rows, width // _COLUMNS
    for class_id, name in enumerate(SCENE_CLASSES):
        row, column = divmod(class_id, _COLUMNS)
        symbol = draw_symbol(class_id, _SYMBOL_SIDE_PX)
        y = row * cell_h + (cell_h - _SYMBOL_SIDE_PX) // 2 - 20
        x = column * cell_w + (cell_w - _SYMBOL_SIDE_PX) // 2
        region = np.s_[y : y + _SYMBOL_SIDE_PX, x : x + _SYMBOL_SIDE_PX]
        alpha = symbol.alpha[..., None].astype(np.float32) / np.float32(255)
        mixed = page[region] * (1 - alpha) + symbol.texture_bgr * alpha
        page[region] = (mixed + 0.5).astype(np.uint8)
        # A hairline, since a white rim would vanish on white paper.
        rim = np.round(symbol.outline * _SYMBOL_SIDE_PX + (x, y)).astype(np.int32)
        cv2.polylines(page, [rim], True, (150, 150, 150), 1, cv2.LINE_AA)
        text_at = (x + 4, y + _SYMBOL_SIDE_PX + 40)
        cv2.putText(
            page, name, text_at, cv2.FONT_HERSHEY_SIMPLEX, 1.0, (90, 90, 90), 2, cv2.LINE_AA
        )
    return page


def write_sheet(path: Path) -> None:
    """Write the page as a PNG file.

    Raises:
        OutputError: The file cannot be written.
    """
    write_bytes(path, encode_picture(printable_sheet(), ".png"))
