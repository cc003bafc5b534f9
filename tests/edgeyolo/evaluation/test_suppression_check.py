"""A right answer passes however ties were settled; each kind of wrong one is named."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeyolo.contract import Thresholds
from edgeyolo.evaluation.suppression_check import TOLERANCE, suppression_fault
from edgeyolo.spec import Precision
from edgeyolo.suppression import suppress

THRESHOLDS = Thresholds(min_score=0.25, iou_threshold=0.45, max_detections=20)
EXACT = TOLERANCE[Precision.FP32]
Rows = NDArray[np.float32]


def crowd(seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """400 boxes of 3 classes; scores in steps of 0.05, so that many are equal."""
    draw = np.random.default_rng(seed)
    corner, size = draw.uniform(0, 200, (400, 2)), draw.uniform(20, 80, (400, 2))
    boxes = np.hstack([corner, corner + size]).astype(np.float32)
    return boxes, (draw.integers(0, 14, (400, 3)) / 20).astype(np.float32)


def rows_of(boxes: NDArray[np.float32], scores: NDArray[np.float32], most: int) -> Rows:
    found = suppress(
        boxes, scores, min_score=0.25, iou_threshold=0.45, max_detections=most, inclusive=True
    )
    picture = np.zeros((len(found.scores), 1), np.float32)
    class_ids = found.class_ids[:, None].astype(np.float32)
    return np.hstack([picture, found.boxes_xyxy, found.scores[:, None], class_ids])


@pytest.mark.parametrize("seed", range(8))
def test_ties_may_be_settled_in_any_order(seed: int) -> None:
    boxes, scores = crowd(seed)
    order = np.random.default_rng(seed + 100).permutation(len(boxes))
    rounding = np.random.default_rng(seed + 200).uniform(-1e-5, 1e-5, scores.shape)
    one, other = rows_of(boxes, scores, 300), rows_of(boxes[order], scores[order], 300)
    other[:, 5] += rounding[: len(other), 0].astype(np.float32)
    assert {tuple(row) for row in one.tolist()} != {tuple(row) for row in other.tolist()}
    thresholds = Thresholds(min_score=0.25, iou_threshold=0.45, max_detections=300)
    for rows in (one, other):
        assert suppression_fault(boxes, scores, rows, thresholds, EXACT) is None


def test_only_so_many_of_a_class_are_asked_for() -> None:
    boxes, scores = crowd(3)
    scores[:, 1:] = 0
    rows = rows_of(boxes, scores, 20)
    assert len(rows) == 20
    assert suppression_fault(boxes, scores, rows, THRESHOLDS, EXACT) is None
    fault = suppression_fault(boxes, scores, rows[:-1], THRESHOLDS, EXACT)
    assert fault is not None
    assert "loses a box" in fault


def moved(rows: Rows) -> Rows:
    rows[2, 1:5] += 5
    return rows


def surer(rows: Rows) -> Rows:
    rows[2, 5] += 0.02
    return rows


def of_another_class(rows: Rows) -> Rows:
    rows[2, 6] = 7
    return rows


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (moved, "keeps a box of score"),
        (surer, "keeps a box of score"),
        (of_another_class, "classes that the model does not have"),
        (lambda rows: np.vstack([rows, rows[2:3]]), "overlap by 1.000"),
        (lambda rows: np.delete(rows, 2, axis=0), "loses a box of score"),
        (lambda rows: rows[:0], "loses a box of score"),
    ],
)
def test_wrong_rows_are_named(spoil: Callable[[Rows], Rows], said: str) -> None:
    boxes, scores = crowd(5)
    thresholds = Thresholds(min_score=0.25, iou_threshold=0.45, max_detections=300)
    rows = spoil(rows_of(boxes, scores, 300))
    fault = suppression_fault(boxes, scores, rows, thresholds, EXACT)
    assert fault is not None
    assert said in fault


def test_an_empty_picture_has_no_rows() -> None:
    boxes, scores = crowd(6)
    rows = np.zeros((0, 7), np.float32)
    assert suppression_fault(boxes, scores * 0.3, rows, THRESHOLDS, EXACT) is None
