"""COCO JSON, YOLO text and Pascal VOC say the same things about the same pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgeyolo.data.checking import check_dataset
from edgeyolo.data.dataset import DetectionDataset, ProblemKind, count_problems
from edgeyolo.data.labels import read_dataset
from edgeyolo.data.pictures import picture_header, read_picture
from edgeyolo.errors import DatasetError
from tests.edgeyolo.data.dataset_files import coco_folder, save_json, textured, write_picture


def write_yolo(root: Path, dataset: DetectionDataset) -> Path:
    """*dataset* as YOLO text labels with a YAML."""
    for picture in dataset.pictures:
        target = root / "images" / "val" / picture.path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(picture.path.read_bytes())
        height, width = picture.hw
        lines = []
        for (x1, y1, x2, y2), class_id in zip(
            picture.boxes_xyxy.tolist(), picture.class_ids.tolist(), strict=True
        ):
            centre = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height)
            size = ((x2 - x1) / width, (y2 - y1) / height)
            lines.append(" ".join(map(repr, (class_id, *centre, *size))))
        label = root / "labels" / "val" / f"{picture.path.stem}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("\n".join(lines), encoding="utf-8")
    file = root / "data.yaml"
    names = json.dumps(dict(enumerate(dataset.class_names)))
    file.write_text(f"path: .\nval: images/val\nnc: 2\nnames: {names}\n", encoding="utf-8")
    return file


def write_voc(root: Path, dataset: DetectionDataset) -> None:
    for picture in dataset.pictures:
        target = root / "JPEGImages" / picture.path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(picture.path.read_bytes())
        objects = "".join(
            f"<object><name>{dataset.class_names[class_id]}</name><bndbox><xmin>{x1 + 1!r}</xmin>"
            f"<ymin>{y1 + 1!r}</ymin><xmax>{x2!r}</xmax><ymax>{y2!r}</ymax></bndbox></object>"
            for (x1, y1, x2, y2), class_id in zip(
                picture.boxes_xyxy.tolist(), picture.class_ids.tolist(), strict=True
            )
        )
        size = f"<size><width>{picture.hw[1]}</width><height>{picture.hw[0]}</height></size>"
        file = root / "Annotations" / f"{picture.path.stem}.xml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(
            f"<annotation><filename>{picture.path.name}</filename>{size}{objects}</annotation>",
            encoding="utf-8",
        )
    listing = root / "ImageSets" / "Main" / "val.txt"
    listing.parent.mkdir(parents=True)
    stems = [picture.path.stem for picture in dataset.pictures]
    listing.write_text("\n".join(stems), encoding="utf-8")


def test_three_formats_give_the_same_boxes(tmp_path: Path) -> None:
    coco_folder(tmp_path / "coco")
    coco = read_dataset(tmp_path / "coco")
    write_voc(tmp_path / "voc", coco)
    yolo = read_dataset(write_yolo(tmp_path / "yolo", coco))
    voc = read_dataset(tmp_path / "voc", class_names=coco.class_names)
    assert coco.class_names == ("cube", "ball")
    assert coco.category_ids == (1, 3)
    assert coco.problems == yolo.problems == voc.problems == ()
    for other in (yolo, voc):
        assert other.class_names == coco.class_names
        assert len(other) == len(coco) == 4
        for ours, theirs in zip(coco.pictures, other.pictures, strict=True):
            assert ours.hw == theirs.hw
            np.testing.assert_allclose(ours.boxes_xyxy, theirs.boxes_xyxy, atol=1e-9)
            np.testing.assert_array_equal(ours.class_ids, theirs.class_ids)


def test_a_folder_of_yolo_labels_needs_names(tmp_path: Path) -> None:
    coco_folder(tmp_path / "coco")
    write_yolo(tmp_path / "yolo", read_dataset(tmp_path / "coco"))
    labels, images = tmp_path / "yolo/labels/val", tmp_path / "yolo/images/val"
    with pytest.raises(DatasetError, match="without class names"):
        read_dataset(labels, images=images)
    dataset = read_dataset(labels, images=images, class_names=("cube", "ball"))
    assert dataset.boxes_per_class().tolist() == [4, 4]


def test_yolo_polygons_become_boxes_with_segments(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/a.png", textured((100, 200)))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text("0 0.1 0.2 0.5 0.2 0.3 0.8\n", encoding="utf-8")
    (tmp_path / "d.yaml").write_text("val: images\nnames: [kite]\n", encoding="utf-8")
    (picture,) = read_dataset(tmp_path / "d.yaml").pictures
    np.testing.assert_allclose(picture.boxes_xyxy, [[20, 20, 100, 80]], atol=1e-9)
    expected = np.array([[20, 20], [100, 20], [60, 80]], np.float32)
    np.testing.assert_allclose(picture.segments[0][0], expected, atol=1e-4)


def test_a_split_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text("val: images\nnames: [kite]\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"no split 'train'; it has: val"):
        read_dataset(tmp_path / "d.yaml", split="train")


def test_the_coco_subset_reads_without_problems(shared: Path) -> None:
    dataset = read_dataset(shared / "assets/coco_val2017_subset")
    document = json.loads((shared / "assets/coco_val2017_subset/instances.json").read_bytes())
    assert len(dataset) == 198
    assert len(dataset.class_names) == 80
    assert dataset.num_boxes == len(document["annotations"])
    assert set(count_problems(dataset.problems)) <= {
        ProblemKind.DUPLICATE_BOX,
        ProblemKind.BOX_CLIPPED,
    }
    assert sum(picture.crowd.sum() for picture in dataset.pictures) == 20


@pytest.mark.parametrize("padding", [0, 3_000, 60_000, 3 * 60_000])
def test_a_size_behind_long_metadata_is_found(tmp_path: Path, padding: int) -> None:
    path = tmp_path / "a.jpg"
    write_picture(path, textured((30, 50)))
    jpeg = path.read_bytes()
    sizes = [min(60_000, padding - start) for start in range(0, padding, 60_000)]
    blocks = b"".join(b"\xff\xe2" + (size + 2).to_bytes(2, "big") + b"\0" * size for size in sizes)
    path.write_bytes(jpeg[:2] + blocks + jpeg[2:])
    assert picture_header(path).hw == read_picture(path).shape[:2] == (30, 50)


def test_headers_agree_with_decoded_pictures(shared: Path) -> None:
    for path in sorted((shared / "assets/coco_val2017_subset/images").glob("*.jpg"))[:20]:
        assert picture_header(path).hw == read_picture(path).shape[:2]


@pytest.mark.parametrize("value", [1, True, 1.0])
def test_coco_crowd_regions_are_told_by_one_or_true(tmp_path: Path, value: object) -> None:
    document = coco_folder(tmp_path, count=1)
    document["annotations"][1]["iscrowd"] = value
    save_json(tmp_path, document)
    (picture,) = read_dataset(tmp_path).pictures
    assert picture.crowd.tolist() == [False, True]


def test_a_text_for_iscrowd_is_named_with_its_value(tmp_path: Path) -> None:
    document = coco_folder(tmp_path, count=1)
    document["annotations"][0]["iscrowd"] = "0"
    save_json(tmp_path, document)
    dataset = read_dataset(tmp_path)
    (problem,) = dataset.problems
    assert str(problem) == "000.jpg, annotations[0]: iscrowd is '0', neither 0 nor 1"
    assert dataset.boxes_per_class().tolist() == [0, 1]


def yaml_of_coco(root: Path) -> tuple[Path, Path]:
    """A YAML whose ``val`` is a COCO file, and the folder elsewhere that holds its pictures."""
    coco_folder(root)
    (root / "images").rename(root / "elsewhere")
    (root / "d.yaml").write_text("val: instances.json\nnames: [cube, ball]\n", encoding="utf-8")
    return root / "d.yaml", root / "elsewhere"


def test_pictures_of_a_yaml_s_coco_file_may_lie_elsewhere(tmp_path: Path) -> None:
    file, images = yaml_of_coco(tmp_path)
    with pytest.raises(DatasetError, match="no usable picture"):
        read_dataset(file)
    dataset = read_dataset(file, images=images)
    assert dataset.problems == ()
    assert [picture.path.parent for picture in dataset.pictures] == [images] * 4


@pytest.mark.parametrize("value", ["pictures", "val.txt"])
def test_a_folder_of_pictures_beside_a_yaml_that_names_them_is_refused(
    tmp_path: Path, value: str
) -> None:
    write_picture(tmp_path / "pictures/a.jpg", textured((48, 64)))
    (tmp_path / "val.txt").write_text("pictures/a.jpg\n", encoding="utf-8")
    (tmp_path / "d.yaml").write_text(f"val: {value}\nnames: [cube]\n", encoding="utf-8")
    assert len(read_dataset(tmp_path / "d.yaml")) == 1
    with pytest.raises(DatasetError, match=rf"val names its pictures \(.*{value}\), so that --im"):
        read_dataset(tmp_path / "d.yaml", images=tmp_path / "pictures")


@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif"])
def test_labels_tell_whether_they_refer_to_stored_pixels(
    tmp_path: Path, suffix: str, seen: bool
) -> None:
    """In every format that may have an EXIF orientation."""
    image = pytest.importorskip("PIL.Image")
    document = coco_folder(tmp_path, count=1)
    exif = image.Exif()
    exif[0x0112] = 6
    name = f"turned{suffix}"
    image.fromarray(textured((48, 64))).save(tmp_path / "images" / name, exif=exif)
    document["images"][0]["file_name"] = name
    if seen:
        document["images"][0].update(width=48, height=64)
    save_json(tmp_path, document)
    report = check_dataset(read_dataset(tmp_path))
    (picture,) = report.dataset.pictures
    assert picture.ignore_exif is not seen
    used = "rotation is applied" if seen else "labels refer to the stored pixels"
    turned = [one for one in report.problems if one.kind is ProblemKind.EXIF_ROTATED]
    assert [str(one) for one in turned] == [f"{name}: orientation 6; {used}"]
