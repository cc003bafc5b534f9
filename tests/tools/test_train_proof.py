"""The proof of training chooses its eight pictures by a rule, and reads losses as it says."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from edgeyolo.data.labels import read_dataset
from edgeyolo.models.zoo import VARIANTS
from edgeyolo.training.request import TrainingRequest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def train_proof() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_proof", ROOT / "benchmarks/train_proof.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["train_proof"] = module
    spec.loader.exec_module(module)
    return module


def test_pictures_whose_smallest_object_is_largest_are_chosen(
    train_proof: ModuleType, tmp_path: Path
) -> None:
    """Pictures with crowds or without objects do not count; of equal ones the lower id does."""
    sides = {1: [20], 2: [40, 5], 3: [], 4: [30], 5: [20], 6: [10]}
    source = tmp_path / "source"
    (source / "images").mkdir(parents=True)
    images, boxes = [], []
    for number, widths in sides.items():
        name = f"{number}.png"
        cv2.imwrite(str(source / "images" / name), np.full((48, 64, 3), number, np.uint8))
        images.append({"id": number, "file_name": name, "width": 64, "height": 48})
        boxes += [(number, width, 0) for width in widths]
    boxes.append((6, 45, 1))
    annotations = [
        {
            "id": index,
            "image_id": number,
            "category_id": 1,
            "bbox": [1, 1, width, 10],
            "area": 10 * width,
            "iscrowd": crowd,
        }
        for index, (number, width, crowd) in enumerate(boxes)
    ]
    categories = [{"id": 1, "name": "box"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (source / "instances.json").write_text(json.dumps(content))
    train_proof.largest_smallest(source, tmp_path / "chosen", 2)
    found = read_dataset(tmp_path / "chosen")
    assert sorted(picture.picture_id for picture in found.pictures) == [1, 4]


def test_every_part_is_a_training_that_can_be_asked_for(train_proof: ModuleType) -> None:
    for part in train_proof.PARTS.values():
        assert part.model in VARIANTS
        request = TrainingRequest(
            model=part.model,
            data="",
            epochs=part.epochs,
            batch=part.batch,
            output="",
            input_hw=(part.size, part.size),
            weights=part.weights,
            settings=part.settings,
        )
        augmentation = request.plan().recipe.augmentation
        assert (augmentation.mosaic == 0) is part.eight
    row = {"loss/total": "3.5", "loss/l1": "1.25"}
    assert train_proof.loss(row) == 2.25
    assert train_proof.loss({"loss/total": "3.5"}) == 3.5
