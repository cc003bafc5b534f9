"""Random warps: YOLOX's affine map and YOLOv7's perspective map, with the boxes that follow.

The two differ on purpose: YOLOX turns and scales about the canvas origin and never drops a box;
YOLOv7 centres the picture and drops boxes that became too small or too thin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeyolo.data.dataset import Polygon
from edgeyolo.data.sample import PAD_VALUE, Boxes, Picture, Sample, clipped

Matrix = NDArray[np.float64]
_BORDER = (PAD_VALUE, PAD_VALUE, PAD_VALUE)
_SEGMENT_POINTS = 1000


@dataclass(frozen=True, slots=True)
class AffineDraws:
    """One random affine map of YOLOX, in the order in which the numbers are drawn.

    Attributes:
        angle: Degrees, counter-clockwise.
        scale: Factor.
        shear_x: Degrees.
        shear_y: Degrees.
        translate_x: Part of the output width.
        translate_y: Part of the output height.
    """

    angle: float
    scale: float
    shear_x: float
    shear_y: float
    translate_x: float
    translate_y: float

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        *,
        degrees: float,
        scale: tuple[float, float],
        shear: float,
        translate: float,
    ) -> AffineDraws:
        """All uniform: +-*degrees*, within *scale*, +-*shear* degrees, +-*translate*."""
        return cls(
            rng.uniform(-degrees, degrees),
            rng.uniform(*scale),
            rng.uniform(-shear, shear),
            rng.uniform(-shear, shear),
            rng.uniform(-translate, translate),
            rng.uniform(-translate, translate),
        )

    def matrix(self, output_hw: tuple[int, int]) -> Matrix:
        """(2, 3) map from input to output pixels."""
        turn = cv2.getRotationMatrix2D((0.0, 0.0), self.angle, self.scale)
        shear_x, shear_y = (
            math.tan(math.radians(self.shear_x)),
            math.tan(math.radians(self.shear_y)),
        )
        matrix = np.empty((2, 3))
        matrix[0] = turn[0] + shear_y * turn[1]
        matrix[1] = turn[1] + shear_x * turn[0]
        matrix[:, 2] = self.translate_x * output_hw[1], self.translate_y * output_hw[0]
        return matrix


def affine(sample: Sample, draws: AffineDraws, output_hw: tuple[int, int]) -> Sample:
    """YOLOX: warp to *output_hw*; boxes become the hull of their corners, clipped."""
    matrix = draws.matrix(output_hw)
    frame = cv2.warpAffine(
        sample.frame_bgr, matrix, (output_hw[1], output_hw[0]), borderValue=_BORDER
    )
    full = np.vstack((matrix, (0.0, 0.0, 1.0)))
    moved = replace(
        sample,
        frame_bgr=np.asarray(frame, np.uint8),
        boxes_xyxy=_hulls(sample.boxes_xyxy, full),
        segments=tuple(_mapped(polygons, full) for polygons in sample.segments),
    )
    return clipped(moved, output_hw)


@dataclass(frozen=True, slots=True)
class PerspectiveDraws:
    """One random perspective map of YOLOv7, in the order in which the numbers are drawn.

    Attributes:
        perspective_x: Bottom row of the projective matrix.
        perspective_y: The same.
        angle: Degrees, counter-clockwise.
        scale: Factor.
        shear_x: Degrees.
        shear_y: Degrees.
        translate_x: Part of the output width where the picture's centre goes.
        translate_y: Part of the output height.
    """

    perspective_x: float
    perspective_y: float
    angle: float
    scale: float
    shear_x: float
    shear_y: float
    translate_x: float
    translate_y: float

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        *,
        degrees: float,
        translate: float,
        scale: float,
        shear: float,
        perspective: float,
    ) -> PerspectiveDraws:
        """All uniform; the scale between 1 - *scale* and 1.1 + *scale* as in the original."""
        return cls(
            rng.uniform(-perspective, perspective),
            rng.uniform(-perspective, perspective),
            rng.uniform(-degrees, degrees),
            rng.uniform(1 - scale, 1.1 + scale),
            rng.uniform(-shear, shear),
            rng.uniform(-shear, shear),
            rng.uniform(0.5 - translate, 0.5 + translate),
            rng.uniform(0.5 - translate, 0.5 + translate),
        )

    def matrix(self, input_hw: tuple[int, int], output_hw: tuple[int, int]) -> Matrix:
        """(3, 3) map from input to output pixels: translate, shear, turn, project, centre."""
        centre, project, turn, shear, translate = (np.eye(3) for _ in range(5))
        centre[:2, 2] = -input_hw[1] / 2, -input_hw[0] / 2
        project[2, :2] = self.perspective_x, self.perspective_y
        turn[:2] = cv2.getRotationMatrix2D((0.0, 0.0), self.angle, self.scale)
        shear[0, 1] = math.tan(math.radians(self.shear_x))
        shear[1, 0] = math.tan(math.radians(self.shear_y))
        translate[:2, 2] = self.translate_x * output_hw[1], self.translate_y * output_hw[0]
        matrix: Matrix = translate @ shear @ turn @ project @ centre
        return matrix


def perspective(sample: Sample, draws: PerspectiveDraws, output_hw: tuple[int, int]) -> Sample:
    """YOLOv7: warp to *output_hw* and drop boxes of which too little is left.

    An object with segments gets the box around its warped outline within the output, another
    one the hull of its warped corners.
    """
    matrix = draws.matrix(sample.hw, output_hw)
    frame = _warped(sample.frame_bgr, matrix, output_hw)
    boxes = np.clip(
        _hulls(sample.boxes_xyxy, matrix), 0, np.array([output_hw[1], output_hw[0]] * 2)
    )
    has_segments = np.array([bool(polygons) for polygons in sample.segments], np.bool_)
    segments = [_mapped(_resampled(polygons), matrix) for polygons in sample.segments]
    for index in np.flatnonzero(has_segments).tolist():
        boxes[index] = _extent_within(segments[index], output_hw)
    kept = large_enough(sample.boxes_xyxy * draws.scale, boxes, np.where(has_segments, 0.01, 0.10))
    return Sample(frame, boxes, sample.class_ids, tuple(segments)).keep(kept)


def large_enough(
    before: Boxes, after: Boxes, min_area_ratio: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """(N,) bool: sides above 2 pixels, aspect below 20, and enough of the former area left."""
    before_wh = before[:, 2:] - before[:, :2]
    after_wh = after[:, 2:] - after[:, :2]
    width, height = after_wh[:, 0], after_wh[:, 1]
    tiny = 1e-16
    aspect = np.maximum(width / (height + tiny), height / (width + tiny))
    left = width * height / (before_wh.prod(axis=1) + tiny)
    kept: NDArray[np.bool_] = (width > 2) & (height > 2) & (left > min_area_ratio) & (aspect < 20)
    return kept


def _warped(frame: Picture, matrix: Matrix, output_hw: tuple[int, int]) -> Picture:
    size = (output_hw[1], output_hw[0])
    if matrix[2, 0] or matrix[2, 1]:
        return np.asarray(cv2.warpPerspective(frame, matrix, size, borderValue=_BORDER), np.uint8)
    return np.asarray(cv2.warpAffine(frame, matrix[:2], size, borderValue=_BORDER), np.uint8)


def _hulls(boxes_xyxy: Boxes, matrix: Matrix) -> Boxes:
    """Boxes around the four warped corners of each box."""
    corners = boxes_xyxy[:, [0, 1, 2, 3, 0, 3, 2, 1]].reshape(-1, 2)
    mapped = _project(corners, matrix).reshape(-1, 4, 2)
    return np.concatenate((mapped.min(axis=1), mapped.max(axis=1)), axis=1).reshape(-1, 4)


def _project(points: NDArray[np.float64], matrix: Matrix) -> NDArray[np.float64]:
    mapped = np.column_stack((points, np.ones(len(points)))) @ matrix.T
    result: NDArray[np.float64] = mapped[:, :2] / mapped[:, 2:]
    return result


def _mapped(polygons: Sequence[Polygon], matrix: Matrix) -> tuple[Polygon, ...]:
    return tuple(
        _project(polygon.astype(np.float64), matrix).astype(np.float32) for polygon in polygons
    )


def _resampled(polygons: Sequence[Polygon]) -> tuple[Polygon, ...]:
    """Outlines with many points, so that a cut outline still has points along the cut."""
    result = []
    for polygon in polygons:
        closed = np.concatenate((polygon, polygon[:1])).astype(np.float64)
        positions = np.linspace(0, len(closed) - 1, _SEGMENT_POINTS)
        known = np.arange(len(closed))
        columns = [np.interp(positions, known, closed[:, axis]) for axis in (0, 1)]
        result.append(np.stack(columns, axis=1).astype(np.float32))
    return tuple(result)


def _extent_within(polygons: Sequence[Polygon], hw: tuple[int, int]) -> NDArray[np.float64]:
    points = np.concatenate(polygons).astype(np.float64)
    x, y = points[:, 0], points[:, 1]
    inside = points[(x >= 0) & (y >= 0) & (x <= hw[1]) & (y <= hw[0])]
    if not len(inside):
        return np.zeros(4)
    return np.concatenate((inside.min(axis=0), inside.max(axis=0)))
