"""Sixty ways to break a data set: each is reported, none crashes reading, checking or an epoch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeyolo.data.augment_yolox import YoloxAugmentation
from edgeyolo.data.batches import TrainingBatches
from edgeyolo.data.checking import CheckReport, check_dataset, usable_dataset
from edgeyolo.data.dataset import ProblemKind
from edgeyolo.data.labels import read_dataset
from edgeyolo.data.sample_source import DatasetSource
from edgeyolo.errors import DatasetError, TrainingError
from edgeyolo.spec import Family
from edgeyolo.training.request import TrainingRequest
from edgeyolo.training.session import train
from tests.edgeyolo.data.dataset_files import (
    coco_folder,
    exif_rotated,
    png_of,
    save_json,
    textured,
    write_picture,
)

P = ProblemKind
Document = dict[str, Any]
Mutation = Callable[[Path, Document], None]


def picture(root: Path) -> Path:
    return root / "images" / "001.jpg"


def annotation(document: Document) -> Document:
    """The first label of picture 001."""
    found = document["annotations"][2]
    assert isinstance(found, dict)
    return found


def boxed(*box: float) -> Mutation:
    def mutate(_: Path, document: Document) -> None:
        annotation(document)["bbox"] = list(box)

    return mutate


def labelled(key: str, value: object) -> Mutation:
    def mutate(_: Path, document: Document) -> None:
        annotation(document)[key] = value

    return mutate


def without(key: str) -> Mutation:
    def mutate(_: Path, document: Document) -> None:
        del annotation(document)[key]

    return mutate


def listed(key: str, value: object) -> Mutation:
    """Picture 001's entry changed."""

    def mutate(_: Path, document: Document) -> None:
        document["images"][1][key] = value

    return mutate


def content(change: Callable[[bytes], bytes]) -> Mutation:
    def mutate(root: Path, _: Document) -> None:
        picture(root).write_bytes(change(picture(root).read_bytes()))

    return mutate


def replaced(make: Callable[[], np.ndarray[Any, Any]], suffix: str) -> Mutation:
    """Picture 001 replaced by another file format under a new name."""

    def mutate(root: Path, document: Document) -> None:
        picture(root).unlink()
        name = f"001{suffix}"
        write_picture(root / "images" / name, make())
        document["images"][1]["file_name"] = name

    return mutate


def named(name: str) -> Mutation:
    def mutate(root: Path, document: Document) -> None:
        target = root / "images" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        picture(root).rename(target)
        document["images"][1]["file_name"] = name

    return mutate


def cmyk(root: Path, _: Document) -> None:
    image = pytest.importorskip("PIL.Image")
    image.fromarray(textured((48, 64))).convert("CMYK").save(picture(root))


def duplicate_label(_: Path, document: Document) -> None:
    document["annotations"].append({**annotation(document), "id": 99})


def duplicate_picture(_: Path, document: Document) -> None:
    document["images"].append(dict(document["images"][1]))


def same_bytes(root: Path, _: Document) -> None:
    (root / "images/002.jpg").write_bytes(picture(root).read_bytes())


def orphan(_: Path, document: Document) -> None:
    document["annotations"].append({**annotation(document), "id": 98, "image_id": 777})


def unused_class(_: Path, document: Document) -> None:
    document["categories"].append({"id": 9, "name": "unused"})


def no_labels_at_all(_: Path, document: Document) -> None:
    document["annotations"] = [a for a in document["annotations"] if a["image_id"] != 11]


def picture_is_a_folder(root: Path, _: Document) -> None:
    picture(root).unlink()
    picture(root).mkdir()


def dangling_link(root: Path, _: Document) -> None:
    picture(root).unlink()
    picture(root).symlink_to(root / "nowhere.jpg")


def exchanged_sides(_: Path, document: Document) -> None:
    document["images"][1].update(width=48, height=64)


def exif(orientation: int, swap: bool) -> Mutation:
    def mutate(root: Path, document: Document) -> None:
        picture(root).write_bytes(exif_rotated(picture(root).read_bytes(), orientation))
        if swap:
            document["images"][1].update(width=48, height=64)
            for label in document["annotations"][2:4]:
                label["bbox"] = [5.0, 5.0, 20.0, 30.0]

    return mutate


def overwritten(data: bytes) -> Mutation:
    return content(lambda _: data)


def lying_png(root: Path, document: Document) -> None:
    picture(root).unlink()
    (root / "images/001.png").write_bytes(png_of((20, 30), claims_hw=(48, 64)))
    document["images"][1]["file_name"] = "001.png"


def sixteen_bit() -> np.ndarray[Any, Any]:
    return textured((48, 64)).astype(np.uint16) * 257


def grey() -> np.ndarray[Any, Any]:
    return textured((48, 64))[..., 0]


def transparent() -> np.ndarray[Any, Any]:
    return np.dstack((textured((48, 64)), np.full((48, 64), 9, np.uint8)))


nan, inf = float("nan"), float("inf")

# Name, what is done, what the report must say (None: nothing is wrong with it).
MUTATIONS: list[tuple[str, Mutation, ProblemKind | None]] = [
    ("nan x", boxed(nan, 5, 20, 10), P.NOT_FINITE),
    ("nan width", boxed(4, 5, nan, 10), P.NOT_FINITE),
    ("infinite height", boxed(4, 5, 20, inf), P.NOT_FINITE),
    ("minus infinity", boxed(-inf, 5, 20, 10), P.NOT_FINITE),
    ("zero width", boxed(4, 5, 0, 10), P.ZERO_SIZE),
    ("zero height", boxed(4, 5, 20, 0), P.ZERO_SIZE),
    ("negative width", boxed(24, 5, -20, 10), P.ZERO_SIZE),
    ("hair thin", boxed(4, 5, 1e-9, 10), P.ZERO_SIZE),
    ("left of the picture", boxed(-30, 5, 20, 10), P.OUTSIDE_PICTURE),
    ("below the picture", boxed(4, 48, 20, 10), P.OUTSIDE_PICTURE),
    ("far away", boxed(1e9, 1e9, 5, 5), P.OUTSIDE_PICTURE),
    ("over the right edge", boxed(50, 5, 40, 10), P.BOX_CLIPPED),
    ("larger than the picture", boxed(-5, -5, 100, 100), P.BOX_CLIPPED),
    ("huge width", boxed(4, 5, 1e300, 10), P.BOX_CLIPPED),
    ("a number with 400 digits", boxed(4, 10**400, 20, 10), P.NOT_FINITE),
    ("three numbers", labelled("bbox", [1, 2, 3]), P.MALFORMED_LABEL),
    ("five numbers", labelled("bbox", [1, 2, 3, 4, 5]), P.MALFORMED_LABEL),
    ("text as box", labelled("bbox", "1 2 3 4"), P.MALFORMED_LABEL),
    ("texts in the box", labelled("bbox", ["1", "2", "3", "4"]), P.MALFORMED_LABEL),
    ("null box", labelled("bbox", None), P.MALFORMED_LABEL),
    ("no box", without("bbox"), P.MALFORMED_LABEL),
    ("unknown class", labelled("category_id", 55), P.UNKNOWN_CLASS),
    ("class as text", labelled("category_id", "cube"), P.UNKNOWN_CLASS),
    ("no class", without("category_id"), P.UNKNOWN_CLASS),
    ("list as class", labelled("category_id", [1]), P.UNKNOWN_CLASS),
    ("zero as text for iscrowd", labelled("iscrowd", "0"), P.MALFORMED_LABEL),
    ("two for iscrowd", labelled("iscrowd", 2), P.MALFORMED_LABEL),
    ("nan for iscrowd", labelled("iscrowd", nan), P.MALFORMED_LABEL),
    ("list for iscrowd", labelled("iscrowd", [0]), P.MALFORMED_LABEL),
    ("null for iscrowd", labelled("iscrowd", None), None),
    ("false for iscrowd", labelled("iscrowd", False), None),
    ("no iscrowd", without("iscrowd"), None),
    ("label of an unknown picture", orphan, P.UNKNOWN_PICTURE),
    ("picture id as text", labelled("image_id", "11"), P.MALFORMED_LABEL),
    ("no picture id", without("image_id"), P.MALFORMED_LABEL),
    ("the same label twice", duplicate_label, P.DUPLICATE_BOX),
    ("the same picture twice", duplicate_picture, P.REPEATED_PICTURE),
    ("two files with the same bytes", same_bytes, P.SAME_PIXELS),
    ("a class without boxes", unused_class, P.EMPTY_CLASS),
    ("a picture without labels", no_labels_at_all, None),
    ("text as area", labelled("area", "big"), None),
    ("nan area", labelled("area", nan), None),
    ("run-length segmentation", labelled("segmentation", {"size": [4, 4], "counts": "x"}), None),
    ("polygon of huge numbers", labelled("segmentation", [[10**400] * 6]), None),
    ("broken polygon", labelled("segmentation", [[1, 2, 3]]), None),
    ("missing picture", lambda root, _: picture(root).unlink(), P.MISSING_PICTURE),
    ("picture is a folder", picture_is_a_folder, P.MISSING_PICTURE),
    ("dangling link", dangling_link, P.MISSING_PICTURE),
    ("file name leaves the folder", listed("file_name", "../../etc/x.jpg"), P.MISSING_PICTURE),
    ("empty file name", listed("file_name", ""), P.MALFORMED_LABEL),
    ("number as file name", listed("file_name", 5), P.MALFORMED_LABEL),
    ("zero byte in the file name", listed("file_name", "a\0b.jpg"), P.MALFORMED_LABEL),
    ("zero width picture", listed("width", 0), P.MALFORMED_LABEL),
    ("nan width picture", listed("width", nan), P.MALFORMED_LABEL),
    ("wrong size in the labels", listed("width", 65), P.SIZE_MISMATCH),
    ("exchanged sides in the labels", exchanged_sides, P.SIZE_MISMATCH),
    ("empty file", overwritten(b""), P.UNREADABLE_PICTURE),
    ("a web page", overwritten(b"<html>404 Not Found</html>"), P.UNREADABLE_PICTURE),
    ("JPEG cut in half", content(lambda data: data[: len(data) // 2]), P.TRUNCATED_PICTURE),
    ("JPEG without its last bytes", content(lambda data: data[:-2]), P.TRUNCATED_PICTURE),
    ("JPEG cut in its header", content(lambda data: data[:12]), P.UNREADABLE_PICTURE),
    ("PNG whose header lies", lying_png, P.UNREADABLE_PICTURE),
    ("CMYK", cmyk, P.UNUSUAL_PIXELS),
    ("16 bits", replaced(sixteen_bit, ".png"), P.UNUSUAL_PIXELS),
    ("transparent", replaced(transparent, ".png"), P.UNUSUAL_PIXELS),
    ("grey", replaced(grey, ".png"), None),
    ("bitmap", replaced(lambda: textured((48, 64)), ".bmp"), None),
    ("rotated by EXIF, labels for stored pixels", exif(6, swap=False), P.EXIF_ROTATED),
    ("rotated by EXIF, labels for seen pixels", exif(6, swap=True), P.EXIF_ROTATED),
    ("upside down by EXIF", exif(3, swap=False), P.EXIF_ROTATED),
    ("unicode and spaces", named("Straße 日本 ☃ ñ.jpg"), None),
    ("quote, newline and percent", named("a'b\"c\n%s{0}.jpg"), None),
    ("deep folder", named("a/b/c/d/e.jpg"), None),
]  # fmt: skip


def check(root: Path) -> CheckReport:
    return usable_dataset(read_dataset(root))


@pytest.mark.parametrize(
    ("mutate", "expected"),
    [mutation[1:] for mutation in MUTATIONS],
    ids=[mutation[0] for mutation in MUTATIONS],
)
def test_a_broken_data_set_is_reported_and_still_trains(
    tmp_path: Path, mutate: Mutation, expected: ProblemKind | None
) -> None:
    document = coco_folder(tmp_path)
    before = check(tmp_path)
    assert before.problems == ()
    mutate(tmp_path, document)
    save_json(tmp_path, document)
    report = check(tmp_path)
    kinds = {problem.kind for problem in report.problems}
    assert kinds == ({expected} if expected else set())
    text = report.text()
    assert (expected is None) == ("no problems" in text)
    if expected is not None:
        assert expected.value in text
    # Whatever is left gives a whole epoch without surprises.
    batches = TrainingBatches(
        DatasetSource(report.dataset, (64, 64)),
        YoloxAugmentation(),
        family=Family.YOLOX,
        input_hw=(64, 64),
        batch_size=2,
        seed=0,
    )
    for batch in batches.epoch(0):
        assert batch.unreadable == ()
        assert np.isfinite(batch.targets.numpy()).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mutate", "expected"),
    [mutation[1:] for mutation in MUTATIONS],
    ids=[mutation[0] for mutation in MUTATIONS],
)
def test_a_broken_data_set_to_evaluate_on_never_ends_a_training(
    tmp_path: Path, mutate: Mutation, expected: ProblemKind | None
) -> None:
    """Refused before the first epoch, or evaluated without what is broken."""
    coco_folder(tmp_path / "train")
    document = coco_folder(tmp_path / "val")
    mutate(tmp_path / "val", document)
    save_json(tmp_path / "val", document)
    request = TrainingRequest(
        model="yolox-nano",
        width=0.125,
        data=str(tmp_path / "train"),
        val=str(tmp_path / "val"),
        epochs=1,
        batch=4,
        output=str(tmp_path / "run"),
        input_hw=(64, 64),
        settings=("multiscale=false",),
        workers=0,
        tensorboard=False,
    )
    if expected is not None and expected.is_error:
        with pytest.raises(DatasetError) as caught:
            train(request)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "run").exists()
        request = replace(request, skip_bad_labels=True)
    if expected is P.EMPTY_CLASS:
        with pytest.raises(TrainingError, match="classes that are not trained: unused"):
            train(request)
        return
    (row,) = train(request).position.history
    assert 0 <= row["ap"] <= 1


def test_there_are_sixty_mutations() -> None:
    assert len(MUTATIONS) >= 60
    assert len({name for name, _, _ in MUTATIONS}) == len(MUTATIONS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "null",
        "{}",
        '{"images": {}, "annotations": [], "categories": []}',
        '{"images": [], "annotations": [], "categories": []}',
        '{"images": [], "annotations": [], "categories": [{"id": 1}]}',
        '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]}',
        '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 1}]}',
        '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}] }   ]',
        '{"images": [{"id": [1]}], "annotations": [], "categories": [{"id": 1, "name": "a"}]}',
        '{"images": [3], "annotations": ["x"], "categories": [{"id": 1, "name": "a"}]}',
        "[" * 100_000,
    ],
)  # fmt: skip
def test_an_unusable_annotation_file_is_one_clear_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "instances.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=r"instances\.json") as caught:
        read_dataset(file)
    assert "\n" not in str(caught.value)


YOLO_LINES: list[tuple[str, ProblemKind]] = [
    ("0 0.5 0.5 0.2", P.MALFORMED_LABEL),
    ("cube 0.5 0.5 0.2 0.2", P.MALFORMED_LABEL),
    ("0 nan 0.5 0.2 0.2", P.NOT_FINITE),
    ("0 0.5 0.5 inf 0.2", P.NOT_FINITE),
    ("0 0.5 0.5 0 0.2", P.ZERO_SIZE),
    ("0 0.5 0.5 -0.2 0.2", P.ZERO_SIZE),
    ("7 0.5 0.5 0.2 0.2", P.UNKNOWN_CLASS),
    ("-1 0.5 0.5 0.2 0.2", P.UNKNOWN_CLASS),
    ("0.5 0.5 0.5 0.2 0.2", P.UNKNOWN_CLASS),
    ("nan 0.5 0.5 0.2 0.2", P.UNKNOWN_CLASS),
    ("0 320 240 100 80", P.MALFORMED_LABEL),
    ("0 1.9 0.5 0.2 0.2", P.OUTSIDE_PICTURE),
    ("0 0.95 0.5 0.4 0.2", P.BOX_CLIPPED),
    ("0 0.1 0.1 nan 0.2 0.3 0.3", P.NOT_FINITE),
]


@pytest.mark.parametrize(("line", "expected"), YOLO_LINES, ids=[line for line, _ in YOLO_LINES])
def test_a_bad_yolo_line_is_reported_with_file_and_line(
    tmp_path: Path, line: str, expected: ProblemKind
) -> None:
    write_picture(tmp_path / "images/a.jpg", textured((48, 64)))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text(f"1 0.5 0.5 0.5 0.5\n{line}\n", encoding="utf-8")
    (tmp_path / "d.yaml").write_text("val: images\nnames: [cube, ball]\n", encoding="utf-8")
    dataset = read_dataset(tmp_path / "d.yaml")
    (problem,) = dataset.problems
    assert problem.kind is expected
    assert problem.where == "a.txt, line 2"
    assert dataset.boxes_per_class()[1] == 1


def test_yolo_files_that_cannot_be_read_are_reported(tmp_path: Path) -> None:
    for name in "abc":
        write_picture(tmp_path / f"images/{name}.jpg", textured((48, 64), ord(name)))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_bytes(b"\xff\xfe\x00binary\x80")
    (tmp_path / "labels/b.txt").write_text("", encoding="utf-8")
    (tmp_path / "d.yaml").write_text("val: images\nnames: {0: cube}\n", encoding="utf-8")
    dataset = read_dataset(tmp_path / "d.yaml")
    kinds = {problem.where: problem.kind for problem in dataset.problems}
    assert kinds == {"a.txt": P.UNREADABLE_LABELS, "c.jpg": P.NO_LABELS}
    assert [item.path.name for item in dataset.pictures] == ["b.jpg", "c.jpg"]


VOC_PARTS: list[tuple[str, ProblemKind]] = [
    ("<object><name>cat</name></object>", P.MALFORMED_LABEL),
    ("<object><name>cat</name><bndbox><xmin>1</xmin></bndbox></object>", P.MALFORMED_LABEL),
    ("<object><bndbox/></object>", P.UNKNOWN_CLASS),
    ("<object><name>dog</name></object>", P.UNKNOWN_CLASS),
    ("<size><width>9</width><height>9</height></size>", P.SIZE_MISMATCH),
    ("<object>", P.UNREADABLE_LABELS),
    ("<!ENTITY x 'y'>", P.UNREADABLE_LABELS),
]


@pytest.mark.parametrize(("part", "expected"), VOC_PARTS, ids=[part for part, _ in VOC_PARTS])
def test_a_bad_voc_file_is_reported(tmp_path: Path, part: str, expected: ProblemKind) -> None:
    good = (
        "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20</xmax>"
        "<ymax>30</ymax></bndbox></object>"
    )
    (tmp_path / "Annotations").mkdir()
    for name, extra in (("a", ""), ("b", part)):
        write_picture(tmp_path / f"JPEGImages/{name}.jpg", textured((48, 64), ord(name)))
        text = f"<annotation><filename>{name}.jpg</filename>{good}{extra}</annotation>"
        (tmp_path / f"Annotations/{name}.xml").write_text(text, encoding="utf-8")
    dataset = read_dataset(tmp_path, class_names=("cat",))
    assert [problem.kind for problem in dataset.problems] == [expected]
    assert dataset.pictures[0].boxes_xyxy.tolist() == [[0.0, 0.0, 20.0, 30.0]]


def test_random_damage_to_a_picture_never_escapes_as_another_error(tmp_path: Path) -> None:
    coco_folder(tmp_path, count=1)
    write_picture(tmp_path / "images/b.png", textured((48, 64)), cv2.IMWRITE_PNG_COMPRESSION, 3)
    rng = np.random.default_rng(0)
    originals = [
        (tmp_path / "images/000.jpg").read_bytes(),
        (tmp_path / "images/b.png").read_bytes(),
    ]
    document = json.loads((tmp_path / "instances.json").read_bytes())
    refused = 0
    for trial in range(150):
        data = bytearray(originals[trial % 2])
        for place in rng.integers(0, len(data), int(rng.integers(1, 20))).tolist():
            data[place] = int(rng.integers(256))
        name = f"x{'.jpg' if trial % 2 == 0 else '.png'}"
        length = int(rng.integers(1, len(data))) if trial % 3 else len(data)
        (tmp_path / "images" / name).write_bytes(bytes(data[:length]))
        document["images"][0]["file_name"] = name
        save_json(tmp_path, document)
        try:
            report = check_dataset(read_dataset(tmp_path))
        except DatasetError:
            refused += 1
        else:
            refused += bool(report.errors)
    assert 100 < refused < 150  # a few changed pixels do no harm
