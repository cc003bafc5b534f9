"""Areas decide between small, medium and large: those within the picture, of the outline."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeyolo.data.checking import check_dataset
from edgeyolo.data.label_checks import area_within
from edgeyolo.data.labels import read_dataset
from tests.edgeyolo.data.dataset_files import coco_folder, save_json, textured, write_picture


@pytest.mark.parametrize(
    ("line", "area"),
    [
        ("0 .5 .5 .2 .3", 600),
        ("0 1.0 .5 .9 .3", 1350),
        ("0 0 0 1 0 1 1", 5000),
        ("0 -1 0 1 0 1 1 -1 1", 10_000),
        # A square of 80 x 80 on its corner, half of it left of the picture.
        ("0 -.4 .5 0 .1 .4 .5 0 .9", 1600),
    ],
)
def test_the_area_of_a_yolo_label_is_what_the_picture_shows(
    tmp_path: Path, line: str, area: float
) -> None:
    write_picture(tmp_path / "images/a.png", textured((100, 100)))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text(line, encoding="utf-8")
    (tmp_path / "d.yaml").write_text("val: images\nnames: [kite]\n", encoding="utf-8")
    (picture,) = read_dataset(tmp_path / "d.yaml").pictures
    assert picture.areas.tolist() == pytest.approx([area], rel=1e-6)  # outlines are float32


def test_a_voc_box_over_the_edge_counts_as_small_as_it_is_seen(tmp_path: Path) -> None:
    write_picture(tmp_path / "JPEGImages/a.png", textured((100, 100)))
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations/a.xml").write_text(
        "<annotation><filename>a.png</filename><object><name>kite</name><bndbox><xmin>81</xmin>"
        "<ymin>1</ymin><xmax>200</xmax><ymax>40</ymax></bndbox></object></annotation>",
        encoding="utf-8",
    )
    dataset = read_dataset(tmp_path)
    assert dataset.pictures[0].areas.tolist() == [20 * 40]
    assert check_dataset(dataset).size_counts == (1, 0, 0)


def test_a_coco_file_has_the_last_word_on_areas(tmp_path: Path) -> None:
    document = coco_folder(tmp_path, count=1)
    triangle = [[4.0, 5.0, 24.0, 5.0, 24.0, 15.0]]
    document["annotations"][0].update(segmentation=triangle, area=7.5)
    document["annotations"][1].update(bbox=[30.0, 8.0, 90.0, 30.0], area=2700.0)
    save_json(tmp_path, document)
    assert read_dataset(tmp_path).pictures[0].areas.tolist() == [7.5, 2700.0]
    for annotation in document["annotations"]:
        del annotation["area"]
    save_json(tmp_path, document)
    assert read_dataset(tmp_path).pictures[0].areas.tolist() == [100.0, 34.0 * 30.0]


def test_what_tiles_show_of_a_polygon_adds_up_to_its_area() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        corners = int(rng.integers(4, 12))
        angles = (np.arange(corners) + rng.uniform(0, 0.9, corners)) * 2 * np.pi / corners
        radii = rng.uniform(10, 60, corners)
        around = np.stack((np.cos(angles), np.sin(angles)), axis=1) * radii[:, None]
        polygon = (around + 80).astype(np.float32)
        tiles = [
            area_within(polygon - np.array((x, y), np.float32), (48, 64))
            for x in range(0, 192, 64)
            for y in range(0, 192, 48)
        ]
        # Shifted in float32, whose step at 100 is 8e-6, along some 300 px of outline.
        assert sum(tiles) == pytest.approx(cv2.contourArea(polygon), abs=0.01)
        assert sum(area > 0 for area in tiles) > 1
