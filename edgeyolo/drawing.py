"""Boxes and labels on a picture, legible on any background."""

from __future__ import annotations

import colorsys
import math

import numpy as np
from numpy.typing import NDArray

from edgeyolo.detections import Detections

# Steps of the golden angle: any few neighbouring class ids get colours far apart.
_HUE_STEP = 0.618033988749895
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)


def class_color_bgr(class_id: int) -> tuple[int, int, int]:
    """The colour of a class, the same in every picture."""
    red, green, blue = colorsys.hsv_to_rgb((class_id * _HUE_STEP + 0.02) % 1.0, 0.85, 0.95)
    return round(blue * 255), round(green * 255), round(red * 255)


def draw(frame_bgr: NDArray[np.uint8], detections: Detections) -> NDArray[np.uint8]:
    """An annotated copy of a frame (H, W, 3) uint8 BGR."""
    canvas_bgr = frame_bgr.copy()
    draw_on(canvas_bgr, detections)
    return canvas_bgr


def draw_on(frame_bgr: NDArray[np.uint8], detections: Detections) -> None:
    """Draw boxes, class names and scores onto the frame itself.

    Args:
        frame_bgr: (H, W, 3) uint8, contiguous.
        detections: Best first; drawn in reverse, so that the best label is on top.
    """
    import cv2

    height, width = frame_bgr.shape[:2]
    thickness = _thickness(height, width)
    for found in reversed(list(detections)):
        if not all(math.isfinite(side) for side in found.box_xyxy):
            continue
        # Clipped, because OpenCV wants 32-bit pixels and boxes may lie far outside.
        x1, x2 = (round(min(max(x, -1.0), width)) for x in found.box_xyxy[0::2])
        y1, y2 = (round(min(max(y, -1.0), height)) for y in found.box_xyxy[1::2])
        color = class_color_bgr(found.class_id)
        cv2.rectangle(frame_bgr, (x1, y1), (x2, y2), color, thickness)
        label = f"{found.class_name} {found.score:.2f}"
        draw_label(frame_bgr, label, (x1, y1), background_bgr=color)


def draw_label(
    frame_bgr: NDArray[np.uint8],
    text: str,
    corner_xy: tuple[int, int],
    *,
    background_bgr: tuple[int, int, int] = _BLACK,
) -> None:
    """One line of text on a filled bar that ends above *corner_xy*.

    The bar moves inside the picture where it would leave it; the text is black or white,
    whichever stands out.
    """
    import cv2

    height, width = frame_bgr.shape[:2]
    thickness = max(1, _thickness(height, width) // 2)
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, max(0.4, min(height, width) / 1000)
    (text_width, text_height), baseline = cv2.getTextSize(text, font, scale, thickness)
    bar_width, bar_height = text_width + 4, text_height + baseline + 2
    left = max(0, min(corner_xy[0], width - bar_width))
    top = max(0, min(corner_xy[1] - bar_height, height - bar_height))
    right, bottom = left + bar_width, top + bar_height
    cv2.rectangle(frame_bgr, (left, top), (right, bottom), background_bgr, cv2.FILLED)
    blue, green, red = background_bgr
    bright = 0.114 * blue + 0.587 * green + 0.299 * red > 140
    origin = (left + 2, bottom - baseline)
    ink = _BLACK if bright else _WHITE
    cv2.putText(frame_bgr, text, origin, font, scale, ink, thickness, cv2.LINE_AA)


def _thickness(height: int, width: int) -> int:
    return max(1, round(min(height, width) / 300))
