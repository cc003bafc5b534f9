"""The rectangular pictures of the official YOLOv7 evaluation.

Pictures are sorted by aspect ratio and each batch has the smallest canvas that holds them, half
a stride larger. Predictions on square canvases differ a little, so official numbers need this.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeyolo.letterbox import Placement, draw_fit, fit_frame
from edgeyolo.spec import Preprocess


def aspect_order(frames_hw: Sequence[tuple[int, int]]) -> list[int]:
    """Indices of the pictures from wide to tall, as the official tool batches them."""
    return sorted(
        range(len(frames_hw)), key=lambda index: frames_hw[index][0] / frames_hw[index][1]
    )


def rectangle(
    frames_hw: Sequence[tuple[int, int]], long_side: int, stride: int, pad: float = 0.5
) -> tuple[int, int]:
    """Canvas height and width for one batch of pictures.

    Args:
        frames_hw: Sizes of the pictures.
        long_side: What the longer side of every picture is resized to.
        stride: The canvas is a multiple of it: the largest stride of the model.
        pad: Added before rounding up, in strides.
    """
    ratios = [height / width for height, width in frames_hw]
    if max(ratios) < 1:
        shape = (max(ratios), 1.0)
    elif min(ratios) > 1:
        shape = (1.0, 1.0 / min(ratios))
    else:
        shape = (1.0, 1.0)
    height, width = (math.ceil(side * long_side / stride + pad) * stride for side in shape)
    return height, width


def place_on_rectangle(
    frame_bgr: NDArray[np.uint8],
    long_side: int,
    canvas_hw: tuple[int, int],
    preprocess: Preprocess,
) -> tuple[NDArray[np.uint8], Placement]:
    """Resize one picture to *long_side* and centre it on its canvas.

    Shrinking averages areas here, which the camera path does not.

    Returns:
        Canvas (H, W, 3) uint8 BGR and the mapping of boxes back to *frame_bgr*.
    """
    height, width = frame_bgr.shape[:2]
    ratio = long_side / max(height, width)
    resized = frame_bgr
    if ratio != 1:
        filter_ = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
        size_wh = max(1, int(width * ratio)), max(1, int(height * ratio))
        resized = np.asarray(cv2.resize(frame_bgr, size_wh, interpolation=filter_), np.uint8)
    on_canvas = replace(preprocess, input_hw=canvas_hw, enlarge=False)
    fit = fit_frame((resized.shape[0], resized.shape[1]), on_canvas)
    canvas = np.empty((*canvas_hw, 3), np.uint8)
    draw_fit(resized, fit, canvas, preprocess.pad_value)
    # The official inverse takes the ratio of the heights for both axes.
    gain = resized.shape[0] / height
    return canvas, Placement((gain, gain), fit.placement.pad_xy, (height, width))
