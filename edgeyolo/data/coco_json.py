"""COCO JSON: one file with pictures, categories and annotations."""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from edgeyolo.data.dataset import DetectionDataset, LabeledPicture, Problem, ProblemKind
from edgeyolo.data.label_checks import LabelCollector, polygons_of
from edgeyolo.data.pictures import PictureHeader, picture_header
from edgeyolo.errors import DatasetError, one_line


def read_coco_json(annotations: Path, images: Path) -> DetectionDataset:
    """Read a COCO annotation file.

    Classes are the categories sorted by id, as the families' own tools number them.

    Args:
        annotations: The JSON file.
        images: Folder that ``file_name`` is relative to.

    Raises:
        DatasetError: The file is missing, no JSON, or has no pictures or categories.
    """
    document = _load(annotations)
    names, category_ids = _categories(document, annotations)
    class_of = {category_id: index for index, category_id in enumerate(category_ids)}
    problems: list[Problem] = []
    by_picture: dict[int, list[tuple[int, Any]]] = defaultdict(list)
    for index, entry in enumerate(_list(document, "annotations", annotations)):
        picture_id = entry.get("image_id") if isinstance(entry, dict) else None
        if not isinstance(picture_id, int):
            detail = f"image_id is {picture_id!r}, not a number"
            problems.append(Problem(ProblemKind.MALFORMED_LABEL, f"annotations[{index}]", detail))
            continue
        by_picture[picture_id].append((index, entry))

    pictures: list[LabeledPicture] = []
    seen_ids: set[int] = set()
    seen_names: set[str] = set()
    for index, entry in enumerate(_list(document, "images", annotations)):
        where = f"images[{index}]"
        if not _is_picture(entry):
            detail = "needs id (number), file_name (text), width and height (positive numbers)"
            problems.append(Problem(ProblemKind.MALFORMED_LABEL, where, detail))
            continue
        name, picture_id = entry["file_name"], entry["id"]
        if picture_id in seen_ids or name in seen_names:
            detail = f"{name} (id {picture_id})"
            problems.append(Problem(ProblemKind.REPEATED_PICTURE, where, detail))
            continue
        seen_ids.add(picture_id)
        seen_names.add(name)
        collector = _collector(entry, images, len(names), problems)
        if collector is None:
            continue
        for number, annotation in by_picture.get(picture_id, ()):
            _add(collector, annotation, class_of, f"{name}, annotations[{number}]", problems)
        pictures.append(collector.build())
    known = [entry.get("id") for entry in document["images"] if isinstance(entry, dict)]
    for picture_id in by_picture.keys() - {number for number in known if isinstance(number, int)}:
        detail = f"{len(by_picture[picture_id])} labels of image_id {picture_id}"
        problems.append(Problem(ProblemKind.UNKNOWN_PICTURE, annotations.name, detail))
    return DetectionDataset(str(annotations), names, category_ids, tuple(pictures), tuple(problems))


def _collector(
    entry: dict[str, Any], images: Path, num_classes: int, problems: list[Problem]
) -> LabelCollector | None:
    """The collector of one picture whose file is there; else a problem."""
    path = images / entry["file_name"]
    hw = (int(entry["height"]), int(entry["width"]))
    try:
        header = _header(path)
    except FileNotFoundError:
        problems.append(Problem(ProblemKind.MISSING_PICTURE, entry["file_name"], str(path)))
        return None
    except DatasetError as error:
        detail = one_line(error)
        problems.append(Problem(ProblemKind.UNREADABLE_PICTURE, entry["file_name"], detail))
        return None
    # The labels' own size tells whether they refer to the stored or to the rotated pixels.
    ignore_exif = header.hw != hw and header.stored_hw == hw
    if header.hw != hw and not ignore_exif:
        detail = f"labels say {hw[1]}x{hw[0]}, the file is {header.hw[1]}x{header.hw[0]}"
        problems.append(Problem(ProblemKind.SIZE_MISMATCH, entry["file_name"], detail))
        return None
    return LabelCollector(path, entry["id"], hw, num_classes, problems, ignore_exif=ignore_exif)


def _header(path: Path) -> PictureHeader:
    # Unlike Path.is_file it takes a name that is too long for one that is not there.
    if not os.path.isfile(path):
        raise FileNotFoundError(path)
    return picture_header(path)


def _add(
    collector: LabelCollector,
    annotation: dict[str, Any],
    class_of: dict[int, int],
    where: str,
    problems: list[Problem],
) -> None:
    category_id, box = annotation.get("category_id"), annotation.get("bbox")
    if not isinstance(category_id, int) or category_id not in class_of:
        detail = f"category_id {category_id!r}, known: {_shorten(sorted(class_of))}"
        problems.append(Problem(ProblemKind.UNKNOWN_CLASS, where, detail))
        return
    if (
        not isinstance(box, list)
        or len(box) != 4
        or not all(isinstance(value, int | float) for value in box)
    ):
        detail = f"bbox is {_shorten(box)}, not four numbers x, y, width, height"
        problems.append(Problem(ProblemKind.MALFORMED_LABEL, where, detail))
        return
    crowd = annotation.get("iscrowd")
    # A text "0" is true to Python: the object would be left out of training and accuracy.
    if crowd is not None and not (isinstance(crowd, int | float) and crowd in (0, 1)):
        detail = f"iscrowd is {_shorten(repr(crowd))}, neither 0 nor 1"
        problems.append(Problem(ProblemKind.MALFORMED_LABEL, where, detail))
        return
    x, y, width, height = (_as_float(value) for value in box)
    area = annotation.get("area")
    collector.add(
        (x, y, x + width, y + height),
        class_of[category_id],
        where=where,
        crowd=bool(crowd),
        area=_as_float(area) if isinstance(area, int | float) else None,
        segments=polygons_of(annotation.get("segmentation")),
    )


def _as_float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:  # JSON knows whole numbers of any length
        return math.inf


def _load(annotations: Path) -> dict[str, Any]:
    try:
        document = json.loads(annotations.read_bytes())
    except OSError as error:
        raise DatasetError(
            f"cannot read annotations {annotations}: {error.strerror or one_line(error)}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{annotations} is not a JSON file: {one_line(error)}") from error
    if not isinstance(document, dict):
        raise DatasetError(
            f"{annotations} is not a COCO annotation file: a {type(document).__name__} instead of "
            f"an object with images, annotations and categories"
        )
    return document


def _list(document: dict[str, Any], key: str, annotations: Path) -> list[Any]:
    value = document.get(key)
    if not isinstance(value, list):
        raise DatasetError(
            f"{annotations} is not a COCO annotation file: it has no list {key!r} "
            f"(found: {_shorten(sorted(map(str, document)))})"
        )
    return value


def _categories(
    document: dict[str, Any], annotations: Path
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    categories: dict[int, str] = {}
    for index, entry in enumerate(_list(document, "categories", annotations)):
        category_id = entry.get("id") if isinstance(entry, dict) else None
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(category_id, int) or not isinstance(name, str) or not name.strip():
            raise DatasetError(f"{annotations}: categories[{index}] needs an id and a name")
        if category_id in categories or name in categories.values():
            raise DatasetError(f"{annotations}: category {category_id} {name!r} is listed twice")
        categories[category_id] = name
    if not categories:
        raise DatasetError(f"{annotations} lists no categories")
    ids = tuple(sorted(categories))
    return tuple(categories[category_id] for category_id in ids), ids


def _is_picture(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("id"), int)
        and isinstance(entry.get("file_name"), str)
        and bool(entry["file_name"])
        and "\0" not in entry["file_name"]
        and all(
            isinstance(entry.get(side), int | float) and 0 < entry[side] < 1e6
            for side in ("width", "height")
        )
    )


def _shorten(value: object, limit: int = 80) -> str:
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
