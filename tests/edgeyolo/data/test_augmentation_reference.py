"""Augmentation equals the originals for the same draws.

Golden data: reference/prepost/yolox.json.gz (YOLOX at 6ddff48) and yolov7.json.gz (YOLOv7 at
a207844), recorded with OpenCV 5.0; another OpenCV may differ by one grey level.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeyolo.data.augment_color import HsvGains, HsvOffsets, add_hsv, multiply_hsv
from edgeyolo.data.augment_geometry import AffineDraws, PerspectiveDraws, affine, perspective
from edgeyolo.data.augment_mosaic import quarter_place
from edgeyolo.data.augment_yolox import finished
from edgeyolo.data.batches import images_tensor
from edgeyolo.data.sample import Sample
from edgeyolo.data.yolox_batches import yolox_targets
from edgeyolo.spec import ColorOrder


@pytest.fixture(scope="module")
def synth(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "synth_weights", shared / "reference/synth_weights.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def yolox(shared: Path) -> dict[str, Any]:
    return _golden(shared / "reference/prepost/yolox.json.gz")


@pytest.fixture(scope="module")
def yolov7(shared: Path) -> dict[str, Any]:
    return _golden(shared / "reference/prepost/yolov7.json.gz")


def _golden(file: Path) -> dict[str, Any]:
    document = json.loads(gzip.decompress(file.read_bytes()))
    assert isinstance(document, dict)
    return document


def _sample(frame: NDArray[np.uint8], boxes: Any, classes: Any) -> Sample:
    count = len(classes)
    return Sample(
        frame,
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(classes).astype(np.int64),
        ((),) * count,
    )


def _assert_picture(synth: ModuleType, picture: NDArray[Any], golden: dict[str, Any]) -> None:
    assert list(picture.shape) == golden["shape"]
    sampled = picture.ravel()[synth.sample_index(picture.size, 64)].astype(np.float64)
    np.testing.assert_allclose(sampled, golden["sample"], atol=1)
    assert picture.mean(dtype=np.float64) == pytest.approx(golden["mean"], abs=0.02)
    assert picture.std(dtype=np.float64) == pytest.approx(golden["std"], abs=0.02)


def test_yolox_affine_maps_and_their_boxes(synth: ModuleType, yolox: dict[str, Any]) -> None:
    assert len(yolox["random_affine"]) == 6
    for case in yolox["random_affine"]:
        draws = AffineDraws(*(draw[2] for draw in case["draws_lo_hi_value"]))
        width, height = case["target_size_wh"]
        np.testing.assert_allclose(draws.matrix((height, width)), case["M"], atol=1e-9)
        targets = np.array(case["targets_in"])
        frame = synth.synth_image(*case["image_hw"], case["image_seed"])
        moved = affine(_sample(frame, targets[:, :4], targets[:, 4]), draws, (height, width))
        np.testing.assert_allclose(
            moved.boxes_xyxy, np.array(case["targets_out"])[:, :4], atol=1e-6
        )
        _assert_picture(synth, moved.frame_bgr, case["warped"])


def test_yolox_hsv_offsets(synth: ModuleType, yolox: dict[str, Any]) -> None:
    for case in yolox["augment_hsv"]:
        gains = np.array(case["gains_before_selection"]) * case["selected"]
        assert gains.astype(np.int16).tolist() == case["int16_offsets"]
        frame = synth.synth_image(*case["hw"], case["image_seed"])
        _assert_picture(synth, add_hsv(frame, HsvOffsets(*case["int16_offsets"])), case["out"])


def test_yolox_mosaic_places(yolox: dict[str, Any]) -> None:
    assert len(yolox["mosaic_coordinate"]) == 12
    for case in yolox["mosaic_coordinate"]:
        height, width = case["input_hw"]
        place = quarter_place(
            case["index"],
            (case["xc"], case["yc"]),
            (case["h"], case["w"]),
            (2 * height, 2 * width),
        )
        assert list(place.canvas_xyxy) == case["large"]
        assert list(place.tile_xyxy) == case["small"]


def test_yolox_final_transform(synth: ModuleType, yolox: dict[str, Any]) -> None:
    assert {case["flip"] for case in yolox["train_transform"]} == {True, False}
    for case in yolox["train_transform"]:
        targets = np.array(case["targets_xyxy_cls"])
        frame = synth.synth_image(*case["hw"], case["image_seed"])
        sample = _sample(frame, targets[:, :4], targets[:, 4])
        result = finished(sample, (416, 416), offsets=None, mirror=case["flip"])
        labels = yolox_targets([result], case["max_labels"])[0].numpy()
        np.testing.assert_allclose(labels, case["labels_out"], atol=1e-4)
        images = images_tensor([result], ColorOrder.BGR)[0].numpy()
        _assert_picture(synth, images, case["out"])


def test_yolov7_perspective_maps_and_their_boxes(synth: ModuleType, yolov7: dict[str, Any]) -> None:
    assert len(yolov7["random_perspective"]) == 6
    for case in yolov7["random_perspective"]:
        draws = PerspectiveDraws(*(draw[2] for draw in case["draws_lo_hi_value"]))
        targets = np.array(case["targets_cls_xyxy"])
        border = case["args"]["border"]
        output_hw = (case["hw"][0] + 2 * border[0], case["hw"][1] + 2 * border[1])
        frame = synth.synth_image(*case["hw"], case["image_seed"])
        moved = perspective(_sample(frame, targets[:, 1:], targets[:, 0]), draws, output_hw)
        expected = np.array(case["targets_out"]).reshape(-1, 5)
        assert moved.class_ids.tolist() == expected[:, 0].astype(int).tolist()
        np.testing.assert_allclose(moved.boxes_xyxy, expected[:, 1:], atol=1e-3)  # float32 there
        _assert_picture(synth, moved.frame_bgr, case["warped"])


def test_yolov7_hsv_gains(synth: ModuleType, yolov7: dict[str, Any]) -> None:
    for case in yolov7["augment_hsv"]:
        frame = synth.synth_image(*case["hw"], case["image_seed"])
        _assert_picture(synth, multiply_hsv(frame, HsvGains(*case["gains"])), case["out"])
