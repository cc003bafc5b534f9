"""Non-maximum suppression that touches only candidates; numpy alone.

Equal to torchvision's ``batched_nms`` on the CPU, rounding included: IoU in float32, suppression
where it exceeds the threshold, the earlier of two equal scores wins.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Rows per comparison: the mask of 4096 x 80 scores stays in the second-level cache.
_SCAN_ROWS = 4096
# Heads compared with all boxes at once: the bits of one uint64.
_BLOCK = 64
# Where at most one pair of so many is of the same class, only these are compared.
_SPARSE = 8
# From here on splitting by class pays: 16 000 boxes of 80 classes take 0.1 s, not 1.8 s.
_SPLIT_ABOVE = 1_000
# The official YOLOv7 evaluation looks at this many best candidates of a picture.
MAX_CANDIDATES = 30_000


@dataclass(frozen=True, slots=True, eq=False)
class Suppressed:
    """What is left, highest score first.

    Attributes:
        boxes_xyxy: (K, 4) float32, in the pixels that came in.
        scores: (K,) float32.
        class_ids: (K,) int64.
        rows: (K,) int64, where each one stood among the boxes that came in.
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)


def suppress(
    boxes_xyxy: NDArray[np.float32],
    scores: NDArray[np.float32],
    *,
    min_score: float,
    iou_threshold: float,
    max_detections: int | None = None,
    class_agnostic: bool = False,
    multi_label: bool = False,
    inclusive: bool = True,
    class_ids: Collection[int] | None = None,
) -> Suppressed:
    """Keep the best box of every object.

    Args:
        boxes_xyxy: (N, 4) float32.
        scores: (N, C) float32, contiguous for speed; NaN never passes.
        min_score: Candidates below it are dropped; 0..1.
        iou_threshold: A box that overlaps a better one by more is dropped; 0..1.
        max_detections: Stop after so many; ``None`` keeps all.
        class_agnostic: Whether boxes of different classes suppress each other.
        multi_label: Whether a box counts once for each class that passes (at most
            ``MAX_CANDIDATES`` best), or only for its best class.
        inclusive: Whether a score equal to *min_score* passes.
        class_ids: Only these classes may be returned; ``None`` for all.

    Returns:
        Copies, stably sorted by score.
    """
    _check(boxes_xyxy, scores, min_score, iou_threshold, max_detections)
    rows, classes, values = _candidates(scores, np.float32(min_score), inclusive, multi_label)
    if class_ids is not None:
        wanted = np.isin(classes, np.fromiter(class_ids, np.int64))
        rows, classes, values = rows[wanted], classes[wanted], values[wanted]
    order = np.argsort(-values, kind="stable")
    if multi_label:
        order = order[:MAX_CANDIDATES]
    rows, classes, values = rows[order], classes[order], values[order]
    boxes = boxes_xyxy[rows].astype(np.float32, copy=False)
    limit = len(order) if max_detections is None else max_detections
    kept = _survivors(boxes, None if class_agnostic else classes, iou_threshold, limit)
    return Suppressed(boxes[kept], values[kept], classes[kept], rows[kept])


def _check(
    boxes_xyxy: NDArray[np.float32],
    scores: NDArray[np.float32],
    min_score: float,
    iou_threshold: float,
    max_detections: int | None,
) -> None:
    if scores.ndim != 2 or boxes_xyxy.shape != (len(scores), 4):
        raise ValueError(
            f"boxes are (N, 4) and scores (N, C), got {boxes_xyxy.shape} and {scores.shape}"
        )
    if not 0.0 <= min_score <= 1.0:
        raise ValueError(f"min_score must be within 0..1, got {min_score}")
    if not 0.0 <= iou_threshold <= 1.0:
        raise ValueError(f"iou_threshold must be within 0..1, got {iou_threshold}")
    if max_detections is not None and max_detections < 1:
        raise ValueError(f"max_detections must be at least 1, got {max_detections}")


def _candidates(
    scores: NDArray[np.float32], min_score: np.float32, inclusive: bool, multi_label: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Row, class and score of everything that passes, ordered by row, then class."""
    num_classes = scores.shape[1]
    passes = np.greater_equal if inclusive else np.greater
    # Comparing first is five times faster than an argmax over all 8400 x 80 scores.
    found = [
        np.flatnonzero(passes(scores[start : start + _SCAN_ROWS], min_score)) + start * num_classes
        for start in range(0, len(scores), _SCAN_ROWS)
    ]
    cells = np.concatenate(found).astype(np.int64) if found else np.zeros(0, np.int64)
    rows, classes = np.divmod(cells, max(num_classes, 1))
    first = np.empty(len(rows), bool)
    first[:1] = True
    np.not_equal(rows[1:], rows[:-1], out=first[1:])
    # On usual pictures one class of a row passes, and is the best.
    if multi_label or first.all():
        return rows, classes, scores[rows, classes]
    rows = rows[first]
    sure = scores[rows]
    at = np.arange(len(rows))
    classes = sure.argmax(axis=1)
    values = sure[at, classes]
    if np.isnan(values).any():
        # argmax prefers NaN; beside a good score it must not become the best class.
        classes = np.nan_to_num(sure, nan=-np.inf).argmax(axis=1)
        values = sure[at, classes]
    return rows, classes, values


def _survivors(
    boxes_xyxy: NDArray[np.float32],
    class_ids: NDArray[np.int64] | None,
    iou_threshold: float,
    limit: int,
) -> NDArray[np.int64]:
    """Indices of the boxes that stay; *boxes_xyxy* comes best first.

    Takes a block of the best boxes that are still there, compares it with all others at once,
    drops what it suppresses, and goes on with the rest.
    """
    if class_ids is not None and len(class_ids) > _SPLIT_ABOVE:
        return _survivors_by_class(boxes_xyxy, class_ids, iou_threshold, limit)
    threshold = _float32_below(iou_threshold)
    x1, y1, x2, y2 = np.ascontiguousarray(boxes_xyxy.T)
    columns = np.stack((x1, y1, x2, y2, (x2 - x1) * (y2 - y1)))
    labels = None if class_ids is None else class_ids.astype(np.int32)
    indices = np.arange(len(boxes_xyxy))
    kept: list[int] = []
    while len(indices) and len(kept) < limit:
        overlaps = _overlaps(columns, labels, threshold)
        stay = _staying_heads(overlaps)
        kept += indices[stay].tolist()
        gone: NDArray[np.bool_] = np.any(overlaps[stay], axis=0)
        gone[: len(overlaps)] = True
        left = np.flatnonzero(~gone)
        indices, columns = indices[left], columns.take(left, axis=1)
        if labels is not None:
            labels = labels[left]
    return np.array(kept[:limit], np.int64)


def _staying_heads(overlaps: NDArray[np.bool_]) -> list[int]:
    """Which heads of a block no better one suppresses that itself stays."""
    count = len(overlaps)
    among_heads = np.zeros((count, _BLOCK), bool)
    among_heads[:, :count] = overlaps[:, :count]
    rows = np.packbits(among_heads, axis=1, bitorder="little").view("<u8")
    gone, stay = 0, []
    for head, suppressed in enumerate(rows.ravel().tolist()):
        if not gone >> head & 1:
            stay.append(head)
            gone |= suppressed
    return stay


def _survivors_by_class(
    boxes_xyxy: NDArray[np.float32],
    class_ids: NDArray[np.int64],
    iou_threshold: float,
    limit: int,
) -> NDArray[np.int64]:
    """The same, one class after the other: for the thousands of candidates of an evaluation."""
    order = np.argsort(class_ids, kind="stable")
    borders = np.flatnonzero(np.diff(class_ids[order])) + 1
    kept = [
        members[_survivors(boxes_xyxy[members], None, iou_threshold, limit)]
        for members in np.split(order, borders)
    ]
    return np.sort(np.concatenate(kept))[:limit]


def _overlaps(
    columns: NDArray[np.float32], labels: NDArray[np.int32] | None, threshold: np.float32
) -> NDArray[np.bool_]:
    """(block, n) bool: whether a head suppresses a box if it stays."""
    same: NDArray[np.bool_] | None = None
    if labels is not None:
        same = labels[:_BLOCK, None] == labels
    if same is None or np.count_nonzero(same) * _SPARSE > same.size:
        overlaps = _exceeds(columns[:, :_BLOCK, None], columns[:, None], threshold)
        if same is not None:
            overlaps &= same
        return overlaps
    pairs = np.flatnonzero(same)
    head, other = np.divmod(pairs, same.shape[1])
    one, another = columns.take(head, axis=1), columns.take(other, axis=1)
    same.ravel()[pairs] = _exceeds(one, another, threshold)
    return same


def _exceeds(
    one: NDArray[np.float32], other: NDArray[np.float32], threshold: np.float32
) -> NDArray[np.bool_]:
    """Whether the IoU exceeds *threshold*; both are x1, y1, x2, y2, area and are broadcast."""
    one_x1, one_y1, one_x2, one_y2, one_area = one
    x1, y1, x2, y2, area = other
    # In one piece: many large ones are given back to the system, and asked for again, every time.
    shape = np.broadcast_shapes(one_x1.shape, x1.shape)
    shared, height, edge = np.empty((3, *shape), np.float32)
    # Infinite boxes give NaN, which exceeds nothing: such boxes stay.
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        np.minimum(one_x2, x2, out=shared)
        shared -= np.maximum(one_x1, x1, out=edge)
        np.maximum(shared, np.float32(0), out=shared)
        np.minimum(one_y2, y2, out=height)
        height -= np.maximum(one_y1, y1, out=edge)
        np.maximum(height, np.float32(0), out=height)
        shared *= height
        union = np.add(one_area, area, out=edge)
        union -= shared
        shared /= union
        exceeds: NDArray[np.bool_] = shared > threshold
    return exceeds


def _float32_below(value: float) -> np.float32:
    """The largest float32 not above *value*: comparing with it equals comparing in double."""
    nearest = np.float32(value)
    return np.nextafter(nearest, np.float32(-1)) if float(nearest) > value else nearest
