"""``read_dataset``: any label format that can be told from its path."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from edgeyolo.data.coco_json import read_coco_json
from edgeyolo.data.dataset import DetectionDataset
from edgeyolo.data.dataset_yaml import read_dataset_yaml
from edgeyolo.data.voc_xml import read_voc
from edgeyolo.data.yolo_label_files import has_label_files
from edgeyolo.data.yolo_txt import read_yolo
from edgeyolo.errors import DatasetError, one_line

YAML_SUFFIXES = frozenset({".yaml", ".yml"})


def read_dataset(
    source: Path,
    *,
    images: Path | None = None,
    class_names: tuple[str, ...] | None = None,
    split: str = "val",
) -> DetectionDataset:
    """Read a data set in any known format.

    Args:
        source: One of

            * a COCO annotation file (``.json``);
            * a data-set YAML; its split names folders of pictures, ``.txt`` lists of pictures
              or COCO ``.json`` files;
            * a folder with ``images/`` and a COCO ``instances.json``, or a data-set YAML;
            * a Pascal VOC folder (``Annotations/``, ``JPEGImages/``, ``ImageSets/Main/``);
            * a folder of YOLO ``.txt`` or of VOC ``.xml`` files, together with *images*.
        images: Folder of the pictures where it is not beside the labels; with a YAML, of those
            of its COCO ``.json`` only.
        class_names: Needed for a bare folder of YOLO labels; fixes the order for VOC.
        split: Which part of a YAML or of VOC's ``ImageSets/Main`` is read.

    Raises:
        DatasetError: Nothing readable is there, or *images* is given for a YAML that names its
            pictures itself; single bad labels and pictures are in ``problems`` of the result
            instead.
    """
    if not source.exists():
        raise DatasetError(f"data set {source} does not exist")
    dataset = _read(source, images, class_names, split)
    if not dataset.pictures:
        first = f"; {_first(dataset)}" if dataset.problems else ""
        raise DatasetError(f"no usable picture in {dataset.name}{first}")
    return dataset


def has_split(source: Path, split: str) -> bool:
    """Whether *source* names pictures for *split*: a data-set YAML or a VOC folder can."""
    if source.is_dir() and (source / "instances.json").is_file():
        return False
    if source.is_dir() and (source / "Annotations").is_dir():
        return (source / "ImageSets" / "Main" / f"{split}.txt").is_file()
    yamls = [source] if source.is_file() else _yamls(source)
    if len(yamls) != 1 or yamls[0].suffix.lower() not in YAML_SUFFIXES:
        return False
    return split in read_dataset_yaml(yamls[0]).splits


def _yamls(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in YAML_SUFFIXES)


def _first(dataset: DetectionDataset) -> str:
    problem = dataset.problems[0]
    return f"first of {len(dataset.problems)} problems: {problem.kind.value}: {problem}"


def _read(
    source: Path,
    images: Path | None,
    class_names: tuple[str, ...] | None,
    split: str,
) -> DetectionDataset:
    if source.is_file():
        suffix = source.suffix.lower()
        if suffix == ".json":
            return read_coco_json(source, images or _images_beside(source))
        if suffix in YAML_SUFFIXES:
            return _read_yaml(source, images, split)
        raise DatasetError(f"{source} is neither a COCO .json nor a data-set .yaml")
    if (source / "instances.json").is_file():
        return read_coco_json(source / "instances.json", images or source / "images")
    if (source / "Annotations").is_dir():
        return read_voc(
            source / "Annotations",
            images or source / "JPEGImages",
            stems=_voc_split(source, split),
            class_names=class_names,
        )
    yamls = _yamls(source)
    if len(yamls) == 1:
        return _read_yaml(yamls[0], images, split)
    if any(source.glob("*.xml")):
        return read_voc(source, images or source, class_names=class_names)
    if has_label_files(source):
        if class_names is None:
            raise DatasetError(
                f"{source} holds YOLO labels without class names; give the names "
                f"(--names FILE) or a data-set YAML"
            )
        return read_yolo(str(source), [images or source], class_names, labels=source)
    raise DatasetError(
        f"{source} is no data set: expected instances.json, Annotations/, one data-set .yaml, "
        f"or .txt / .xml label files"
    )


def _read_yaml(file: Path, images: Path | None, split: str) -> DetectionDataset:
    config = read_dataset_yaml(file)
    sources = config.sources(split)
    json_files = [path for path in sources if path.suffix.lower() == ".json"]
    name = f"{file} ({split})"
    if not json_files:
        if images is not None:
            raise DatasetError(
                f"{file}: {split} names its pictures ({sources[0]}), so that --images {images} has "
                "no meaning; leave it out, or change the YAML"
            )
        return read_yolo(name, sources, config.class_names)
    if len(sources) != 1:
        raise DatasetError(f"{file}: {split} may name one .json, or folders and lists, not both")
    dataset = read_coco_json(json_files[0], images or _images_beside(json_files[0]))
    if dataset.class_names != config.class_names:
        raise DatasetError(
            f"{file} and {json_files[0]} name different classes: {config.class_names[:5]}... "
            f"and {dataset.class_names[:5]}..."
        )
    return replace(dataset, name=name)


def _images_beside(annotations: Path) -> Path:
    """``images/`` beside the file or beside its folder, else the file's own folder."""
    for folder in (annotations.parent / "images", annotations.parent.parent / "images"):
        if folder.is_dir():
            return folder
    return annotations.parent


def _voc_split(source: Path, split: str) -> list[str] | None:
    folder = source / "ImageSets" / "Main"
    if not folder.is_dir():
        return None
    file = folder / f"{split}.txt"
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        there = ", ".join(sorted(path.stem for path in folder.glob("*.txt"))[:10])
        raise DatasetError(f"{source} has no split {split!r}; it has: {there}") from error
    except ValueError as error:
        raise DatasetError(f"{file} is not UTF-8 text: {one_line(error)}") from error
    return [_voc_stem(line.strip(), source / "Annotations") for line in lines if line.strip()]


def _voc_stem(line: str, annotations: Path) -> str:
    """The name in a line; lists of one class go on with 1, 0 or -1, but names have blanks, too."""
    flagged = re.fullmatch(r"(.*\S)\s+(?:-1|0|1)", line)
    if flagged is None or (annotations / f"{line}.xml").is_file():
        return line
    return flagged[1]
