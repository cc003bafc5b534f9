"""Mosaics: several pictures on one canvas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edgeyolo.data.sample import Sample, blank, clipped, joined


class TilePlace(NamedTuple):
    """Where a tile goes: x1 y1 x2 y2 on the canvas, and which part of the tile, in pixels."""

    canvas_xyxy: tuple[int, int, int, int]
    tile_xyxy: tuple[int, int, int, int]


def quarter_place(
    quarter: int, centre_xy: tuple[int, int], tile_hw: tuple[int, int], canvas_hw: tuple[int, int]
) -> TilePlace:
    """Place of tile *quarter* (0 top-left, 1 top-right, 2 bottom-left, 3 bottom-right).

    A tile touches the centre with its corner; what overflows the canvas is cut off far from it.
    """
    height, width = tile_hw
    is_right, is_below = quarter % 2 == 1, quarter >= 2
    corner_x = centre_xy[0] if is_right else centre_xy[0] - width
    corner_y = centre_xy[1] if is_below else centre_xy[1] - height
    return _cut((corner_x, corner_y), tile_hw, canvas_hw)


def mosaic_of_four(
    tiles: Sequence[Sample], centre_xy: tuple[int, int], canvas_hw: tuple[int, int]
) -> Sample:
    """Four tiles around *centre_xy*, boxes clipped to the canvas."""
    places = [
        quarter_place(quarter, centre_xy, tile.hw, canvas_hw) for quarter, tile in enumerate(tiles)
    ]
    return _laid_out(tiles, places, canvas_hw)


def draw_centre(rng: np.random.Generator, input_hw: tuple[int, int]) -> tuple[int, int]:
    """Mosaic centre x, y: uniform between half and one and a half times the input size."""
    y = rng.uniform(0.5 * input_hw[0], 1.5 * input_hw[0])
    x = rng.uniform(0.5 * input_hw[1], 1.5 * input_hw[1])
    return int(x), int(y)


def mosaic_of_nine(tiles: Sequence[Sample], input_hw: tuple[int, int]) -> Sample:
    """Nine tiles in a ring around the first, on a canvas three times the input size.

    Order: centre, then clockwise from above: top, top-right, right, bottom-right, bottom,
    bottom-left, left, top-left. Each touches the centre tile or its predecessor.
    """
    height, width = input_hw
    canvas_hw = (3 * height, 3 * width)
    places: list[TilePlace] = []
    centre_hw = tiles[0].hw
    left, top = width, height
    right, bottom = left + centre_hw[1], top + centre_hw[0]
    before = (left, top, right, bottom)
    for index, tile in enumerate(tiles):
        tile_h, tile_w = tile.hw
        corner = {
            0: (left, top),
            1: (left, top - tile_h),
            2: (before[2], top - tile_h),
            3: (right, top),
            4: (right, before[3]),
            5: (right - tile_w, bottom),
            6: (before[0] - tile_w, bottom),
            7: (left - tile_w, bottom - tile_h),
            8: (left - tile_w, before[1] - tile_h),
        }[index]
        before = (*corner, corner[0] + tile_w, corner[1] + tile_h)
        places.append(_cut(corner, tile.hw, canvas_hw))
    return _laid_out(tiles, places, canvas_hw)


def cropped(sample: Sample, corner_xy: tuple[int, int], hw: tuple[int, int]) -> Sample:
    """The part of *hw* whose top-left corner is *corner_xy*; boxes clipped to it."""
    x, y = corner_xy
    part = np.ascontiguousarray(sample.frame_bgr[y : y + hw[0], x : x + hw[1]])
    return clipped(sample.moved(part, (1.0, 1.0), (float(-x), float(-y))), hw)


def _cut(
    corner_xy: tuple[int, int], tile_hw: tuple[int, int], canvas_hw: tuple[int, int]
) -> TilePlace:
    x1, y1 = max(corner_xy[0], 0), max(corner_xy[1], 0)
    x2 = min(corner_xy[0] + tile_hw[1], canvas_hw[1])
    y2 = min(corner_xy[1] + tile_hw[0], canvas_hw[0])
    x2, y2 = max(x1, x2), max(y1, y2)
    return TilePlace(
        (x1, y1, x2, y2),
        (x1 - corner_xy[0], y1 - corner_xy[1], x2 - corner_xy[0], y2 - corner_xy[1]),
    )


def _laid_out(
    tiles: Sequence[Sample], places: Sequence[TilePlace], canvas_hw: tuple[int, int]
) -> Sample:
    canvas = blank(canvas_hw)
    moved = []
    for tile, ((x1, y1, x2, y2), (u1, v1, u2, v2)) in zip(tiles, places, strict=True):
        canvas[y1:y2, x1:x2] = tile.frame_bgr[v1:v2, u1:u2]
        moved.append(tile.moved(canvas, (1.0, 1.0), (float(x1 - u1), float(y1 - v1))))
    return clipped(joined(canvas, moved), canvas_hw)
