"""Non-maximum suppression against the official tools and against its definition.

Golden numbers: YOLOX 6ddff48 and YOLOv7 a207844, recorded in ``reference/prepost``.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from edgeyolo import suppression
from edgeyolo.suppression import Suppressed, suppress

Boxes = NDArray[np.float32]


def reference(shared: Path, family: str) -> tuple[dict[str, Any], Any]:
    folder = shared / "reference" / "prepost"
    record = json.loads(gzip.decompress((folder / f"{family}.json.gz").read_bytes()))
    return record["nms"], np.load(folder / f"{family}.npz")


def corners(predicted: NDArray[np.float32]) -> Boxes:
    """cx, cy, w, h as the official tools turn them into corners."""
    half = predicted[:, 2:4] / np.float32(2)
    return np.concatenate((predicted[:, :2] - half, predicted[:, :2] + half), axis=1)


def rows(result: Suppressed) -> NDArray[np.float32]:
    return np.column_stack((result.boxes_xyxy, result.scores, result.class_ids.astype("f4")))


def test_every_yolox_case_is_reproduced(shared: Path) -> None:
    cases, stored = reference(shared, "yolox")
    compared = 0
    for name, case in cases.items():
        if name.startswith("multiclass_nms"):
            continue
        for index, predicted in enumerate(stored[f"{name}/pred"]):
            result = suppress(
                corners(predicted),
                predicted[:, 4:5] * predicted[:, 5:],
                min_score=case["conf_thre"],
                iou_threshold=case["nms_thre"],
                class_agnostic=case["class_agnostic"],
            )
            assert len(result) == case["counts"][index], name
            if case["none"][index]:
                continue
            official = stored[f"{name}/out{index}"]
            expected = np.column_stack(
                (official[:, :4], official[:, 4] * official[:, 5], official[:, 6])
            )
            assert_array_equal(rows(result), expected, err_msg=name)
            compared += len(result)
    assert compared == 176 + 155 + 126 + 115 + 2 + 1480 + 365 + 68


def test_every_yolov7_case_is_reproduced(shared: Path) -> None:
    cases, stored = reference(shared, "yolov7")
    assert len(cases) == 12
    for name, case in cases.items():
        for index, predicted in enumerate(stored[f"{name}/pred"]):
            objectness, classes = predicted[:, 4:5], predicted[:, 5:]
            result = suppress(
                corners(predicted),
                objectness if classes.shape[1] == 1 else objectness * classes,
                min_score=case["conf_thres"],
                iou_threshold=case["iou_thres"],
                max_detections=300,
                class_agnostic=case.get("agnostic", False),
                multi_label=case.get("multi_label", False),
                inclusive=False,
                class_ids=case.get("classes"),
            )
            assert len(result) == case["counts"][index], name
            if len(result):
                assert_array_equal(rows(result), stored[f"{name}/out{index}"], err_msg=name)


def test_the_demo_of_yolox_is_this_suppression_on_boxes_one_pixel_larger(shared: Path) -> None:
    # Its areas and intersections count "+1 pixel", which is what moving the far corner does.
    cases, stored = reference(shared, "yolox")
    boxes, scores = stored["multiclass_nms/boxes"], stored["multiclass_nms/scores"]
    larger = boxes + np.array([0, 0, 1, 1], np.float32)
    seen = 0
    for name, case in cases.items():
        if not name.startswith("multiclass_nms/"):
            continue
        seen += 1
        agnostic, iou, score = name.removeprefix("multiclass_nms/").split("_")
        result = suppress(
            larger,
            scores,
            min_score=float(score.removeprefix("score")),
            iou_threshold=float(iou.removeprefix("nms")),
            class_agnostic=agnostic == "agnostic1",
            multi_label=agnostic == "agnostic0",
            inclusive=False,
        )
        assert len(result) == case["n"], name
        if case["none"]:
            continue
        table = rows(result)
        # The demo lists class after class.
        if agnostic == "agnostic0":
            table = table[np.argsort(result.class_ids, kind="stable")]
        table[:, 2:4] -= 1
        np.testing.assert_allclose(table, stored[name], rtol=1e-6, atol=1e-4, err_msg=name)
    assert seen == 6


def by_definition(
    boxes: Boxes,
    scores: Boxes,
    min_score: float,
    iou_threshold: float,
    class_agnostic: bool,
    multi_label: bool,
    inclusive: bool,
) -> list[tuple[int, int]]:
    """Row and class of every survivor, by the textbook loop; boxes have whole coordinates."""
    candidates = []
    for row, values in enumerate(scores):
        labels = range(len(values)) if multi_label else [int(np.argmax(values))]
        for label in labels:
            value = values[label]
            if value > np.float32(min_score) or (inclusive and value == np.float32(min_score)):
                candidates.append((float(value), row, label))
    whole = boxes.astype(int).tolist()
    kept: list[tuple[int, int]] = []
    for _, row, label in sorted(candidates, key=lambda item: -item[0]):
        a = whole[row]
        for other, other_label in kept:
            if label != other_label and not class_agnostic:
                continue
            b = whole[other]
            width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
            height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
            area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
            union = area - width * height
            # Rounded once to float32, then compared in double, as torchvision does.
            if union and float(np.float32(width * height) / np.float32(union)) > iou_threshold:
                break
        else:
            kept.append((row, label))
    return kept


# Coarse numbers on purpose: many equal scores, equal boxes and overlaps exactly at the threshold.
coarse_boxes = st.integers(0, 100).flatmap(
    lambda count: arrays(np.float32, (count, 4), elements=st.integers(0, 6).map(float))
)


@given(
    corners_and_sizes=coarse_boxes,
    seed=st.integers(0, 2**32 - 1),
    num_classes=st.integers(1, 4) | st.just(40),
    min_score=st.sampled_from([0.0, 0.25, 0.3, 1.0]),
    iou_threshold=st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.45, 1.0]),
    class_agnostic=st.booleans(),
    multi_label=st.booleans(),
    inclusive=st.booleans(),
)
def test_survivors_are_those_of_the_definition(
    corners_and_sizes: Boxes,
    seed: int,
    num_classes: int,
    min_score: float,
    iou_threshold: float,
    class_agnostic: bool,
    multi_label: bool,
    inclusive: bool,
) -> None:
    boxes = corners_and_sizes.copy()
    boxes[:, 2:] += boxes[:, :2]
    levels = np.random.default_rng(seed).integers(0, 20, (len(boxes), num_classes))
    scores = (levels / 20).astype(np.float32)
    expected = by_definition(
        boxes, scores, min_score, iou_threshold, class_agnostic, multi_label, inclusive
    )
    result = suppress(
        boxes,
        scores,
        min_score=min_score,
        iou_threshold=iou_threshold,
        class_agnostic=class_agnostic,
        multi_label=multi_label,
        inclusive=inclusive,
    )
    expected_rows = [row for row, _ in expected]
    assert_array_equal(result.boxes_xyxy, boxes[expected_rows].reshape(-1, 4))
    assert result.class_ids.tolist() == [label for _, label in expected]
    limited = suppress(
        boxes,
        scores,
        min_score=min_score,
        iou_threshold=iou_threshold,
        class_agnostic=class_agnostic,
        multi_label=multi_label,
        inclusive=inclusive,
        max_detections=5,
    )
    assert_array_equal(rows(limited), rows(result)[:5])


def test_thousands_of_candidates_give_the_same_as_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(3)
    corner = rng.integers(0, 60, (3000, 2))
    far = corner + rng.integers(4, 20, (3000, 2))
    boxes = np.concatenate((corner, far), axis=1).astype(np.float32)
    scores = rng.integers(0, 200, (3000, 5)).astype(np.float32) / np.float32(200)
    for limit in (None, 7, 300):
        results = []
        for split_above in (10, 10**9):
            monkeypatch.setattr(suppression, "_SPLIT_ABOVE", split_above)
            results.append(
                suppress(
                    boxes,
                    scores,
                    min_score=0.3,
                    iou_threshold=0.5,
                    max_detections=limit,
                    multi_label=True,
                )
            )
        assert_array_equal(rows(results[0]), rows(results[1]))
        assert len(results[0]) == (limit or len(results[0])) > 0


@pytest.mark.parametrize("num_classes", [1, 7, 80])
def test_comparing_all_pairs_gives_the_same_as_those_of_a_class(
    monkeypatch: pytest.MonkeyPatch, num_classes: int
) -> None:
    rng = np.random.default_rng(num_classes)
    corner = rng.uniform(0, 60, (700, 2))
    boxes = np.concatenate((corner, corner + rng.uniform(1, 30, (700, 2))), axis=1).astype("f4")
    boxes[::50, 2] = np.inf
    scores = np.zeros((700, num_classes), np.float32)
    scores[np.arange(700), rng.integers(0, num_classes, 700)] = rng.uniform(0.3, 1, 700)
    results = []
    for sparse in (0, 10**9):
        monkeypatch.setattr(suppression, "_SPARSE", sparse)
        results.append(suppress(boxes, scores, min_score=0.3, iou_threshold=0.45))
    assert_array_equal(rows(results[0]), rows(results[1]))
    assert 14 < len(results[0]) < 700


def test_nothing_in_gives_nothing_out() -> None:
    for count, classes in [(0, 80), (100, 3)]:
        result = suppress(
            np.zeros((count, 4), np.float32),
            np.zeros((count, classes), np.float32),
            min_score=0.25,
            iou_threshold=0.45,
        )
        assert result.boxes_xyxy.shape == (0, 4)
        assert result.boxes_xyxy.dtype == np.float32
        assert result.scores.dtype == np.float32
        assert result.class_ids.dtype == np.int64


def test_broken_numbers_neither_pass_nor_crash() -> None:
    boxes = np.array([[0, 0, 9, 9], [np.nan] * 4, [-np.inf, 0, np.inf, 9], [1, 1, 9, 9]], "f4")
    scores = np.array([[0.9, np.nan], [np.nan, np.nan], [0.8, 0.1], [np.nan, 0.7]], "f4")
    result = suppress(boxes, scores, min_score=0.25, iou_threshold=0.45)
    assert result.class_ids.tolist() == [0, 0, 1]
    assert result.scores.tolist() == np.array([0.9, 0.8, 0.7], np.float32).tolist()


def test_results_do_not_share_memory_with_the_network_output() -> None:
    boxes, scores = np.ones((5, 4), np.float32), np.ones((5, 2), np.float32)
    result = suppress(boxes, scores, min_score=0.5, iou_threshold=0.5)
    for array in (result.boxes_xyxy, result.scores):
        assert not np.shares_memory(array, boxes)
        assert not np.shares_memory(array, scores)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"min_score": 1.5}, "min_score"),
        ({"min_score": float("nan")}, "min_score"),
        ({"iou_threshold": -0.1}, "iou_threshold"),
        ({"max_detections": 0}, "max_detections"),
    ],
)
def test_impossible_thresholds_are_refused(changed: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {"min_score": 0.5, "iou_threshold": 0.5, **changed}
    with pytest.raises(ValueError, match=message):
        suppress(np.zeros((1, 4), np.float32), np.zeros((1, 2), np.float32), **settings)


def test_boxes_and_scores_must_belong_together() -> None:
    with pytest.raises(ValueError, match=r"\(3, 4\) and \(2, 5\)"):
        suppress(
            np.zeros((3, 4), np.float32),
            np.zeros((2, 5), np.float32),
            min_score=0.5,
            iou_threshold=0.5,
        )
