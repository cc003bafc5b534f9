"""No accuracy is measured on fewer labels than were given, unless it is asked for and said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeyolo.data.bad_labels import LeftOut, judge_labels
from edgeyolo.data.labels import read_dataset
from edgeyolo.errors import DatasetError
from tests.edgeyolo.data.dataset_files import coco_folder, save_json, textured, write_picture

LINES = {
    "99 .5 .5 .1 .1": "label names an unknown class: b.txt, line 2: class 99, known: 0..1",
    "1 .5 .5": "label is malformed: b.txt, line 2: 3 numbers instead of class cx cy w h",
    "1 50 50 10 10": "label is malformed: b.txt, line 2: '1 50 50 10 10'",
    "1 nan .5 .1 .1": "box has NaN or infinite numbers: b.txt, line 2",
}


def yolo_folder(root: Path, second_line: str) -> Path:
    (root / "labels").mkdir(parents=True)
    for stem, line in (("a", "0 .5 .5 .2 .2"), ("b", f"0 .5 .5 .2 .2\n{second_line}")):
        write_picture(root / "images" / f"{stem}.png", textured((40, 40)))
        (root / "labels" / f"{stem}.txt").write_text(line)
    (root / "labels" / "classes.txt").write_text("ball\ncube\n")
    return root / "labels"


def judge(labels: Path, *, skip: bool = False) -> LeftOut:
    images = labels.parent / "images"
    dataset = read_dataset(labels, images=images, class_names=("ball", "cube"))
    return judge_labels(dataset, labels, images, skip=skip)


@pytest.mark.parametrize("line", LINES)
def test_a_bad_line_is_named_with_file_and_number(tmp_path: Path, line: str) -> None:
    labels = yolo_folder(tmp_path, line)
    with pytest.raises(DatasetError) as caught:
        judge(labels)
    message = str(caught.value)
    assert LINES[line] in message
    assert "(errors in all: 1)" in message
    assert f"edgeyolo data check {labels} --images {tmp_path / 'images'}" in message
    assert "--skip-bad-labels" in message
    assert judge(labels, skip=True) == LeftOut(pictures=0, labels=1)


@pytest.mark.parametrize("line", ["0 .5 .5 .2 .2", "1 .99 .5 .2 .2", ""])
def test_repeated_and_clipped_boxes_are_no_error(tmp_path: Path, line: str) -> None:
    assert not judge(yolo_folder(tmp_path, line))


def test_a_label_file_without_its_picture_is_missed(tmp_path: Path) -> None:
    labels = yolo_folder(tmp_path, "")
    (tmp_path / "images" / "a.png").unlink()
    with pytest.raises(DatasetError, match=r"1 of 2 pictures are missing, the first is a of a\.tx"):
        judge(labels)
    assert judge(labels, skip=True) == LeftOut(pictures=1, labels=0)


def test_missing_pictures_are_counted(tmp_path: Path) -> None:
    coco_folder(tmp_path, count=4)
    for name in ("001.jpg", "003.jpg"):
        (tmp_path / "images" / name).unlink()
    dataset = read_dataset(tmp_path)
    first = r"2 of 4 pictures are missing, the first is 001\.jpg.*; --images names their folder"
    with pytest.raises(DatasetError, match=first):
        judge_labels(dataset, tmp_path, skip=False)
    assert str(judge_labels(dataset, tmp_path, skip=True)) == "2 pictures and 0 labels"


def test_where_a_list_names_missing_pictures_no_folder_is_asked_for(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", textured((40, 40)))
    (tmp_path / "val.txt").write_text("a.png\nb.png\n", encoding="utf-8")
    (tmp_path / "d.yaml").write_text("val: val.txt\nnames: [cube]\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="1 of 2 pictures are missing") as caught:
        judge_labels(read_dataset(tmp_path / "d.yaml"), tmp_path / "d.yaml", skip=False)
    assert "--images" not in str(caught.value)


def test_labels_of_pictures_that_are_not_listed_are_an_error(tmp_path: Path) -> None:
    document = coco_folder(tmp_path)
    document["images"].pop()
    save_json(tmp_path, document)
    with pytest.raises(DatasetError, match="label names an unknown picture"):
        judge_labels(read_dataset(tmp_path), tmp_path, skip=False)


@pytest.mark.parametrize("name", ["coco_val2017_subset", "coco128_train2017"])
def test_the_ground_truth_of_coco_passes_untouched(shared: Path, name: str) -> None:
    folder = shared / "assets" / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    dataset = read_dataset(folder)
    assert judge_labels(dataset, folder, skip=False) == LeftOut()
    assert len(dataset) == len(json.loads((folder / "instances.json").read_bytes())["images"])
