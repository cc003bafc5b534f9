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
        first = f"; first problem: {problems[0].kind.value}: {problems[0]}" if problems else ""
        raise DatasetError(f"the annotations in {annotations} name no class{first}")
    class_of = {name: index for index, name in enumerate(class_names)}
    placed = [
        (file, root, path)
        for file, root in trees
        if (path := _picture_path(file, root, images, problems)) is not None
    ]
    owner_of = _owners([(file, path) for file, _, path in placed])
    pictures: list[LabeledPicture] = []
    for index, (file, root, path) in enumerate(placed):
        if owner_of[path] != index:
            detail = f"{path.name} is labelled by {placed[owner_of[path]][0].name}"
            problems.append(Problem(ProblemKind.REPEATED_PICTURE, file.name, detail))
            continue
        picture = _picture(file, root, path, class_of, len(pictures), problems)
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
    path: Path,
    class_of: dict[str, int],
    picture_id: int,
    problems: list[Problem],
) -> LabeledPicture | None:
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


def _picture_path(
    file: Path, root: ElementTree.Element, images: Path, problems: list[Problem]
) -> Path | None:
    """The picture of an annotation: that of ``<filename>``, else that of the file's own name."""
    name = _text(root, "filename")
    said = images / name if name and os.path.isfile(images / name) else None
    own = (images / (file.stem + suffix) for suffix in sorted(PICTURE_SUFFIXES))
    named = next((path for path in own if os.path.isfile(path)), None)
    if said is None and named is None:
        detail = f"no {name or file.stem} in {images}"
        problems.append(Problem(ProblemKind.MISSING_PICTURE, file.name, detail))
    # A copied annotation keeps the <filename> of the original.
    elif said and named and said.stem != file.stem and not os.path.samefile(said, named):
        detail = f"<filename> is {name}, but there is {named.name}, too"
        problems.append(Problem(ProblemKind.UNCLEAR_PICTURE, file.name, detail))
        return None
    return said or named


def _owners(placed: Sequence[tuple[Path, Path]]) -> dict[Path, int]:
    """For each picture the first annotation of it, or better the first that is named as it."""
    owner_of: dict[Path, int] = {}
    for index, (_, path) in enumerate(placed):
        owner_of.setdefault(path, index)
    for index, (file, path) in enumerate(placed):
        if file.stem == path.stem and placed[owner_of[path]][0].stem != path.stem:
            owner_of[path] = index
    return owner_of


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
