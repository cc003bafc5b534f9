"""Where the errors are: confusion matrix, precision-recall curves, worst pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeyolo.data.dataset import DetectionDataset, LabeledPicture
from edgeyolo.evaluation.coco import PictureResult
from edgeyolo.evaluation.overlap import pairwise_iou


@dataclass(frozen=True, slots=True, eq=False)
class ConfusionMatrix:
    """What objects were taken for.

    Attributes:
        counts: (C + 1, C + 1) int64; row = true class, column = detected class; the last
            column counts missed objects, the last row detections of nothing.
        class_names: Of the first C rows and columns.
        min_score: Detections below were not counted.
        iou_threshold: Least overlap of a match.
    """

    counts: NDArray[np.int64]
    class_names: tuple[str, ...]
    min_score: float
    iou_threshold: float

    def worst(self, count: int = 10) -> list[tuple[str, str, int]]:
        """The most frequent mistakes: true class, detected class, how often."""
        names = (*self.class_names, "background")
        wrong = self.counts.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:count]
        cells = [np.unravel_index(cell, wrong.shape) for cell in order]
        return [
            (names[row], names[column], int(wrong[row, column]))
            for row, column in cells
            if wrong[row, column]
        ]


def confusion_matrix(
    results: Iterable[PictureResult],
    dataset: DetectionDataset,
    *,
    min_score: float = 0.25,
    iou_threshold: float = 0.45,
) -> ConfusionMatrix:
    """Match detections and objects whatever their class, best overlap first.

    Detections that lie on crowd regions are not counted as wrong.
    """
    found = {result.picture_id: result for result in results}
    size = len(dataset.class_names)
    counts = np.zeros((size + 1, size + 1), np.int64)
    for picture in dataset.pictures:
        result = found.get(picture.picture_id)
        boxes, classes, _ = _confident(result, min_score)
        pairs, left, missed = _matched(boxes, picture, iou_threshold)
        for detection, target in pairs:
            counts[picture.class_ids[target], classes[detection]] += 1
        for target in missed:
            counts[picture.class_ids[target], size] += 1
        for detection in left:
            counts[size, classes[detection]] += 1
    return ConfusionMatrix(counts, dataset.class_names, min_score, iou_threshold)


def _confident(
    result: PictureResult | None, min_score: float
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float32]]:
    if result is None:
        return np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, np.float32)
    kept = result.scores >= min_score
    return (
        result.boxes_xyxy[kept].astype(np.float64),
        result.class_ids[kept],
        result.scores[kept],
    )


def _matched(
    boxes_xyxy: NDArray[np.float64], picture: LabeledPicture, iou_threshold: float
) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Pairs (detection, object), detections of nothing, missed objects."""
    overlap = pairwise_iou(boxes_xyxy, picture.boxes_xyxy)
    on_crowd = set(np.flatnonzero((overlap[:, picture.crowd] > 0.3).any(axis=1)).tolist())
    overlap[:, picture.crowd] = 0.0
    pairs: list[tuple[int, int]] = []
    used_detections: set[int] = set()
    used_targets: set[int] = set()
    candidates = np.argwhere(overlap >= iou_threshold)
    order = np.argsort(-overlap[candidates[:, 0], candidates[:, 1]], kind="stable")
    for detection, target in candidates[order].tolist():
        if detection not in used_detections and target not in used_targets:
            pairs.append((detection, target))
            used_detections.add(detection)
            used_targets.add(target)
    left = [
        index
        for index in range(len(boxes_xyxy))
        if index not in used_detections and index not in on_crowd
    ]
    missed = [
        index for index in np.flatnonzero(~picture.crowd).tolist() if index not in used_targets
    ]
    return pairs, left, missed


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionRecall:
    """One class at IoU .5, detections from the highest score down.

    Attributes:
        class_name: Of the data set.
        scores: (N,) descending.
        precision: (N,) after each detection.
        recall: (N,) after each detection.
        best_score: Score threshold of the highest F1, ``None`` without detections.
    """

    class_name: str
    scores: NDArray[np.float32]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    best_score: float | None


def precision_recall(
    results: Iterable[PictureResult], dataset: DetectionDataset, iou_threshold: float = 0.5
) -> tuple[PrecisionRecall, ...]:
    """Curves of all classes that have objects, in class-id order."""
    found = {result.picture_id: result for result in results}
    scores: list[list[float]] = [[] for _ in dataset.class_names]
    right: list[list[bool]] = [[] for _ in dataset.class_names]
    for picture in dataset.pictures:
        result = found.get(picture.picture_id)
        if result is None:
            continue
        for class_id in np.unique(result.class_ids).tolist():
            hits = _hits(result, picture, class_id, iou_threshold)
            scores[class_id] += [score for score, _ in hits]
            right[class_id] += [hit for _, hit in hits]
    objects = dataset.boxes_per_class()
    curves = []
    for class_id, name in enumerate(dataset.class_names):
        if not objects[class_id]:
            continue
        values = np.array(scores[class_id], np.float32)
        order = np.argsort(-values, kind="stable")
        hit = np.array(right[class_id], np.bool_)[order].cumsum()
        precision = hit / np.maximum(np.arange(1, len(hit) + 1), 1)
        recall = hit / objects[class_id]
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-16)
        best = float(values[order][f1.argmax()]) if len(hit) else None
        curves.append(PrecisionRecall(name, values[order], precision, recall, best))
    return tuple(curves)


def _hits(
    result: PictureResult, picture: LabeledPicture, class_id: int, iou_threshold: float
) -> list[tuple[float, bool]]:
    """(score, right) of one picture's detections of a class; those on crowd are left out."""
    mine = np.flatnonzero(result.class_ids == class_id)
    mine = mine[np.argsort(-result.scores[mine], kind="stable")]
    targets = np.flatnonzero(picture.class_ids == class_id)
    overlap = pairwise_iou(result.boxes_xyxy[mine].astype(np.float64), picture.boxes_xyxy[targets])
    crowd = picture.crowd[targets]
    free = ~crowd
    hits = []
    for row, detection in enumerate(mine.tolist()):
        candidates = np.where(free, overlap[row], -1.0) if len(targets) else np.zeros(0)
        best = int(candidates.argmax()) if len(targets) else -1
        hit = best >= 0 and bool(candidates[best] >= iou_threshold)
        if hit:
            free[best] = False
        elif crowd.any() and overlap[row, crowd].max() >= 0.3:
            continue
        hits.append((float(result.scores[detection]), hit))
    return hits


class MistakeKind(str, Enum):
    """What went wrong in a picture."""

    MISSED = "missed"
    INVENTED = "invented"
    CONFUSED = "confused"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One error.

    Attributes:
        kind: See the enum.
        box_xyxy: Of the object, or of the detection where there is none.
        text: Class names and score.
    """

    kind: MistakeKind
    box_xyxy: tuple[float, float, float, float]
    text: str


@dataclass(frozen=True, slots=True)
class PictureMistakes:
    """A picture with its errors.

    Attributes:
        path: The picture file.
        ignore_exif: Boxes refer to the stored pixels, not to those rotated by EXIF.
        objects: How many there were to find.
        mistakes: What went wrong.
    """

    path: Path
    ignore_exif: bool
    objects: int
    mistakes: tuple[Mistake, ...]


def worst_pictures(
    results: Iterable[PictureResult],
    dataset: DetectionDataset,
    count: int = 16,
    *,
    min_score: float = 0.25,
    iou_threshold: float = 0.45,
) -> tuple[PictureMistakes, ...]:
    """The pictures with the most errors, most first."""
    found = {result.picture_id: result for result in results}
    listed = []
    for picture in dataset.pictures:
        boxes, classes, scores = _confident(found.get(picture.picture_id), min_score)
        pairs, left, missed = _matched(boxes, picture, iou_threshold)
        names = dataset.class_names
        mistakes = [
            Mistake(MistakeKind.MISSED, _tuple(picture.boxes_xyxy[i]), names[picture.class_ids[i]])
            for i in missed
        ]
        mistakes += [
            Mistake(MistakeKind.INVENTED, _tuple(boxes[i]), f"{names[classes[i]]} {scores[i]:.2f}")
            for i in left
        ]
        mistakes += [
            Mistake(
                MistakeKind.CONFUSED,
                _tuple(boxes[i]),
                f"{names[picture.class_ids[k]]} taken for {names[classes[i]]} {scores[i]:.2f}",
            )
            for i, k in pairs
            if picture.class_ids[k] != classes[i]
        ]
        objects = int((~picture.crowd).sum())
        listed.append(PictureMistakes(picture.path, picture.ignore_exif, objects, tuple(mistakes)))
    listed.sort(key=lambda item: -len(item.mistakes))
    return tuple(item for item in listed[:count] if item.mistakes)


def _tuple(box: NDArray[np.float64]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box.tolist()
    return x1, y1, x2, y2
