"""Our COCO numbers are pycocotools' numbers."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from edgeyolo.data.dataset import DetectionDataset
from edgeyolo.data.labels import read_dataset
from edgeyolo.detections import Detections
from edgeyolo.errors import DatasetError
from edgeyolo.evaluation.coco import (
    ClassMatching,
    Frame,
    PictureResult,
    class_mapping,
    coco_report,
    coco_results,
    evaluate,
)
from tests.edgeyolo.data.dataset_files import coco_folder, save_json


def imperfect_results(dataset: DetectionDataset, seed: int) -> list[PictureResult]:
    """Ground truth with noise, misses, wrong classes and inventions."""
    rng = np.random.default_rng(seed)
    results = []
    for picture in dataset.pictures:
        count = len(picture.boxes_xyxy)
        found = rng.random(count) < 0.8
        sides = (picture.boxes_xyxy[:, 2:] - picture.boxes_xyxy[:, :2]).repeat(2, axis=1)
        boxes = picture.boxes_xyxy + rng.normal(0, 0.08, (count, 4)) * sides.reshape(-1, 4)
        classes = np.where(
            rng.random(count) < 0.1,
            rng.integers(0, len(dataset.class_names), count),
            picture.class_ids,
        )
        invented_xy = rng.random((20, 2)) * (picture.hw[1], picture.hw[0])
        invented = np.concatenate((invented_xy, invented_xy + rng.random((20, 2)) * 90 + 4), axis=1)
        all_boxes = np.concatenate((boxes[found], invented)).astype(np.float32)
        worth = np.repeat((1.0, 0.3), (found.sum(), 20))
        results.append(
            PictureResult(
                picture.picture_id,
                all_boxes,
                # Two decimals make many equal scores: their order matters, too.
                np.round(rng.random(len(all_boxes)) * worth, 2).astype(np.float32),
                np.concatenate((classes[found], rng.integers(0, len(dataset.class_names), 20))),
            )
        )
    return results


@pytest.mark.parametrize("seed", [1, 2])
def test_the_twelve_numbers_equal_pycocotools_on_the_198_pictures(shared: Path, seed: int) -> None:
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations = shared / "assets/coco_val2017_subset/instances.json"
    dataset = read_dataset(annotations)
    results = imperfect_results(dataset, seed)
    with redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        official = COCOeval(truth, truth.loadRes(coco_results(results, dataset)), "bbox")
        official.evaluate()
        official.accumulate()
        official.summarize()
    ours = coco_report(results, dataset)
    assert 0.1 < ours.ap < 0.9
    np.testing.assert_allclose(ours.twelve(), official.stats, rtol=0, atol=1e-9)
    per_class = [row.ap for row in ours.classes if row.ap > -1]
    assert np.mean(per_class) == pytest.approx(ours.ap, abs=1e-9)


def test_perfect_detections_score_one_and_none_score_zero(tmp_path: Path) -> None:
    coco_folder(tmp_path)
    dataset = read_dataset(tmp_path)
    perfect = [
        PictureResult(
            picture.picture_id,
            picture.boxes_xyxy.astype(np.float32),
            np.ones(len(picture.boxes_xyxy), np.float32),
            picture.class_ids,
        )
        for picture in dataset.pictures
    ]
    report = coco_report(perfect, dataset)
    assert report.ap == pytest.approx(1.0)
    assert [row.objects for row in report.classes] == [4, 4]
    assert coco_report([], dataset).ap == 0.0


def test_evaluate_maps_the_models_classes_by_name(tmp_path: Path) -> None:
    coco_folder(tmp_path)
    dataset = read_dataset(tmp_path)
    truth = iter(dataset.pictures)
    names = ("table", "ball", "cube")

    def predict(frame: Frame) -> Detections:
        picture = next(truth)
        assert frame.shape == (*picture.hw, 3)
        order = np.array([names.index(dataset.class_names[i]) for i in picture.class_ids])
        boxes = picture.boxes_xyxy.astype(np.float32)
        return Detections(boxes, np.ones(len(boxes), np.float32), order, names)

    assert evaluate(predict, dataset).ap == pytest.approx(1.0)


def test_classes_that_do_not_match_are_refused() -> None:
    with pytest.raises(DatasetError, match="does not know 1 of the data set's 2"):
        class_mapping(["cube"], ["cube", "ball"], ClassMatching.STRICT)
    with pytest.raises(DatasetError, match="cannot be matched by order"):
        class_mapping(["cube"], ["cube", "ball"], ClassMatching.ORDER)
    with pytest.raises(DatasetError, match="does not know 2"):
        class_mapping(["x", "y"], ["cube", "ball"], ClassMatching.NAMES)
    assert class_mapping(["x", " Ball"], ["cube", "ball"], ClassMatching.NAMES).tolist() == [-1, 1]
    assert class_mapping(["x", "y"], ["cube", "ball"], ClassMatching.ORDER).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("model", "labels", "expected"),
    [
        (["A", "a", "b"], ["A", "a", "b"], [0, 1, 2]),
        (["a", "A"], ["A", "a"], [1, 0]),
        (["A", "a", "B"], ["A", "b"], [0, -1, 1]),
        (["Cat", "dog"], ["cat", "CAT", "Dog"], [-1, 2]),
        (["cat", "Cat", "dog"], ["CAT", "dog"], [-1, -1, 1]),
        (["a ", "A"], ["a", "A"], [0, 1]),
        (["dog", "dog"], ["Dog"], [0, 0]),
    ],
)
def test_capitals_tell_classes_apart_where_names_differ_in_nothing_else(
    model: list[str], labels: list[str], expected: list[int]
) -> None:
    assert class_mapping(model, labels, ClassMatching.NAMES).tolist() == expected


def test_perfect_detections_of_letters_score_one(tmp_path: Path) -> None:
    """``A`` and ``a`` were one class."""
    document = coco_folder(tmp_path)
    document["categories"] = [{"id": 1, "name": "A"}, {"id": 3, "name": "a"}]
    save_json(tmp_path, document)
    dataset = read_dataset(tmp_path)
    truth = iter(dataset.pictures)

    def predict(_: Frame) -> Detections:
        picture = next(truth)
        boxes = picture.boxes_xyxy.astype(np.float32)
        return Detections(
            boxes, np.ones(len(boxes), np.float32), picture.class_ids, dataset.class_names
        )

    assert evaluate(predict, dataset).ap == pytest.approx(1.0)
