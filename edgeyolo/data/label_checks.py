"""One picture's labels while they are read: sound boxes are kept, the others become problems."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeyolo.data.dataset import LabeledPicture, Polygon, Problem, ProblemKind

# Rounded label files put boxes a hair over the edge; that is no reason for a message.
EDGE_TOLERANCE_PX = 1.0
# Half a millionth of a pixel of width is arithmetic noise, not an object.
MIN_SIDE_PX = 1e-6


class LabelCollector:
    """Collects the objects of one picture.

    Args:
        path: The picture file.
        picture_id: See :class:`~edgeyolo.data.dataset.LabeledPicture`.
        hw: Height and width of the picture in pixels.
        num_classes: Class ids must be below.
        problems: Problems are appended here.
    """

    def __init__(
        self,
        path: Path,
        picture_id: int,
        hw: tuple[int, int],
        num_classes: int,
        problems: list[Problem],
        *,
        ignore_exif: bool = False,
    ) -> None:
        self._path = path
        self._picture_id = picture_id
        self._hw = hw
        self._num_classes = num_classes
        self._problems = problems
        self._ignore_exif = ignore_exif
        self._boxes: list[tuple[float, float, float, float]] = []
        self._class_ids: list[int] = []
        self._crowd: list[bool] = []
        self._areas: list[float] = []
        self._segments: list[tuple[Polygon, ...]] = []
        self._seen: set[tuple[int, tuple[float, ...]]] = set()

    def add(
        self,
        box_xyxy: Sequence[float],
        class_id: int,
        *,
        where: str,
        crowd: bool = False,
        area: float | None = None,
        segments: tuple[Polygon, ...] = (),
    ) -> None:
        """Keep one object, or record why not.

        Args:
            box_xyxy: Corners in pixels, clipped to the picture here.
            class_id: See ``num_classes``.
            where: File and line, for problems.
            crowd: See :class:`~edgeyolo.data.dataset.LabeledPicture`.
            area: In square pixels, as the label file says; where it says none, or none above
                zero, that of the outline or box within the picture.
            segments: Outlines in pixels.
        """
        if not 0 <= class_id < self._num_classes:
            known = f"0..{self._num_classes - 1}"
            self._note(ProblemKind.UNKNOWN_CLASS, where, f"class {class_id}, known: {known}")
            return
        shown = ", ".join(f"{value:g}" for value in box_xyxy)
        if not all(math.isfinite(value) for value in box_xyxy):
            self._note(ProblemKind.NOT_FINITE, where, f"box {shown}")
            return
        clipped = self._clip(box_xyxy)
        width, height = box_xyxy[2] - box_xyxy[0], box_xyxy[3] - box_xyxy[1]
        if width <= MIN_SIDE_PX or height <= MIN_SIDE_PX:
            self._note(ProblemKind.ZERO_SIZE, where, f"box {shown} is {width:g}x{height:g} px")
            return
        size = f"picture is {self._hw[1]}x{self._hw[0]}"
        if clipped[2] - clipped[0] <= MIN_SIDE_PX or clipped[3] - clipped[1] <= MIN_SIDE_PX:
            self._note(ProblemKind.OUTSIDE_PICTURE, where, f"box {shown}, {size}")
            return
        if max(abs(a - b) for a, b in zip(box_xyxy, clipped, strict=True)) > EDGE_TOLERANCE_PX:
            self._note(ProblemKind.BOX_CLIPPED, where, f"box {shown}, {size}")
        if (class_id, clipped) in self._seen:
            self._note(ProblemKind.DUPLICATE_BOX, where, f"box {shown}, class {class_id}")
        self._seen.add((class_id, clipped))
        self._boxes.append(clipped)
        self._class_ids.append(class_id)
        self._crowd.append(crowd)
        if area is None or not math.isfinite(area) or area <= 0:
            area = self._area_within(clipped, segments)
        self._areas.append(float(area))
        self._segments.append(segments)

    def build(self) -> LabeledPicture:
        return LabeledPicture(
            path=self._path,
            picture_id=self._picture_id,
            hw=self._hw,
            boxes_xyxy=np.array(self._boxes, np.float64).reshape(-1, 4),
            class_ids=np.array(self._class_ids, np.int64),
            crowd=np.array(self._crowd, np.bool_),
            areas=np.array(self._areas, np.float64),
            segments=tuple(self._segments),
            ignore_exif=self._ignore_exif,
        )

    def _clip(self, box_xyxy: Sequence[float]) -> tuple[float, float, float, float]:
        height, width = self._hw
        x1, y1, x2, y2 = (float(value) for value in box_xyxy)
        return (
            min(max(x1, 0.0), width),
            min(max(y1, 0.0), height),
            min(max(x2, 0.0), width),
            min(max(y2, 0.0), height),
        )

    def _area_within(
        self, clipped: tuple[float, float, float, float], segments: tuple[Polygon, ...]
    ) -> float:
        """Area inside the picture: of the outline, or of the box where there is none."""
        outline = sum(area_within(polygon, self._hw) for polygon in segments)
        return outline or (clipped[2] - clipped[0]) * (clipped[3] - clipped[1])

    def _note(self, kind: ProblemKind, where: str, detail: str) -> None:
        self._problems.append(Problem(kind, where, detail))


def polygons_of(points: object) -> tuple[Polygon, ...]:
    """COCO's ``segmentation`` lists as (K, 2) arrays; anything else (RLE, damage) as none."""
    if not isinstance(points, list):
        return ()
    polygons = []
    for flat in points:
        if not isinstance(flat, list) or len(flat) < 6 or len(flat) % 2:
            continue
        # Above a million pixels lies no picture (and whole numbers of JSON may not fit a float).
        if not all(isinstance(value, int | float) and abs(value) < 1e6 for value in flat):
            continue
        polygons.append(np.array(flat, np.float32).reshape(-1, 2))
    return tuple(polygons)


def area_within(polygon: Polygon, hw: tuple[int, int]) -> float:
    """Square pixels of a (K, 2) polygon that lie inside a picture of height and width *hw*."""
    points = polygon.astype(np.float64)
    for axis, side in ((0, hw[1]), (1, hw[0])):
        if points.size and points[:, axis].min() < 0:
            points = _cut(points, axis, 0.0, 1.0)
        if points.size and points[:, axis].max() > side:
            points = _cut(points, axis, float(side), -1.0)
    x, y = points.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _cut(points: NDArray[np.float64], axis: int, limit: float, sign: float) -> NDArray[np.float64]:
    """The part of a polygon on one side of a line (Sutherland and Hodgman, 1974)."""
    kept: list[NDArray[np.float64]] = []
    depths = sign * (points[:, axis] - limit)
    for index in range(len(points)):
        before, depth = depths[index - 1], depths[index]
        if (before < 0) != (depth < 0):
            start = points[index - 1]
            kept.append(start + (points[index] - start) * (before / (before - depth)))
        if depth >= 0:
            kept.append(points[index])
    return np.array(kept, np.float64).reshape(-1, 2)
