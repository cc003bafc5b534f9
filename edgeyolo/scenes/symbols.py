"""The eight symbols, drawn flat.

Each differs from every other in outline or in main colour, and most in both, so that a small
network at a small input size can tell them apart, also when printed on paper.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]
Picture = NDArray[np.uint8]
Outline = NDArray[np.float64]

# BGR.
_RED: Color = (36, 28, 196)
_WHITE: Color = (245, 245, 245)
_YELLOW: Color = (20, 196, 250)
_BLUE: Color = (176, 84, 12)
_BLACK: Color = (24, 24, 24)
_GREEN: Color = (72, 144, 20)

# Sub-pixel bits of OpenCV's drawing functions.
_SHIFT = 4


class Symbol(NamedTuple):
    """A symbol as a texture.

    Attributes:
        texture_bgr: (S, S, 3) uint8.
        alpha: (S, S) uint8, 255 inside the outline.
        outline: (K, 2) float64, the outline's corners in 0..1 of the texture side.
    """

    texture_bgr: Picture
    alpha: Picture
    outline: Outline


def draw_symbol(class_id: int, side_px: int) -> Symbol:
    """Symbol *class_id* of ``SCENE_CLASSES`` on a square texture of *side_px* pixels."""
    outline, paint = _SYMBOLS[SCENE_CLASSES[class_id]]
    texture = np.full((side_px, side_px, 3), _WHITE, np.uint8)
    paint(texture)
    alpha = np.zeros((side_px, side_px), np.uint8)
    _fill(alpha, outline, (255, 255, 255))
    return Symbol(texture, alpha, outline)


def _regular(corners: int, turn: float, radius: float = 0.5) -> Outline:
    """A regular polygon about the centre; *turn* in parts of a full circle."""
    angles = 2 * np.pi * (np.arange(corners) / corners + turn)
    corners_xy: Outline = 0.5 + radius * np.stack((np.sin(angles), -np.cos(angles)), axis=1)
    return corners_xy


def _dot(corners: int, radius: float, right: float, down: float) -> Outline:
    """A small disc, *right* and *down* of the centre."""
    moved: Outline = _regular(corners, 0.0, radius) + np.array((right, down))
    return moved


def _shrunk(outline: Outline, factor: float) -> Outline:
    centre = outline.mean(axis=0)
    shrunk: Outline = centre + (outline - centre) * factor
    return shrunk


def _fill(canvas: Picture, outline: Outline, color: Color) -> None:
    side = canvas.shape[0]
    # A corner at 0.5 px is the middle of pixel 0 for OpenCV, hence the half pixel.
    points = np.round((outline * side - 0.5) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(canvas, [points], color, cv2.LINE_AA, _SHIFT)


def _box(x1: float, y1: float, x2: float, y2: float) -> Outline:
    return np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])


_CIRCLE = _regular(64, 0.0)
_OCTAGON = _regular(8, 1 / 16)
_DIAMOND = _regular(4, 0.0)
_SQUARE = _box(0.06, 0.06, 0.94, 0.94)
_UP = np.array([(0.5, 0.06), (1.0, 0.94), (0.0, 0.94)])
_DOWN = np.array([(0.0, 0.06), (1.0, 0.06), (0.5, 0.94)])


def _stop(canvas: Picture) -> None:
    _fill(canvas, _shrunk(_OCTAGON, 0.92), _RED)
    # Two strokes of a hand held up: readable at 12 pixels, where letters are not.
    _fill(canvas, _box(0.22, 0.40, 0.78, 0.60), _WHITE)


def _give_way(canvas: Picture) -> None:
    _fill(canvas, _DOWN, _RED)
    _fill(canvas, _shrunk(_DOWN, 0.56), _WHITE)


def _warning(canvas: Picture) -> None:
    _fill(canvas, _UP, _BLACK)
    _fill(canvas, _shrunk(_UP, 0.82), _YELLOW)
    _fill(canvas, np.array([(0.44, 0.36), (0.56, 0.36), (0.53, 0.70), (0.47, 0.70)]), _BLACK)
    _fill(canvas, _dot(24, 0.045, 0.0, 0.30), _BLACK)


def _ahead(canvas: Picture) -> None:
    _fill(canvas, _shrunk(_CIRCLE, 0.94), _BLUE)
    _fill(canvas, np.array([(0.5, 0.12), (0.76, 0.44), (0.24, 0.44)]), _WHITE)
    _fill(canvas, _box(0.43, 0.42, 0.57, 0.86), _WHITE)


def _parking(canvas: Picture) -> None:
    _fill(canvas, _shrunk(_SQUARE, 0.94), _BLUE)
    _fill(canvas, _box(0.32, 0.18, 0.45, 0.84), _WHITE)
    _fill(canvas, _dot(32, 0.20, 0.04, -0.12), _WHITE)
    _fill(canvas, _dot(32, 0.09, 0.04, -0.12), _BLUE)
    _fill(canvas, _box(0.32, 0.18, 0.45, 0.84), _WHITE)


def _limit(canvas: Picture) -> None:
    _fill(canvas, _CIRCLE, _RED)
    _fill(canvas, _shrunk(_CIRCLE, 0.70), _WHITE)
    _fill(canvas, _box(0.30, 0.30, 0.42, 0.70), _BLACK)
    _fill(canvas, _dot(32, 0.17, 0.10, 0.03), _BLACK)
    _fill(canvas, _dot(32, 0.07, 0.10, 0.03), _WHITE)


def _priority(canvas: Picture) -> None:
    _fill(canvas, _shrunk(_DIAMOND, 0.70), _YELLOW)


def _crossing(canvas: Picture) -> None:
    _fill(canvas, _shrunk(_SQUARE, 0.94), _GREEN)
    for turn in (0.0, 0.25):
        bar = np.array([(-0.34, -0.09), (0.34, -0.09), (0.34, 0.09), (-0.34, 0.09)])
        angle = 2 * np.pi * (turn + 0.125)
        rotation = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
        _fill(canvas, bar @ rotation.T + 0.5, _WHITE)


_SYMBOLS: dict[str, tuple[Outline, Callable[[Picture], None]]] = {
    "stop": (_OCTAGON, _stop),
    "give way": (_DOWN, _give_way),
    "warning": (_UP, _warning),
    "ahead": (_CIRCLE, _ahead),
    "parking": (_SQUARE, _parking),
    "limit": (_CIRCLE, _limit),
    "priority": (_DIAMOND, _priority),
    "crossing": (_SQUARE, _crossing),
}

SCENE_CLASSES: tuple[str, ...] = tuple(_SYMBOLS)
