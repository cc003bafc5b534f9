"""Every VOC annotation labels its own picture: none takes another's, and none is passed over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from edgeyolo.data.bad_labels import judge_labels
from edgeyolo.data.checking import check_dataset
from edgeyolo.data.dataset import DetectionDataset, ProblemKind
from edgeyolo.data.labels import read_dataset
from edgeyolo.errors import DatasetError
from tests.edgeyolo.data.dataset_files import textured, write_picture

P = ProblemKind


def lay_out(root: Path, pictures: Sequence[str], annotations: dict[str, str]) -> Path:
    """Pictures, and annotations with that ``<filename>`` whose class is their own name."""
    for seed, name in enumerate(pictures):
        write_picture(root / "JPEGImages" / name, textured((20, 20), seed))
    (root / "Annotations").mkdir(parents=True)
    for stem, filename in annotations.items():
        (root / "Annotations" / f"{stem}.xml").write_text(
            f"<annotation><filename>{filename}</filename><object><name>{stem}</name><bndbox>"
            "<xmin>3</xmin><ymin>3</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"
            "</annotation>"
        )
    return root


def labelled(dataset: DetectionDataset) -> dict[str, list[str]]:
    return {
        picture.path.name: [dataset.class_names[index] for index in picture.class_ids]
        for picture in dataset.pictures
    }


def problems(dataset: DetectionDataset) -> list[tuple[ProblemKind, str]]:
    return [(one.kind, str(one)) for one in dataset.problems]


def test_a_copied_annotation_that_names_another_picture_labels_neither(tmp_path: Path) -> None:
    root = lay_out(tmp_path, ["a.jpg", "b.jpg"], {"a": "a.jpg", "b": "a.jpg"})
    dataset = read_dataset(root)
    assert labelled(dataset) == {"a.jpg": ["a"]}
    expected = "b.xml: <filename> is a.jpg, but there is b.jpg, too"
    assert problems(dataset) == [(P.UNCLEAR_PICTURE, expected)]
    with pytest.raises(DatasetError, match=r"may be of either of two pictures: b\.xml"):
        judge_labels(dataset, root, skip=False)
    assert judge_labels(dataset, root, skip=True).pictures == 1


def test_two_annotations_of_one_picture_are_reported(tmp_path: Path) -> None:
    root = lay_out(tmp_path, ["b.jpg"], {"a": "b.jpg", "b": "b.jpg", "c": "b.jpg"})
    dataset = read_dataset(root)
    assert labelled(dataset) == {"b.jpg": ["b"]}
    assert problems(dataset) == [
        (P.REPEATED_PICTURE, "a.xml: b.jpg is labelled by b.xml"),
        (P.REPEATED_PICTURE, "c.xml: b.jpg is labelled by b.xml"),
    ]


def test_a_picture_that_a_list_names_twice_is_reported(tmp_path: Path) -> None:
    root = lay_out(tmp_path, ["a.jpg"], {"a": "a.jpg"})
    write_list(root, "a\na\n")
    dataset = read_dataset(root)
    assert labelled(dataset) == {"a.jpg": ["a"]}
    assert problems(dataset) == [(P.REPEATED_PICTURE, "a.xml: a.jpg is labelled by a.xml")]


@pytest.mark.parametrize(
    ("pictures", "filename", "used"),
    [
        (["other.jpg"], "other.jpg", "other.jpg"),
        (["a.png"], "stale.jpg", "a.png"),
        (["a.png"], "", "a.png"),
        (["a.jpg", "a.png"], "a.png", "a.png"),
        (["a.jpg", "sub/a.jpg"], "sub/a.jpg", "sub/a.jpg"),
    ],
)
def test_file_name_and_own_name_may_differ_where_one_picture_is_meant(
    tmp_path: Path, pictures: list[str], filename: str, used: str
) -> None:
    dataset = read_dataset(lay_out(tmp_path, pictures, {"a": filename}))
    assert [picture.path for picture in dataset.pictures] == [tmp_path / "JPEGImages" / used]
    assert dataset.problems == ()


def write_list(root: Path, text: str) -> None:
    file = root / "ImageSets/Main/val.txt"
    file.parent.mkdir(parents=True)
    file.write_text(text)


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("p 0\np 1\n", ["p 0.jpg", "p 1.jpg"]),
        ("p 0  1\np 1 -1\nq  0\n", ["p 0.jpg", "p 1.jpg", "q.jpg"]),
        ("q -1\nno flag\n", ["no flag.jpg", "q.jpg"]),
    ],
)
def test_names_with_blanks_and_lists_of_one_class_are_read(
    tmp_path: Path, text: str, used: list[str]
) -> None:
    stems = ["p 0", "p 1", "q", "no flag"]
    root = lay_out(tmp_path, [f"{stem}.jpg" for stem in stems], dict.fromkeys(stems, ""))
    write_list(root, text)
    assert sorted(labelled(read_dataset(root))) == used


def test_a_list_of_annotations_that_are_not_there_says_so(tmp_path: Path) -> None:
    root = lay_out(tmp_path, ["a.jpg"], {"a": "a.jpg"})
    write_list(root, "lost one\n")
    with pytest.raises(DatasetError, match=r"name no class; .*lost one\.xml: No such file"):
        read_dataset(root)


def test_equal_pictures_of_one_name_in_two_folders_are_reported(tmp_path: Path) -> None:
    for folder in "ab":
        write_picture(tmp_path / "images" / folder / "1.jpg", textured((20, 20)))
        (tmp_path / "labels" / folder).mkdir(parents=True)
        (tmp_path / "labels" / folder / "1.txt").write_text("0 .5 .5 .2 .2\n")
    (tmp_path / "images/a/2.jpg").write_bytes((tmp_path / "images/a/1.jpg").read_bytes())
    (tmp_path / "labels/a/2.txt").write_text("0 .5 .5 .2 .2\n")
    (tmp_path / "d.yaml").write_text("val: images\nnames: [cube]\n")
    report = check_dataset(read_dataset(tmp_path / "d.yaml"))
    images = tmp_path / "images"
    assert [(one.kind, str(one)) for one in report.problems] == [
        (P.SAME_PIXELS, "2.jpg: as 1.jpg"),
        (P.SAME_PIXELS, f"{images / 'b/1.jpg'}: as {images / 'a/1.jpg'}"),
    ]
