"""YOLOv7's own AP routine, equal to the original.

Golden data: ``ap/...`` of reference/prepost/yolov7.npz (YOLOv7 at a207844).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeyolo.evaluation.average_precision import builtin_accuracy, correct_detections


@pytest.mark.parametrize("v5_metric", [False, True])
def test_the_recorded_case_is_reproduced(shared: Path, v5_metric: bool) -> None:
    golden = np.load(shared / "reference/prepost/yolov7.npz")
    found = builtin_accuracy(
        golden["ap/tp"],
        golden["ap/conf"],
        golden["ap/pred_cls"].astype(np.int64),
        golden["ap/target_cls"].astype(np.int64),
        v5_metric=v5_metric,
    )
    prefix = f"ap/v5_{int(v5_metric)}"
    np.testing.assert_array_equal(found.class_ids, golden[f"{prefix}/classes"])
    np.testing.assert_allclose(found.ap, golden[f"{prefix}/ap"], atol=1e-12)
    np.testing.assert_allclose(found.precision, golden[f"{prefix}/p"], atol=1e-12)
    np.testing.assert_allclose(found.recall, golden[f"{prefix}/r"], atol=1e-12)
    np.testing.assert_allclose(found.f1, golden[f"{prefix}/f1"], atol=1e-12)
    assert found.fitness == pytest.approx(0.1 * found.ap50 + 0.9 * found.mean_ap)


def test_the_second_detection_of_an_object_is_wrong() -> None:
    target = np.array([[0.0, 0.0, 10.0, 10.0]])
    boxes = np.array([[0.0, 0.0, 10.0, 8.0], [0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 10.0]])
    correct = correct_detections(boxes, np.array([1, 1, 0]), target, np.array([1]))
    assert correct[0].tolist() == [True] * 6 + [False] * 4  # IoU .8 exceeds .50 ... .75
    assert not correct[1:].any()


def test_no_detection_and_no_object_give_nothing() -> None:
    none = np.zeros(0, np.int64)
    empty = builtin_accuracy(np.zeros((0, 10), bool), np.zeros(0, np.float32), none, none)
    assert empty.fitness == 0.0
    missed = builtin_accuracy(np.zeros((0, 10), bool), np.zeros(0, np.float32), none, np.array([3]))
    assert missed.ap.tolist() == [[0.0] * 10]
