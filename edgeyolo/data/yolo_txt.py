"""YOLO labels: one text file per picture."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeyolo.data.dataset import DetectionDataset, LabeledPicture, Problem, ProblemKind
from edgeyolo.data.label_checks import LabelCollector
from edgeyolo.data.pictures import PICTURE_SUFFIXES, picture_header
from edgeyolo.errors import DatasetError, one_line


def read_yolo(
    name: str,
    sources: Sequence[Path],
    class_names: tuple[str, ...],
    *,
    labels: Path | None = None,
) -> DetectionDataset:
    """Read pictures with YOLO label files.

    A line is ``class cx cy w h`` or ``class x1 y1 x2 y2 x3 y3 ...`` (a polygon), all divided by
    the picture's width and height.

    Args:
        name: What to call the data set in reports.
        sources: Folders of pictures (searched in depth) or ``.txt`` files that list pictures.
        class_names: In class-id order.
        labels: Folder of the label files; else they lie beside the pictures, or under
            ``labels`` where the picture's path says ``images``.

    Raises:
        DatasetError: A source is missing or no picture is found.
    """
    problems: list[Problem] = []
    paths: list[Path] = []
    for source in sources:
        paths += _listed(source)
    if not paths:
        raise DatasetError(f"no picture found in {', '.join(map(str, sources))}")
    pictures: list[LabeledPicture] = []
    seen: set[Path] = set()
    for path in paths:
        if path in seen:
            problems.append(Problem(ProblemKind.REPEATED_PICTURE, str(path)))
            continue
        seen.add(path)
        picture = _picture(path, labels, len(class_names), len(pictures), problems)
        if picture is not None:
            pictures.append(picture)
    if labels is not None:
        _note_lonely(labels, {path.stem for path in paths}, problems)
    return DetectionDataset(
        name, class_names, tuple(range(len(class_names))), tuple(pictures), tuple(problems)
    )


def _listed(source: Path) -> list[Path]:
    if os.path.isdir(source):
        return sorted(
            path
            for path in source.rglob("*")
            if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()
        )
    if os.path.exists(source) and not os.path.isfile(source):
        raise DatasetError(f"{source} is a device, neither a folder nor a list of pictures")
    try:
        lines = source.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DatasetError(
            f"cannot read picture list {source}: {error.strerror or one_line(error)}"
        ) from error
    except ValueError as error:
        raise DatasetError(f"picture list {source} is not UTF-8 text: {one_line(error)}") from error
    return [source.parent / line.strip() for line in lines if line.strip()]


def _note_lonely(labels: Path, stems: set[str], problems: list[Problem]) -> None:
    """Label files without a picture, where every picture's label file is in one folder."""
    problems += [
        Problem(ProblemKind.MISSING_PICTURE, f"{file.stem} of {file.name}")
        for file in sorted(labels.glob("*.txt"))
        if file.stem not in stems and _is_label_file(file)
    ]


def _is_label_file(file: Path) -> bool:
    """Whether it starts with a number: classes.txt and notes lie beside labels, too."""
    try:
        with file.open(encoding="utf-8-sig") as lines:
            float(lines.readline().split()[0])
    except (OSError, ValueError, IndexError):
        return False
    return True


def label_path(picture: Path, labels: Path | None) -> Path:
    """Where the label file of a picture is expected."""
    if labels is not None:
        return labels / f"{picture.stem}.txt"
    parts = list(picture.parts)
    # The last "images" of the path becomes "labels", as every YOLO tool does.
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _picture(
    path: Path,
    labels: Path | None,
    num_classes: int,
    picture_id: int,
    problems: list[Problem],
) -> LabeledPicture | None:
    if not os.path.isfile(path):
        problems.append(Problem(ProblemKind.MISSING_PICTURE, str(path)))
        return None
    try:
        header = picture_header(path)
    except DatasetError as error:
        problems.append(Problem(ProblemKind.UNREADABLE_PICTURE, path.name, one_line(error)))
        return None
    collector = LabelCollector(path, picture_id, header.hw, num_classes, problems)
    file = label_path(path, labels)
    if not os.path.isfile(file):
        problems.append(Problem(ProblemKind.NO_LABELS, path.name, f"expected {file}"))
        return collector.build()
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        # Without its labels the picture would teach that nothing is there.
        problems.append(Problem(ProblemKind.UNREADABLE_LABELS, file.name, one_line(error)))
        return None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            _add(collector, line, header.hw, f"{file.name}, line {number}", problems)
    return collector.build()


def _add(
    collector: LabelCollector,
    line: str,
    hw: tuple[int, int],
    where: str,
    problems: list[Problem],
) -> None:
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        problems.append(Problem(ProblemKind.MALFORMED_LABEL, where, f"{line.strip()[:60]!r}"))
        return
    is_polygon = len(values) >= 7 and len(values) % 2 == 1
    if not is_polygon and len(values) != 5:
        detail = f"{len(values)} numbers instead of class cx cy w h"
        problems.append(Problem(ProblemKind.MALFORMED_LABEL, where, detail))
        return
    if not math.isfinite(values[0]) or values[0] != int(values[0]):
        problems.append(Problem(ProblemKind.UNKNOWN_CLASS, where, f"class {values[0]:g}"))
        return
    height, width = hw
    if is_polygon:
        points = np.array(values[1:], np.float64).reshape(-1, 2) * (width, height)
        low, high = points.min(axis=0), points.max(axis=0)
        box = (*low.tolist(), *high.tolist())
        segments = (points.astype(np.float32),) if np.isfinite(points).all() else ()
    else:
        cx, cy, w, h = values[1:]
        box = (
            (cx - w / 2) * width,
            (cy - h / 2) * height,
            (cx + w / 2) * width,
            (cy + h / 2) * height,
        )
        segments = ()
    # NaN and infinite numbers are the collector's to report.
    largest = max((value for value in values[1:] if math.isfinite(value)), default=0.0)
    if not is_polygon and largest > 2.0:
        detail = f"{line.strip()[:60]!r}: coordinates must be divided by the picture size"
        problems.append(Problem(ProblemKind.MALFORMED_LABEL, where, detail))
        return
    collector.add(box, int(values[0]), where=where, segments=segments)
