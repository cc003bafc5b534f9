"""Mutated label files: a data set or one clear error, never a traceback.

``EDGEYOLO_FUZZ_INPUTS`` sets the number of inputs per format (default 400, a few seconds).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeyolo.data.checking import check_dataset
from edgeyolo.data.labels import read_dataset
from edgeyolo.errors import DatasetError
from tests.edgeyolo.data.dataset_files import coco_folder, textured, write_picture

INPUTS = int(os.environ.get("EDGEYOLO_FUZZ_INPUTS", "400"))
# What breaks parsers: numbers of every kind, brackets, quotes, markup, other encodings.
SNIPPETS = [
    b"nan", b"-1", b"0", b"1e308", b"1e999", b"-0.0", b"9" * 30, b"null", b"true", b"[]", b"{}",
    b'"', b"'", b",", b":", b"[", b"}", b"\n", b"\t- ", b"\0", b"\xff\xfe", b"\xc3\x28", b"&lt;",
    b"<a>", b"</object>", b"<!--", b"<![CDATA[", b"!!python/object:os.system ", b"*x", b"&x ",
    b"../", b"%s", b"\\u0000", b"\xe2\x98\x83",
]  # fmt: skip


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(len(data) + 1))
        kind = int(rng.integers(5))
        if kind == 0 and place < len(data):
            data[place] = int(rng.integers(256))
        elif kind == 1:
            data[place:place] = SNIPPETS[int(rng.integers(len(SNIPPETS)))]
        elif kind == 2:
            del data[place : place + int(rng.integers(1, 30))]
        elif kind == 3:
            data[place:place] = data[place : place + int(rng.integers(1, 60))]
        else:
            snippet = SNIPPETS[int(rng.integers(len(SNIPPETS)))]
            data[place : place + len(snippet)] = snippet
    return bytes(data) or b"\n"


def coco(root: Path) -> Path:
    document = coco_folder(root, count=2)
    document["annotations"][0]["segmentation"] = [[4.0, 5.0, 24.0, 5.0, 24.0, 15.0]]
    (root / "instances.json").write_text(json.dumps(document))
    return root / "instances.json"


def yolo_labels(root: Path) -> Path:
    write_picture(root / "images/a.jpg", textured((48, 64)))
    (root / "labels").mkdir()
    (root / "labels/a.txt").write_text("0 0.5 0.5 0.2 0.3\n1 0.1 0.1 0.4 0.1 0.3 0.5\n")
    (root / "d.yaml").write_text("val: images\nnames: [cube, ball]\n")
    return root / "labels/a.txt"


def dataset_yaml(root: Path) -> Path:
    yolo_labels(root)
    (root / "d.yaml").write_text(
        "# data\npath: .\ntrain: images\nval: [images]\nnc: 2\nnames:\n  0: cube\n  1: ball\n"
    )
    return root / "d.yaml"


def voc(root: Path) -> Path:
    write_picture(root / "JPEGImages/a.jpg", textured((48, 64)))
    (root / "Annotations").mkdir()
    (root / "Annotations/a.xml").write_text(
        "<annotation><filename>a.jpg</filename><size><width>64</width><height>48</height></size>"
        "<object><name>cube</name><difficult>0</difficult><bndbox><xmin>3</xmin><ymin>4</ymin>"
        "<xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"
    )
    return root / "Annotations/a.xml"


@pytest.mark.parametrize("make", [coco, yolo_labels, dataset_yaml, voc])
def test_mutated_label_files_are_read_or_refused(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    file = make(tmp_path)
    original = file.read_bytes()
    source = tmp_path / "d.yaml" if (tmp_path / "d.yaml").exists() else tmp_path
    rng = np.random.default_rng(7)
    read = refused = 0
    for _ in range(INPUTS):
        file.write_bytes(mutated(original, rng))
        try:
            report = check_dataset(read_dataset(source), decode=False)
        except DatasetError as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017 - most inputs are expected to fail
            continue
        read += 1
        for picture in report.dataset.pictures:
            assert np.isfinite(picture.boxes_xyxy).all()
            assert (picture.boxes_xyxy[:, 2:] > picture.boxes_xyxy[:, :2]).all()
            assert (picture.class_ids < len(report.dataset.class_names)).all()
        assert report.text()
    assert read > 0
    assert refused + read == INPUTS
