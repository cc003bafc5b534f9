"""The AP routine that YOLOv7's own tools print during training.

Not COCO's: 101-point trapezoid, every detection counted, and (by default) a recall sentinel
just behind the last recall. Kept to compare training logs and to choose the best checkpoint as
the original does; published numbers come from :mod:`edgeyolo.evaluation.coco`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeyolo.data.dataset import DetectionDataset
from edgeyolo.evaluation.coco import PictureResult
from edgeyolo.evaluation.overlap import pairwise_iou

IOU_LEVELS = np.linspace(0.5, 0.95, 10)
_TINY = 1e-16
_CONFIDENCES = 1000
_RECALL_POINTS = 101
# Weights of precision, recall, AP50 and AP in the number that chooses the best checkpoint.
FITNESS_WEIGHTS = (0.0, 0.0, 0.1, 0.9)


@dataclass(frozen=True, slots=True, eq=False)
class BuiltinAccuracy:
    """Accuracy per class that occurs among the targets, in ascending class id.

    Attributes:
        class_ids: (K,) int64.
        precision: (K,) at the confidence of the highest mean F1, IoU .5.
        recall: (K,) at the same confidence.
        f1: (K,) at the same confidence.
        ap: (K, 10) at IoU .50:.05:.95.
    """

    class_ids: NDArray[np.int64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    ap: NDArray[np.float64]

    @property
    def ap50(self) -> float:
        return float(self.ap[:, 0].mean()) if len(self.ap) else 0.0

    @property
    def mean_ap(self) -> float:
        return float(self.ap.mean()) if len(self.ap) else 0.0

    @property
    def fitness(self) -> float:
        """0.1 AP50 + 0.9 AP."""
        if not len(self.ap):
            return 0.0
        numbers = (self.precision.mean(), self.recall.mean(), self.ap50, self.mean_ap)
        return float(np.dot(numbers, FITNESS_WEIGHTS))


def builtin_accuracy(
    correct: NDArray[np.bool_],
    scores: NDArray[np.float32],
    class_ids: NDArray[np.int64],
    target_class_ids: NDArray[np.int64],
    *,
    v5_metric: bool = False,
) -> BuiltinAccuracy:
    """AP from matched detections of a whole data set.

    Args:
        correct: (N, L) bool, whether a detection is right at each IoU level.
        scores: (N,).
        class_ids: (N,) of the detections.
        target_class_ids: (T,) of all objects.
        v5_metric: Close the precision-recall curve at recall 1 instead of just behind its end.
    """
    order = np.argsort(-scores)
    correct, scores, class_ids = correct[order], scores[order], class_ids[order]
    classes = np.unique(target_class_ids)
    levels = correct.shape[1]
    ap = np.zeros((len(classes), levels))
    precision = np.zeros((len(classes), _CONFIDENCES))
    recall = np.zeros((len(classes), _CONFIDENCES))
    confidences = np.linspace(0, 1, _CONFIDENCES)
    for row, class_id in enumerate(classes):
        mine = class_ids == class_id
        objects = int((target_class_ids == class_id).sum())
        if not mine.any() or not objects:
            continue
        right = correct[mine].cumsum(axis=0)
        wrong = (~correct[mine]).cumsum(axis=0)
        recalls = right / (objects + _TINY)
        precisions = right / (right + wrong)
        # np.interp wants ascending abscissae; scores descend.
        recall[row] = np.interp(-confidences, -scores[mine], recalls[:, 0], left=0)
        precision[row] = np.interp(-confidences, -scores[mine], precisions[:, 0], left=1)
        for level in range(levels):
            ap[row, level] = _area(recalls[:, level], precisions[:, level], v5_metric)
    f1 = 2 * precision * recall / (precision + recall + _TINY)
    best = int(f1.mean(axis=0).argmax()) if len(classes) else 0
    return BuiltinAccuracy(
        classes.astype(np.int64), precision[:, best], recall[:, best], f1[:, best], ap
    )


def _area(recall: NDArray[np.float64], precision: NDArray[np.float64], v5_metric: bool) -> float:
    last = 1.0 if v5_metric else recall[-1] + 0.01
    recalls = np.concatenate(([0.0], recall, [last]))
    precisions = np.concatenate(([1.0], precision, [0.0]))
    envelope = np.maximum.accumulate(precisions[::-1])[::-1]
    points = np.linspace(0, 1, _RECALL_POINTS)
    heights = np.interp(points, recalls, envelope)
    # numpy renamed trapz in 2.0; with equal steps the sum is as short.
    return float(((heights[1:] + heights[:-1]) * np.diff(points) / 2).sum())


def correct_detections(
    boxes_xyxy: NDArray[np.float64],
    class_ids: NDArray[np.int64],
    target_boxes_xyxy: NDArray[np.float64],
    target_class_ids: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """(N, 10) bool: is each detection of one picture right at each IoU level?

    Detections come best first. Each looks at the object of its class that it overlaps most; it
    is right if that object was not taken before and the IoU exceeds the level.
    """
    correct = np.zeros((len(boxes_xyxy), len(IOU_LEVELS)), np.bool_)
    if not len(boxes_xyxy) or not len(target_boxes_xyxy):
        return correct
    overlap = pairwise_iou(boxes_xyxy, target_boxes_xyxy)
    overlap[class_ids[:, None] != target_class_ids] = -1.0
    best = overlap.argmax(axis=1)
    taken: set[int] = set()
    for index, target in enumerate(best.tolist()):
        iou = overlap[index, target]
        if iou > IOU_LEVELS[0] and target not in taken:
            taken.add(target)
            correct[index] = iou > IOU_LEVELS
    return correct


def evaluate_builtin(
    results: Iterable[PictureResult], dataset: DetectionDataset, *, v5_metric: bool = False
) -> BuiltinAccuracy:
    """The routine over a data set; crowd regions are left out."""
    found = {result.picture_id: result for result in results}
    correct, scores, classes, targets = [], [], [], []
    for picture in dataset.pictures:
        single = ~picture.crowd
        targets.append(picture.class_ids[single])
        result = found.get(picture.picture_id)
        if result is None:
            continue
        order = np.argsort(-result.scores, kind="stable")
        boxes = result.boxes_xyxy[order].astype(np.float64)
        correct.append(
            correct_detections(
                boxes,
                result.class_ids[order],
                picture.boxes_xyxy[single],
                picture.class_ids[single],
            )
        )
        scores.append(result.scores[order])
        classes.append(result.class_ids[order])
    return builtin_accuracy(
        np.concatenate([np.zeros((0, len(IOU_LEVELS)), np.bool_), *correct]),
        np.concatenate([np.zeros(0, np.float32), *scores]),
        np.concatenate([np.zeros(0, np.int64), *classes]),
        np.concatenate([np.zeros(0, np.int64), *targets]),
        v5_metric=v5_metric,
    )
