"""Pascal VOC: one XML file per picture."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from edgeyolo.data.dataset import DetectionDataset, LabeledPicture, Problem, ProblemKind
from edgeyolo.data.label_checks import LabelCollector
from edgeyolo.data.pictures import PICTURE_SUFFIXES, picture_header
from edgeyolo.errors import DatasetError, one_line


def read_voc(
    annotations: Path,
    images: Path,
    *,
    stems: Sequence[str] | None = None,
    class_names: tuple[str, ...] | None = None,
) -> DetectionDataset:
    """Read a folder of Pascal VOC annotations.

    VOC counts pixels from 1 and includes the last one, so a box from xmin to xmax covers
    xmin - 1 ... xmax here. Objects marked ``difficult`` become crowd.

    Args:
        annotations: Folder with one ``.xml`` per picture.
        images: Folder that ``<filename>`` is relative to.
        stems: Names without suffix to read (a line of ``ImageSets/Main/*.txt`` each); else all.
        class_names: In class-id order; else the names found, sorted.

    Raises:
        DatasetError: There are no annotation files or no class at all.
    """
    if stems is None:
        files = sorted(annotations.glob("*.xml"))
    else:
        files = [annotations / f"{stem}.xml" for stem in stems]
    if not files:
        raise DatasetError(f"no .xml annotation in {annotations}")
    problems: list[Problem] = []
    trees: list[tuple[Path, ElementTree.Element]] = []
    for file in files:
        root = _parse(file, problems)
        if root is not None:
            trees.append((file, root))
    if class_names is None:
        found = {_text(node, "name") for _, root in trees for node in root.iter("object")}
        class_names = tuple(sorted(found - {""}))
    if not class_names:
        raise DatasetError(f"the annotations in {annotations} name no class")
    class_of = {name: index for index, name in enumerate(class_names)}
    pictures: list[LabeledPicture] = []
    for file, root in trees:
        picture = _picture(file, root, images, class_of, len(pictures), problems)
        if picture is not None:
            pictures.append(picture)
    return DetectionDataset(
        str(annotations),
        class_names,
        tuple(range(len(class_names))),
        tuple(pictures),
        tuple(problems),
    )


def _parse(file: Path, problems: list[Problem]) -> ElementTree.Element | None:
    try:
        content = file.read_bytes()
        if b"<!ENTITY" in content:
            raise ElementTree.ParseError("entity declarations are not read")
        return ElementTree.fromstring(content)
    except OSError as error:
        detail = error.strerror or one_line(error)
        problems.append(Problem(ProblemKind.UNREADABLE_LABELS, file.name, detail))
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        problems.append(Problem(ProblemKind.UNREADABLE_LABELS, file.name, one_line(error)))
    return None


def _picture(
    file: Path,
    root: ElementTree.Element,
    images: Path,
    class_of: dict[str, int],
    picture_id: int,
    problems: list[Problem],
) -> LabeledPicture | None:
    path = _picture_path(file, root, images)
    if path is None:
        detail = f"no {_text(root, 'filename') or file.stem} in {images}"
        problems.append(Problem(ProblemKind.MISSING_PICTURE, file.name, detail))
        return None
    try:
        header = picture_header(path)
    except DatasetError as error:
        problems.append(Problem(ProblemKind.UNREADABLE_PICTURE, path.name, one_line(error)))
        return None
    said_hw = _said_hw(root)
    hw, ignore_exif = header.hw, False
    if said_hw is not None and said_hw != header.hw:
        if said_hw != header.stored_hw:
            detail = f"labels say {said_hw[1]}x{said_hw[0]}, the file is {hw[1]}x{hw[0]}"
            problems.append(Problem(ProblemKind.SIZE_MISMATCH, path.name, detail))
            return None
        hw, ignore_exif = header.stored_hw, True
    collector = LabelCollector(
        path, picture_id, hw, len(class_of), problems, ignore_exif=ignore_exif
    )
    for index, node in enumerate(root.findall("object")):
        where = f"{file.name}, object {index}"
        name, box = _text(node, "name"), node.find("bndbox")
        if name not in class_of:
            problems.append(Problem(ProblemKind.UNKNOWN_CLASS, where, f"class {name!r}"))
            continue
        if box is None or any(box.find(side) is None for side in ("xmin", "ymin", "xmax", "ymax")):
            problems.append(Problem(ProblemKind.MALFORMED_LABEL, where, "bndbox is incomplete"))
            continue
        x1, y1 = _number(box, "xmin") - 1, _number(box, "ymin") - 1
        corners = (x1, y1, _number(box, "xmax"), _number(box, "ymax"))
        difficult = _text(node, "difficult") == "1"
        collector.add(corners, class_of[name], where=where, crowd=difficult)
    return collector.build()


def _picture_path(file: Path, root: ElementTree.Element, images: Path) -> Path | None:
    name = _text(root, "filename")
    candidates = [images / name] if name else []
    candidates += [images / (file.stem + suffix) for suffix in sorted(PICTURE_SUFFIXES)]
    return next((path for path in candidates if os.path.isfile(path)), None)


def _said_hw(root: ElementTree.Element) -> tuple[int, int] | None:
    """Height and width by the annotation; some tools write none, or 0x0."""
    sides = [_number(root.find("size"), side) for side in ("height", "width")]
    if not all(math.isfinite(side) and side >= 1 for side in sides):
        return None
    return round(sides[0]), round(sides[1])


def _text(node: ElementTree.Element, tag: str) -> str:
    return (node.findtext(tag) or "").strip()


def _number(node: ElementTree.Element | None, tag: str) -> float:
    try:
        return float(_text(node, tag)) if node is not None else math.nan
    except ValueError:
        return math.nan
