"""The one letterbox: how a frame of any size lands on the network's canvas, and back.

Calibration, evaluation, parity, benchmark and predictor all use it. It resizes with OpenCV's
bilinear filter, because that is what both families were trained and measured with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeyolo.opencv import load_opencv
from edgeyolo.spec import Alignment, ColorOrder, Layout, Preprocess, Rounding


@dataclass(frozen=True, slots=True)
class Placement:
    """Maps boxes between a frame and its letterboxed canvas: ``canvas = frame * scale + pad``.

    Attributes:
        scale_xy: Canvas pixels per frame pixel.
        pad_xy: Where the frame's origin lies on the canvas; half a pixel is possible when the
            padding is odd.
        frame_hw: Height and width of the frame.
    """

    scale_xy: tuple[float, float]
    pad_xy: tuple[float, float]
    frame_hw: tuple[int, int]

    def apply(self, boxes_xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes (N, 4) in frame pixels as boxes in canvas pixels."""
        scale, pad = self._rows()
        return np.asarray(boxes_xyxy, np.float32) * scale + pad

    def undo(self, boxes_xyxy: NDArray[np.float32], clip: bool = False) -> NDArray[np.float32]:
        """Boxes (N, 4) in canvas pixels as boxes in frame pixels, clipped to it if asked."""
        scale, pad = self._rows()
        boxes: NDArray[np.float32] = np.asarray(boxes_xyxy, np.float32) - pad
        boxes /= scale
        if clip:
            height, width = self.frame_hw
            limits = np.array((width, height, width, height), np.float32)
            np.clip(boxes, np.float32(0), limits, out=boxes)
        return boxes

    def _rows(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return (
            np.array(self.scale_xy * 2, dtype=np.float32),
            np.array(self.pad_xy * 2, dtype=np.float32),
        )


@dataclass(frozen=True, slots=True)
class Fit:
    """Where the resized frame lies on the canvas, in whole pixels.

    Attributes:
        canvas_hw: Size of the canvas.
        resized_hw: Size of the frame on it.
        corner_yx: Its upper left corner.
        placement: The mapping of boxes that goes with it.
    """

    canvas_hw: tuple[int, int]
    resized_hw: tuple[int, int]
    corner_yx: tuple[int, int]
    placement: Placement


def fit_frame(frame_hw: tuple[int, int], preprocess: Preprocess) -> Fit:
    """How a frame lands on a canvas of the network's input size."""
    ratio = _ratio(frame_hw, preprocess)
    resized_hw = _resized(frame_hw, ratio, preprocess)
    return _align(frame_hw, resized_hw, preprocess.input_hw, (ratio, ratio), preprocess.alignment)


def fit_minimal(frame_hw: tuple[int, int], preprocess: Preprocess, stride: int) -> Fit:
    """The same on the smallest canvas whose padding is below *stride* on each axis.

    This is how the official YOLOv7 demo feeds its network: whole multiples of the stride are
    cut off the padding, so a wide frame becomes a wide input.
    """
    ratio = _ratio(frame_hw, preprocess)
    resized_hw = _resized(frame_hw, ratio, preprocess)
    height, width = (
        side + (limit - side) % stride
        for side, limit in zip(resized_hw, preprocess.input_hw, strict=True)
    )
    return _align(frame_hw, resized_hw, (height, width), (ratio, ratio), preprocess.alignment)


def fit_stretched(frame_hw: tuple[int, int], canvas_hw: tuple[int, int]) -> Fit:
    """The frame stretched over the whole canvas, giving up its aspect ratio."""
    scale_xy = (canvas_hw[1] / frame_hw[1], canvas_hw[0] / frame_hw[0])
    return Fit(canvas_hw, canvas_hw, (0, 0), Placement(scale_xy, (0.0, 0.0), frame_hw))


def draw_fit(
    frame_bgr: NDArray[np.uint8], fit: Fit, canvas_bgr: NDArray[np.uint8], pad_value: int
) -> None:
    """Write the resized frame and its padding over all of *canvas_bgr* (H, W, 3) uint8."""
    _pad(fit, canvas_bgr, pad_value)
    _resize_into(frame_bgr, fit, canvas_bgr)


class Letterboxer:
    """Letterboxes frame after frame without allocating.

    Used from one thread at a time. A stream of frames of one size pays for the padding once.

    Args:
        preprocess: How.
        canvas_bgr: (H, W, 3) uint8 to write to, e.g. one picture of a batch; made where ``None``.
            Nobody else may write to it.

    Attributes:
        preprocess: What it was made for.
        canvas_bgr: (H, W, 3) uint8; what :meth:`place` filled last, unless it was given *out*.
    """

    def __init__(self, preprocess: Preprocess, canvas_bgr: NDArray[np.uint8] | None = None) -> None:
        load_opencv()  # told here, not with the first frame
        self.preprocess = preprocess
        if canvas_bgr is None:
            canvas_bgr = np.empty((*preprocess.input_hw, 3), np.uint8)
        self.canvas_bgr: NDArray[np.uint8] = canvas_bgr
        self._padded_for: Fit | None = None
        self._fit: Fit | None = None

    def place(
        self, frame_bgr: NDArray[np.uint8], out: NDArray[np.uint8] | None = None
    ) -> Placement:
        """Letterbox one frame.

        Args:
            frame_bgr: (H, W, 3) uint8, as :func:`edgeyolo.frames.as_bgr` returns it.
            out: (input height, input width, 3) uint8 to fill instead of ``canvas_bgr``; rows may
                be strided, e.g. one picture of a batch.

        Returns:
            How to map boxes back. The pixels are in *out*, or in ``canvas_bgr``.
        """
        frame_hw = (frame_bgr.shape[0], frame_bgr.shape[1])
        if self._fit is None or self._fit.placement.frame_hw != frame_hw:
            self._fit = fit_frame(frame_hw, self.preprocess)
        fit = self._fit
        if out is None:
            if self._padded_for is not fit:
                _pad(fit, self.canvas_bgr, self.preprocess.pad_value)
                self._padded_for = fit
            _resize_into(frame_bgr, fit, self.canvas_bgr)
        else:
            if out.shape != self.canvas_bgr.shape or out.dtype != np.uint8:
                raise ValueError(
                    f"out must be {self.canvas_bgr.shape} uint8, got {out.shape} {out.dtype}"
                )
            draw_fit(frame_bgr, fit, out, self.preprocess.pad_value)
        return fit.placement

    def clear(self) -> None:
        """Fill ``canvas_bgr`` with the padding value."""
        self.canvas_bgr[...] = self.preprocess.pad_value
        self._padded_for = None


def normalize(
    canvas_bgr: NDArray[np.uint8],
    preprocess: Preprocess,
    layout: Layout,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """What the first convolution sees, for files that do not compute it themselves.

    Args:
        canvas_bgr: (B, H, W, 3) uint8, letterboxed.
        preprocess: Colour order, scale, mean and std.
        layout: Axis order of the result.
        out: Filled and returned if given; shape as the result.

    Returns:
        (B, H, W, 3) or (B, 3, H, W) float32, contiguous.
    """
    batch, height, width, _ = canvas_bgr.shape
    nchw = layout is Layout.NCHW
    shape = (batch, 3, height, width) if nchw else (batch, height, width, 3)
    if out is None:
        out = np.empty(shape, np.float32)
    elif out.shape != shape or out.dtype != np.float32:
        raise ValueError(f"out must be {shape} float32, got {out.shape} {out.dtype}")
    for channel in range(3):
        source = 2 - channel if preprocess.color_order is ColorOrder.RGB else channel
        plane = out[:, channel] if nchw else out[..., channel]
        # In this order, step by step in float32: the official tools do it so.
        np.multiply(canvas_bgr[..., source], np.float32(preprocess.scale), out=plane)
        if preprocess.mean[channel] != 0.0:
            plane -= np.float32(preprocess.mean[channel])
        if preprocess.std[channel] != 1.0:
            plane /= np.float32(preprocess.std[channel])
    return out


def _ratio(frame_hw: tuple[int, int], preprocess: Preprocess) -> float:
    height, width = preprocess.input_hw
    ratio = min(height / frame_hw[0], width / frame_hw[1])
    return ratio if preprocess.enlarge else min(ratio, 1.0)


def _resized(frame_hw: tuple[int, int], ratio: float, preprocess: Preprocess) -> tuple[int, int]:
    whole = int if preprocess.rounding is Rounding.TRUNCATE else round
    # A frame of 8000 x 2 pixels would vanish.
    return max(1, whole(frame_hw[0] * ratio)), max(1, whole(frame_hw[1] * ratio))


def _align(
    frame_hw: tuple[int, int],
    resized_hw: tuple[int, int],
    canvas_hw: tuple[int, int],
    scale_xy: tuple[float, float],
    alignment: Alignment,
) -> Fit:
    if alignment is Alignment.TOP_LEFT:
        pad_xy, corner_yx = (0.0, 0.0), (0, 0)
    else:
        pad_xy = (canvas_hw[1] - resized_hw[1]) / 2, (canvas_hw[0] - resized_hw[0]) / 2
        # The 0.1 decides where the odd pixel goes: right and below, as in the official tools.
        corner_yx = round(pad_xy[1] - 0.1), round(pad_xy[0] - 0.1)
    return Fit(canvas_hw, resized_hw, corner_yx, Placement(scale_xy, pad_xy, frame_hw))


def _pad(fit: Fit, canvas_bgr: NDArray[np.uint8], pad_value: int) -> None:
    (top, left), (height, width) = fit.corner_yx, fit.resized_hw
    canvas_bgr[:top] = pad_value
    canvas_bgr[top + height :] = pad_value
    canvas_bgr[top : top + height, :left] = pad_value
    canvas_bgr[top : top + height, left + width :] = pad_value


def _resize_into(frame_bgr: NDArray[np.uint8], fit: Fit, canvas_bgr: NDArray[np.uint8]) -> None:
    import cv2

    (top, left), (height, width) = fit.corner_yx, fit.resized_hw
    target = canvas_bgr[top : top + height, left : left + width]
    if frame_bgr.shape[:2] == fit.resized_hw:
        target[...] = frame_bgr
    else:
        cv2.resize(frame_bgr, (width, height), dst=target, interpolation=cv2.INTER_LINEAR)
