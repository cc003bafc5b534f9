"""Damaged labels, data-set files, class names and lists."""

from __future__ import annotations

import random
from pathlib import Path

import cv2
import numpy as np

from edgeyolo.calibration.pictures import find_pictures
from edgeyolo.checkpoints.names import read_names
from edgeyolo.data.checking import check_dataset
from edgeyolo.data.labels import read_dataset
from edgeyolo.sources import open_source
from tests.hardening import seeds
from tests.hardening.mutations import TEXT, json_value, mutate, xml_attribute, xml_element
from tests.hardening.target import Target, command_line

PICTURES = ("a.jpg", "b.jpg")


def write_pictures(folder: Path) -> None:
    folder.mkdir(parents=True)
    for seed, name in enumerate(PICTURES):
        cv2.imwrite(str(folder / name), seeds.scene(seed=seed))


class Labels(Target):
    """A data set of which one file is damaged.

    Attributes:
        damaged: That file, below the folder of the input.
        source: What the user names.
    """

    damaged: str
    source = "."
    content: bytes
    ways = TEXT

    def prepare(self) -> None:
        self.path = self.input / self.damaged
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, rng: random.Random) -> None:
        self.path.write_bytes(mutate(rng, self.content, self.ways))

    def read(self, rng: random.Random) -> None:
        source = self.input / self.source
        if rng.random() < 0.1:
            command_line("data", "check", source, "--split", "val", "--json")
            return
        report = check_dataset(read_dataset(source), decode=False)
        assert report.text()
        for picture in report.dataset.pictures:
            assert np.isfinite(picture.boxes_xyxy).all()
            assert (picture.boxes_xyxy[:, 2:] > picture.boxes_xyxy[:, :2]).all()
            assert (picture.class_ids < len(report.dataset.class_names)).all()


class CocoJson(Labels):
    name = "coco-json"
    damaged = "instances.json"
    content = seeds.coco_document(list(PICTURES))
    ways = (json_value, json_value, json_value, *TEXT)

    def prepare(self) -> None:
        super().prepare()
        write_pictures(self.input / "images")


class YoloText(Labels):
    name = "yolo-txt"
    damaged = "labels/a.txt"
    source = "d.yaml"
    content = seeds.YOLO

    def prepare(self) -> None:
        super().prepare()
        write_pictures(self.input / "images")
        (self.input / "labels/b.txt").write_bytes(seeds.YOLO)
        (self.input / "d.yaml").write_bytes(seeds.DATASET_YAML)


class DatasetYaml(YoloText):
    name = "dataset-yaml"
    damaged = "d.yaml"
    content = seeds.DATASET_YAML

    def prepare(self) -> None:
        (self.input / "labels").mkdir()
        super().prepare()
        (self.input / "labels/a.txt").write_bytes(seeds.YOLO)


class VocXml(Labels):
    name = "voc-xml"
    damaged = "Annotations/a.xml"
    content = seeds.VOC
    ways = (xml_attribute, xml_attribute, xml_element, *TEXT)

    def prepare(self) -> None:
        super().prepare()
        write_pictures(self.input / "JPEGImages")
        (self.input / "Annotations/b.xml").write_bytes(seeds.VOC.replace(b"a.jpg", b"b.jpg"))


class ClassNames(Target):
    """``--names``: text, YAML, JSON."""

    name = "names"

    def prepare(self) -> None:
        self.contents = {
            "n.txt": "cube\nball\nseñal ⚠\n".encode(),
            "n.yaml": seeds.DATASET_YAML,
            "n.json": seeds.coco_document(["a.jpg"]),
        }

    def write(self, rng: random.Random) -> None:
        self.path = self.input / rng.choice(sorted(self.contents))
        ways = (json_value, *TEXT) if self.path.suffix == ".json" else TEXT
        self.path.write_bytes(mutate(rng, self.contents[self.path.name], ways))

    def read(self, rng: random.Random) -> None:
        names = read_names(self.path)
        assert len(set(names)) == len(names) > 0


class PictureList(Target):
    """A ``.txt`` that lists pictures: to predict, to calibrate on, of a data set."""

    name = "list"

    def prepare(self) -> None:
        write_pictures(self.input / "images")
        (self.input / "d.yaml").write_text("val: list.txt\nnames: [cube, ball]\n")
        self.content = b"images/a.jpg\n# remark\nimages/b.jpg\n" * 2

    def write(self, rng: random.Random) -> None:
        (self.input / "list.txt").write_bytes(mutate(rng, self.content, TEXT))

    def read(self, rng: random.Random) -> None:
        path = self.input / "list.txt"
        way = rng.randrange(3)
        if way == 0:
            source = open_source(path)
            while source.read() is not None:
                pass
        elif way == 1:
            find_pictures(path)
        else:
            check_dataset(read_dataset(self.input / "d.yaml"), decode=False)
