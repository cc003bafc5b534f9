"""Every picture gets its own label file, in whatever usual layout, or none: never another's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from edgeyolo.data.bad_labels import judge_labels
from edgeyolo.data.dataset import DetectionDataset, ProblemKind
from edgeyolo.data.labels import read_dataset
from edgeyolo.errors import DatasetError
from tests.edgeyolo.data.dataset_files import textured, write_picture

NAMES = ("a", "b", "c", "d")
P = ProblemKind


def lay_out(root: Path, pictures: Sequence[str], labels: dict[str, int]) -> Path:
    """Pictures under ``images``, and label files of one object of the given class."""
    for seed, name in enumerate(pictures):
        write_picture(root / "images" / name, textured((20, 20), seed))
    for name, class_id in labels.items():
        file = root / "labels" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{class_id} .5 .5 .4 .4\n")
    return root


def read(root: Path) -> DetectionDataset:
    return read_dataset(root / "labels", images=root / "images", class_names=NAMES)


def classes(dataset: DetectionDataset, root: Path) -> dict[str, list[int]]:
    return {
        str(picture.path.relative_to(root / "images")): picture.class_ids.tolist()
        for picture in dataset.pictures
    }


def kinds(dataset: DetectionDataset) -> list[ProblemKind]:
    return [problem.kind for problem in dataset.problems]


def test_labels_lie_in_subfolders_as_their_pictures_do(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path,
        ["a/1.jpg", "b/1.jpg", "b/c/1.jpg", "1.jpg"],
        {"a/1.txt": 0, "b/1.txt": 1, "b/c/1.txt": 2, "1.txt": 3},
    )
    dataset = read(root)
    expected = {"1.jpg": [3], "a/1.jpg": [0], "b/1.jpg": [1], "b/c/1.jpg": [2]}
    assert classes(dataset, root) == expected
    assert dataset.problems == ()
    (root / "d.yaml").write_text("val: images\nnames: [a, b, c, d]\n")
    assert classes(read_dataset(root / "d.yaml"), root) == expected


def test_labels_are_found_where_none_lies_in_the_folder_itself(tmp_path: Path) -> None:
    root = lay_out(tmp_path, ["a/1.jpg", "b/1.jpg"], {"a/1.txt": 0, "b/1.txt": 1})
    assert classes(read(root), root) == {"a/1.jpg": [0], "b/1.jpg": [1]}
    (root / "labels/classes.txt").write_text("a\nb\nc\nd\n")
    assert classes(read(root), root) == {"a/1.jpg": [0], "b/1.jpg": [1]}


def test_a_folder_with_nothing_but_notes_further_down_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/readme.txt").write_text("no labels here\n")
    with pytest.raises(DatasetError, match="is no data set"):
        read_dataset(tmp_path, class_names=NAMES)


def test_one_folder_of_labels_serves_pictures_in_several(tmp_path: Path) -> None:
    root = lay_out(tmp_path, ["a/1.jpg", "b/2.jpg"], {"1.txt": 0, "2.txt": 1})
    dataset = read(root)
    assert classes(dataset, root) == {"a/1.jpg": [0], "b/2.jpg": [1]}
    assert dataset.problems == ()


def test_a_label_file_that_two_pictures_claim_is_nobodys(tmp_path: Path) -> None:
    root = lay_out(tmp_path, ["a/1.jpg", "b/1.jpg", "2.jpg"], {"1.txt": 0, "2.txt": 1})
    dataset = read(root)
    assert classes(dataset, root) == {"2.jpg": [1]}
    assert kinds(dataset) == [P.SHARED_LABELS, P.SHARED_LABELS]
    images, file = root / "images", root / "labels/1.txt"
    assert str(dataset.problems[0]) == (
        f"{images / 'a/1.jpg'}: {file} may be of {images / 'b/1.jpg'}, too"
    )
    with pytest.raises(DatasetError, match=r"label file may be of another picture, too: .*1\.jpg"):
        judge_labels(dataset, root, skip=False)
    assert judge_labels(dataset, root, skip=True).pictures == 2


def test_a_file_in_the_folder_itself_is_not_taken_for_a_namesakes(tmp_path: Path) -> None:
    root = lay_out(tmp_path, ["1.jpg", "b/1.jpg"], {"1.txt": 0})
    dataset = read(root)
    assert classes(dataset, root) == {"1.jpg": [0], "b/1.jpg": []}
    assert [str(one) for one in dataset.problems] == [f"1.jpg: expected {root / 'labels/b/1.txt'}"]
    stale = lay_out(tmp_path / "stale", ["a/1.jpg", "b/1.jpg"], {"a/1.txt": 0, "1.txt": 1})
    dataset = read(stale)
    assert classes(dataset, stale) == {"a/1.jpg": [0]}
    assert kinds(dataset) == [P.SHARED_LABELS]


@pytest.mark.parametrize("bare", [True, False])
def test_pictures_of_one_name_in_two_formats_share_their_labels(tmp_path: Path, bare: bool) -> None:
    root = lay_out(
        tmp_path, ["1.jpg", "1.png", "2.png", "3.jpg", "3.png"], {"1.txt": 0, "2.txt": 1}
    )
    (root / "d.yaml").write_text("val: images\nnames: [a, b, c, d]\n")
    dataset = read(root) if bare else read_dataset(root / "d.yaml")
    assert classes(dataset, root) == {"2.png": [1], "3.jpg": [], "3.png": []}
    assert kinds(dataset) == [P.SHARED_LABELS, P.SHARED_LABELS, P.NO_LABELS, P.NO_LABELS]


def test_a_listed_picture_that_is_missing_claims_no_labels(tmp_path: Path) -> None:
    root = lay_out(tmp_path, ["1.png"], {"1.txt": 0})
    (root / "list.txt").write_text("images/1.jpg\nimages/1.png\n")
    (root / "d.yaml").write_text("val: list.txt\nnames: [a, b, c, d]\n")
    dataset = read_dataset(root / "d.yaml")
    assert classes(dataset, root) == {"1.png": [0]}
    assert kinds(dataset) == [P.MISSING_PICTURE]


def test_label_files_in_subfolders_without_a_picture_are_named(tmp_path: Path) -> None:
    root = lay_out(tmp_path, ["a/1.jpg"], {"a/1.txt": 0, "b/7.txt": 1})
    dataset = read(root)
    assert [(one.kind, one.where) for one in dataset.problems] == [
        (P.MISSING_PICTURE, "b/7 of b/7.txt")
    ]
