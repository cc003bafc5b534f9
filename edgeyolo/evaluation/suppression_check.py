"""Is what a file's own suppression keeps a right answer to the outputs before it?

Two runs of one network differ in last digits, and among objects that overlap and are equally sure
either may win. So results are not compared; the one is held against the definition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeyolo.contract import Thresholds
from edgeyolo.evaluation.overlap import pairwise_iou
from edgeyolo.spec import Precision

# Only so many of the surest boxes and rows are looked at: only untrained networks have more.
_MOST_BOXES, _MOST_ROWS = 1024, 300
# Added to the side of a box, so that tiny ones are not asked for tiny errors, in pixels.
_STRIDE = 32.0


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What two runs of the same network may differ by.

    Attributes:
        score: Of a class.
        box: Of a corner, relative to the box's longer side plus 32 px.
        iou: That follows from *box*.
    """

    score: float
    box: float
    iou: float


TOLERANCE = {
    Precision.FP32: Tolerance(score=1e-3, box=1e-3, iou=4e-3),
    Precision.FP16: Tolerance(score=0.05, box=0.02, iou=0.08),
    Precision.INT8: Tolerance(score=0.05, box=0.02, iou=0.08),
}


def suppression_fault(
    boxes_xyxy: NDArray[np.float32],
    scores: NDArray[np.float32],
    rows: NDArray[np.float32],
    thresholds: Thresholds,
    tolerance: Tolerance,
) -> str | None:
    """What is wrong with the rows that a picture got, or ``None``.

    Args:
        boxes_xyxy: (N, 4) in network pixels, before suppression.
        scores: (N, C); a box counts for its best class.
        rows: (K, 7) picture, x1, y1, x2, y2, score, class; those with a score below the
            threshold hold nothing.
        thresholds: Inside the file; ``max_detections`` is for each class.
    """
    boxes = boxes_xyxy.astype(np.float64)
    rows = rows[rows[:, 5] >= thresholds.min_score]
    rows = rows[np.argsort(-rows[:, 5], kind="stable")]
    kept_boxes, kept_scores = rows[:, 1:5].astype(np.float64), rows[:, 5]
    kept_classes = rows[:, 6].astype(np.int64)
    if ((kept_classes < 0) | (kept_classes >= scores.shape[1])).any():
        return "it gives classes that the model does not have"
    # Each row is one of the boxes, with its score and class.
    for box, score, class_id in zip(
        kept_boxes[:_MOST_ROWS], kept_scores, kept_classes, strict=False
    ):
        near = _near(boxes, box, tolerance)
        if not (near & (np.abs(scores[:, class_id] - score) <= tolerance.score)).any():
            return f"it keeps a box of score {score:.3f} that the network does not give"
    # No two of a class overlap.
    best = slice(0, _MOST_ROWS)
    overlaps = pairwise_iou(kept_boxes[best], kept_boxes[best])
    np.fill_diagonal(overlaps, 0.0)
    overlaps[kept_classes[best, None] != kept_classes[None, best]] = 0.0
    if overlaps.size and overlaps.max() > thresholds.iou_threshold + tolerance.iou:
        return f"it keeps boxes of a class that overlap by {overlaps.max():.3f}"
    # Every sure box is there, or overlaps a surer one that is.
    sure = scores.max(axis=1)
    order = np.argsort(-sure, kind="stable")[:_MOST_BOXES]
    order = order[sure[order] > thresholds.min_score + tolerance.score]
    for index in order:
        least = sure[index] - tolerance.score
        own = np.flatnonzero(
            (kept_scores >= least) & np.isin(kept_classes, np.flatnonzero(scores[index] >= least))
        )
        if len(own) >= thresholds.max_detections:
            continue  # the places of its class are taken by surer ones
        box = boxes[index]
        overlap = pairwise_iou(box[None], kept_boxes[own])[0]
        if not (
            (overlap > thresholds.iou_threshold - tolerance.iou)
            | _near(kept_boxes[own], box, tolerance)
        ).any():
            return f"it loses a box of score {sure[index]:.3f} that nothing surer overlaps"
    return None


def _near(
    boxes_xyxy: NDArray[np.float64], box_xyxy: NDArray[np.float64], tolerance: Tolerance
) -> NDArray[np.bool_]:
    """(N,) which boxes are *box_xyxy* up to rounding."""
    side = float((box_xyxy[2:] - box_xyxy[:2]).max()) + _STRIDE
    near: NDArray[np.bool_] = np.abs(boxes_xyxy - box_xyxy).max(axis=1) <= tolerance.box * side
    return near
