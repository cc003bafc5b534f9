"""Rectangular evaluation: what published YOLOv7 numbers were made with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeyolo.data.labels import read_dataset
from edgeyolo.errors import UnsupportedError
from edgeyolo.evaluation.coco import ClassMatching
from edgeyolo.evaluation.rectangular import collect_rectangular
from edgeyolo.evaluation.torch_session import torch_predictor
from edgeyolo.families import FAMILIES
from edgeyolo.families.yolov7 import YOLOV7
from edgeyolo.families.yolox import YOLOX
from edgeyolo.models.zoo import build
from edgeyolo.predictor import Predictor
from edgeyolo.spec import ModelSpec
from tests.edgeyolo.data.dataset_files import coco_folder


def predictor_of(name: str) -> Predictor:
    model = build(name, 2).eval()
    rules = FAMILIES[model.family]
    spec = ModelSpec(
        model.family,
        name.partition("-")[2],
        ("cube", "ball"),
        model.strides,
        model.anchors_px,
        rules.preprocess((96, 96)),
    )
    return torch_predictor(model, spec)


def test_every_picture_is_found_once_within_its_frame(tmp_path: Path) -> None:
    coco_folder(tmp_path, count=3, hw=(48, 64))
    dataset = read_dataset(tmp_path)
    done: list[tuple[int, int]] = []
    results = collect_rectangular(
        predictor_of("yolov7-tiny"),
        dataset,
        YOLOV7.evaluation,
        matching=ClassMatching.ORDER,
        progress=lambda index, total: done.append((index, total)),
    )
    assert sorted(result.picture_id for result in results) == [10, 11, 12]
    assert done[-1] == (3, 3)
    boxes = np.concatenate([result.boxes_xyxy for result in results])
    assert len(boxes) > 0
    assert boxes.min() >= 0
    assert (boxes.max(axis=0) <= (64, 48, 64, 48)).all()


def test_other_families_are_refused(tmp_path: Path) -> None:
    coco_folder(tmp_path, count=1)
    with pytest.raises(UnsupportedError, match="not for yolox-nano"):
        collect_rectangular(predictor_of("yolox-nano"), read_dataset(tmp_path), YOLOX.evaluation)
