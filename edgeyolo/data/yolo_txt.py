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
from edgeyolo.data.yolo_label_files import LabelFiles, lonely_label_files
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
        labels: Folder of the label files; where the others look is told by
            :class:`~edgeyolo.data.yolo_label_files.LabelFiles`.

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
    images = sources[0] if os.path.isdir(sources[0]) else sources[0].parent
    label_files = LabelFiles(dict.fromkeys(paths), labels, images)
    seen: set[Path] = set()
    used: set[Path] = set()
    for path in paths:
        if path in seen:
            problems.append(Problem(ProblemKind.REPEATED_PICTURE, str(path)))
            continue
        seen.add(path)
        file, others = label_files.of(path)
        used.add(file)
        if others:
            detail = f"{file} may be of {others[0]}, too"
            problems.append(Problem(ProblemKind.SHARED_LABELS, str(path), detail))
            continue
        picture = _picture(path, file, len(class_names), len(pictures), problems)
        if picture is not None:
            pictures.append(picture)
    if labels is not None:
        for file in lonely_label_files(labels, used):
            inside = file.relative_to(labels)
            where = f"{inside.with_suffix('')} of {inside}"
            problems.append(Problem(ProblemKind.MISSING_PICTURE, where))
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


def _picture(
    path: Path,
    file: Path,
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
