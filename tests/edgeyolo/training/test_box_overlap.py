"""Overlaps against the official routines: reference/prepost."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgeyolo.training.box_overlap import complete_iou, giou_loss, pairwise_iou, squared_iou_loss


def prepost(shared: Path, family: str) -> dict[str, Any]:
    path = shared / "reference" / "prepost" / f"{family}.json.gz"
    content: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return content


def test_iou_and_ciou_of_yolov7_are_reproduced(shared: Path) -> None:
    case = prepost(shared, "yolov7")["bbox_iou_xywh_pairwise"]
    first, second = torch.tensor(case["a"]), torch.tensor(case["b"])
    expected = {key.lower(): np.array(value) for key, value in case.items() if key not in "ab"}
    np.testing.assert_allclose(complete_iou(first, second), expected["ciou"], rtol=1e-5, atol=1e-7)
    ours = pairwise_iou(first, second).diagonal()
    np.testing.assert_allclose(ours, expected["iou"], rtol=1e-5, atol=1e-7)


def test_iou_matrix_of_yolox_is_reproduced(shared: Path) -> None:
    case = prepost(shared, "yolox")["bboxes_iou_cxcywh"]
    first, second = torch.tensor(case["a"]), torch.tensor(case["b"])
    expected = np.array(case[next(key for key in case if key not in "ab")])
    np.testing.assert_allclose(pairwise_iou(first, second), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("name", "loss"), [("iou", squared_iou_loss), ("giou", giou_loss)])
def test_box_losses_of_yolox_are_reproduced(shared: Path, name: str, loss: Any) -> None:
    content = prepost(shared, "yolox")
    first = torch.tensor(content["bboxes_iou_cxcywh"]["a"])
    second = torch.tensor(content["bboxes_iou_cxcywh"]["b"])[:6]
    np.testing.assert_allclose(loss(first, second), content["iou_loss"][name], rtol=1e-5)
