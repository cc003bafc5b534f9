"""What every label format is read into: pictures with boxes, and the problems met on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Polygon = NDArray[np.float32]
Segments = tuple[tuple[Polygon, ...], ...]


class ProblemKind(str, Enum):
    """What can be wrong with a data set; the value is the sentence a person reads."""

    MISSING_PICTURE = "picture is missing"
    UNREADABLE_PICTURE = "picture cannot be decoded"
    TRUNCATED_PICTURE = "picture is cut off"
    UNREADABLE_LABELS = "label file cannot be read"
    MALFORMED_LABEL = "label is malformed"
    NOT_FINITE = "box has NaN or infinite numbers"
    ZERO_SIZE = "box has no area"
    OUTSIDE_PICTURE = "box lies outside the picture"
    UNKNOWN_CLASS = "label names an unknown class"
    UNKNOWN_PICTURE = "label names an unknown picture"
    SIZE_MISMATCH = "picture has another size than the labels say"
    REPEATED_PICTURE = "picture is listed twice"
    UNCLEAR_PICTURE = "label file may be of either of two pictures"
    SHARED_LABELS = "label file may be of another picture, too"
    BOX_CLIPPED = "box reaches outside the picture and is clipped"
    DUPLICATE_BOX = "the same box is given twice"
    SAME_PIXELS = "two pictures have identical bytes"
    EXIF_ROTATED = "picture is rotated by its EXIF tag"
    UNUSUAL_PIXELS = "picture is not 8-bit grey or RGB and is converted"
    EMPTY_CLASS = "class has no box"
    NO_LABELS = "picture has no label file (counts as background)"

    @property
    def is_error(self) -> bool:
        """True where the label or picture is left out; False where it is used as it is."""
        return self not in _WARNINGS


_WARNINGS = frozenset(
    {
        ProblemKind.BOX_CLIPPED,
        ProblemKind.DUPLICATE_BOX,
        ProblemKind.SAME_PIXELS,
        ProblemKind.EXIF_ROTATED,
        ProblemKind.UNUSUAL_PIXELS,
        ProblemKind.EMPTY_CLASS,
        ProblemKind.NO_LABELS,
    }
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, where, and the value."""

    kind: ProblemKind
    where: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.detail}" if self.detail else self.where


@dataclass(frozen=True, slots=True, eq=False)
class LabeledPicture:
    """A picture file and the objects in it.

    Attributes:
        path: The picture file.
        picture_id: Number that is unique within the data set (COCO's ``image_id``).
        hw: Height and width in pixels that the boxes refer to.
        boxes_xyxy: (N, 4) float64, x1 y1 x2 y2 in pixels, within the picture.
        class_ids: (N,) int64, indices into the data set's class names.
        crowd: (N,) bool, regions of many objects (COCO ``iscrowd``, VOC ``difficult``): left
            out of training, never counted as missed in evaluation.
        areas: (N,) float64, object area in square pixels (of the mask where one exists).
        segments: Per object its outline polygons, each (K, 2) float32 x y pixels; an empty
            tuple per object without outline.
        ignore_exif: The labels refer to the stored pixels, not to those rotated by EXIF.
    """

    path: Path
    picture_id: int
    hw: tuple[int, int]
    boxes_xyxy: NDArray[np.float64]
    class_ids: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    areas: NDArray[np.float64]
    segments: Segments
    ignore_exif: bool = False

    def __post_init__(self) -> None:
        count = len(self.boxes_xyxy)
        sizes = {len(self.class_ids), len(self.crowd), len(self.areas), len(self.segments)}
        if sizes != {count} or self.boxes_xyxy.shape != (count, 4):
            raise ValueError(f"{self.path}: {count} boxes but label arrays of lengths {sizes}")


@dataclass(frozen=True, slots=True, eq=False)
class DetectionDataset:
    """Pictures with labels, whatever format they came from.

    Attributes:
        name: What to call it in reports (the label file or folder).
        class_names: In class-id order.
        category_ids: The numbers that the label format itself gives the classes, in the same
            order (COCO's 1..90); 0, 1, 2, ... where it has none.
        pictures: In the order of the label file.
        problems: What the reader had to leave out or change.
    """

    name: str
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    pictures: tuple[LabeledPicture, ...]
    problems: tuple[Problem, ...] = ()

    def __post_init__(self) -> None:
        if len(self.category_ids) != len(self.class_names):
            raise ValueError(
                f"{len(self.class_names)} class names but {len(self.category_ids)} category ids"
            )

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def num_boxes(self) -> int:
        return sum(len(picture.boxes_xyxy) for picture in self.pictures)

    def first(self, count: int) -> DetectionDataset:
        """The same with the first *count* pictures only."""
        return replace(self, pictures=self.pictures[:count])

    def boxes_per_class(self) -> NDArray[np.int64]:
        """(C,) int64, boxes of each class, crowd regions not counted."""
        counts = np.zeros(len(self.class_names), np.int64)
        for picture in self.pictures:
            counts += np.bincount(
                picture.class_ids[~picture.crowd], minlength=len(self.class_names)
            )
        return counts


def count_problems(problems: Iterable[Problem]) -> dict[ProblemKind, int]:
    """How often each kind occurs, in the order of the enum."""
    counts = Counter(problem.kind for problem in problems)
    return {kind: counts[kind] for kind in ProblemKind if counts[kind]}
