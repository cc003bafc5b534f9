"""Diagnostics name the errors that were made on purpose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeyolo.data.dataset import DetectionDataset
from edgeyolo.data.labels import read_dataset
from edgeyolo.evaluation.average_precision import evaluate_builtin
from edgeyolo.evaluation.coco import PictureResult, coco_report
from edgeyolo.evaluation.diagnostics import (
    MistakeKind,
    confusion_matrix,
    precision_recall,
    worst_pictures,
)
from edgeyolo.evaluation.diagnostics_folder import drawn_mistakes, write_diagnostics
from tests.edgeyolo.data.dataset_files import coco_folder, exif_rotated, save_json


@pytest.fixture
def dataset(tmp_path: Path) -> DetectionDataset:
    coco_folder(tmp_path / "data")
    return read_dataset(tmp_path / "data")


def result_with_three_errors(dataset: DetectionDataset) -> list[PictureResult]:
    """Perfect, but in picture 2 the cube is a ball, the ball is missed, and one is invented."""
    results = []
    for index, picture in enumerate(dataset.pictures):
        boxes = picture.boxes_xyxy.astype(np.float32)
        classes = picture.class_ids.copy()
        if index == 2:
            boxes = np.concatenate((boxes[:1], [[1, 40, 9, 47]])).astype(np.float32)
            classes = np.array([1, 0])
        scores = np.linspace(0.9, 0.8, len(boxes), dtype=np.float32)
        results.append(PictureResult(picture.picture_id, boxes, scores, classes))
    return results


def test_the_confusion_matrix_counts_every_error(dataset: DetectionDataset) -> None:
    matrix = confusion_matrix(result_with_three_errors(dataset), dataset)
    # rows: cube, ball, background; columns the same, last: missed
    assert matrix.counts.tolist() == [[3, 1, 0], [0, 3, 1], [1, 0, 0]]
    assert ("cube", "ball", 1) in matrix.worst()
    assert ("ball", "background", 1) in matrix.worst()
    unsure = confusion_matrix(result_with_three_errors(dataset), dataset, min_score=0.95)
    assert unsure.counts[:, -1].tolist() == [4, 4, 0]


def test_curves_end_at_the_reached_recall(dataset: DetectionDataset) -> None:
    cube, ball = precision_recall(result_with_three_errors(dataset), dataset)
    assert (cube.class_name, ball.class_name) == ("cube", "ball")
    assert cube.recall[-1] == ball.recall[-1] == 0.75
    assert cube.precision[-1] == 0.75
    assert cube.best_score == pytest.approx(0.9)


def test_the_worst_picture_is_the_one_with_errors(dataset: DetectionDataset) -> None:
    (worst,) = worst_pictures(result_with_three_errors(dataset), dataset)
    assert worst.path == dataset.pictures[2].path
    assert sorted(mistake.kind for mistake in worst.mistakes) == [
        MistakeKind.CONFUSED,
        MistakeKind.INVENTED,
        MistakeKind.MISSED,
    ]


@pytest.mark.parametrize("stored", [True, False])
def test_errors_are_drawn_on_the_pixels_that_the_labels_refer_to(
    tmp_path: Path, stored: bool
) -> None:
    document = coco_folder(tmp_path, count=1)
    file = tmp_path / "images/000.jpg"
    file.write_bytes(exif_rotated(file.read_bytes(), 6))
    if not stored:
        document["images"][0].update(width=48, height=64)
        save_json(tmp_path, document)
    dataset = read_dataset(tmp_path)
    (item,) = worst_pictures((), dataset)
    assert drawn_mistakes(item).shape[:2] == dataset.pictures[0].hw
    assert dataset.pictures[0].hw == ((48, 64) if stored else (64, 48))


def test_the_builtin_routine_agrees_with_coco_on_perfect_detections(
    dataset: DetectionDataset,
) -> None:
    perfect = [
        PictureResult(
            picture.picture_id,
            picture.boxes_xyxy.astype(np.float32),
            np.ones(len(picture.boxes_xyxy), np.float32),
            picture.class_ids,
        )
        for picture in dataset.pictures
    ]
    assert coco_report(perfect, dataset).ap == pytest.approx(1.0)
    # v5_metric closes the curve at recall 1, so a perfect curve has area 1 up to the last step.
    assert evaluate_builtin(perfect, dataset, v5_metric=True).mean_ap == pytest.approx(1, abs=0.006)
    assert evaluate_builtin([], dataset).mean_ap == 0.0


def test_the_folder_holds_tables_curves_and_pictures(
    dataset: DetectionDataset, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    write_diagnostics(tmp_path / "out", result_with_three_errors(dataset), dataset)
    names = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")}
    assert names == {
        ".edgeyolo-diagnostics.json",
        "confusion.csv",
        "confusion.png",
        "curves.json",
        "curves.png",
        "worst/00-3-errors-002.png",
    }
    table = (tmp_path / "out/confusion.csv").read_text(encoding="utf-8").splitlines()
    assert table[1] == "cube,3,1,0"
