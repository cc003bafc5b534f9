"""``check_dataset``: everything that is wrong with a data set, before an epoch trips over it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeyolo.data.dataset import (
    DetectionDataset,
    LabeledPicture,
    Problem,
    ProblemKind,
    count_problems,
)
from edgeyolo.data.pictures import (
    decode_picture,
    is_cut_off,
    read_bytes,
    read_header,
)
from edgeyolo.errors import DatasetError, one_line

Progress = Callable[[int, int], None]
_SMALL_PX, _MEDIUM_PX = 32.0**2, 96.0**2


@dataclass(frozen=True, slots=True, eq=False)
class CheckReport:
    """What a data set holds and what is wrong with it.

    Attributes:
        dataset: The data set without the pictures that cannot be used.
        problems: Everything found, reader's problems first.
        boxes_per_class: (C,) int64.
        size_counts: Boxes of COCO's small, medium and large areas.
        decoded: Whether every picture was decoded; else files were only seen to be whole.
    """

    dataset: DetectionDataset
    problems: tuple[Problem, ...]
    boxes_per_class: NDArray[np.int64]
    size_counts: tuple[int, int, int]
    decoded: bool = True

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Problems that made a label or a picture unusable."""
        return tuple(problem for problem in self.problems if problem.kind.is_error)

    def text(self, examples: int = 5) -> str:
        """The report that people read: totals, then each kind with its first examples."""
        names = self.dataset.class_names
        small, medium, large = self.size_counts
        kind_of = "usable pictures" if self.decoded else "pictures (not decoded)"
        lines = [
            self.dataset.name,
            f"  {len(self.dataset)} {kind_of}, {sum(self.size_counts)} boxes "
            f"({small} small, {medium} medium, {large} large), {len(names)} classes",
        ]
        counts = count_problems(self.problems)
        if not counts:
            unseen = "" if self.decoded else " seen; damage inside a picture shows without --fast"
            return "\n".join([*lines, f"  no problems{unseen}"])
        for kind, count in counts.items():
            level = "error" if kind.is_error else "warning"
            lines.append(f"  {level}: {kind.value} ({count})")
            shown = [problem for problem in self.problems if problem.kind is kind][:examples]
            lines += [f"    {problem}" for problem in shown]
            if count > examples:
                lines.append(f"    ... and {count - examples} more")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """The report as plain data for JSON."""
        return {
            "dataset": self.dataset.name,
            "pictures": len(self.dataset),
            "decoded": self.decoded,
            "boxes": sum(self.size_counts),
            "boxes_per_class": dict(
                zip(self.dataset.class_names, self.boxes_per_class.tolist(), strict=True)
            ),
            "errors": len(self.errors),
            "problems": [
                {
                    "kind": problem.kind.name.lower(),
                    "error": problem.kind.is_error,
                    "where": problem.where,
                    "detail": problem.detail,
                }
                for problem in self.problems
            ],
        }


def check_dataset(
    dataset: DetectionDataset, *, decode: bool = True, progress: Progress | None = None
) -> CheckReport:
    """Check every picture of a data set that was read.

    Args:
        dataset: As a reader returned it.
        decode: Decode every picture; otherwise only whether the files are whole.
        progress: Called with (pictures done, pictures in all).
    """
    problems = list(dataset.problems)
    usable: list[LabeledPicture] = []
    first_with: dict[bytes, Path] = {}
    # Reading and decoding release the interpreter lock, so threads use all cores.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        checked = pool.map(lambda picture: _check_picture(picture, decode), dataset.pictures)
        for index, (picture, (found, digest)) in enumerate(
            zip(dataset.pictures, checked, strict=True)
        ):
            problems += found
            if not any(problem.kind.is_error for problem in found):
                usable.append(picture)
                problems += _repeated(picture, digest, first_with)
            if progress is not None:
                progress(index + 1, len(dataset))
    kept = replace(dataset, pictures=tuple(usable))
    boxes_per_class = kept.boxes_per_class()
    problems += [
        Problem(ProblemKind.EMPTY_CLASS, name)
        for name, count in zip(dataset.class_names, boxes_per_class.tolist(), strict=True)
        if count == 0
    ]
    return CheckReport(kept, tuple(problems), boxes_per_class, _size_counts(kept), decode)


def usable_dataset(
    dataset: DetectionDataset, *, decode: bool = True, progress: Progress | None = None
) -> CheckReport:
    """:func:`check_dataset`, raising :class:`DatasetError` where nothing usable is left."""
    report = check_dataset(dataset, decode=decode, progress=progress)
    if not report.dataset.pictures:
        first = f"; first problem: {report.errors[0]}" if report.errors else ""
        raise DatasetError(f"no usable picture in {dataset.name}{first}")
    return report


def _check_picture(picture: LabeledPicture, decode: bool) -> tuple[list[Problem], bytes]:
    """What is wrong with the file, and a digest of its bytes."""
    name = picture.path.name
    if not os.path.isfile(picture.path):
        return [Problem(ProblemKind.MISSING_PICTURE, name, str(picture.path))], b""
    try:
        content = read_bytes(picture.path)
        if is_cut_off(content):
            return [Problem(ProblemKind.TRUNCATED_PICTURE, name, f"{len(content)} bytes")], b""
        header = read_header(content, str(picture.path))
        if decode:
            frame = decode_picture(content, str(picture.path), ignore_exif=picture.ignore_exif)
            if frame.shape[:2] != picture.hw:
                detail = (
                    f"expected {picture.hw[1]}x{picture.hw[0]}, "
                    f"decoded as {frame.shape[1]}x{frame.shape[0]}"
                )
                return [Problem(ProblemKind.SIZE_MISMATCH, name, detail)], b""
    except DatasetError as error:
        return [Problem(ProblemKind.UNREADABLE_PICTURE, name, one_line(error))], b""
    problems = []
    if header.orientation != 1:
        used = "labels refer to the stored pixels" if picture.ignore_exif else "rotation is applied"
        detail = f"orientation {header.orientation}; {used}"
        problems.append(Problem(ProblemKind.EXIF_ROTATED, name, detail))
    if header.bits != 8 or header.channels not in (1, 3):
        detail = f"{header.channels} channels of {header.bits} bits"
        problems.append(Problem(ProblemKind.UNUSUAL_PIXELS, name, detail))
    return problems, hashlib.sha256(content).digest()


def _repeated(
    picture: LabeledPicture, digest: bytes, first_with: dict[bytes, Path]
) -> list[Problem]:
    path = picture.path
    first = first_with.get(digest)
    if first is None:
        first_with[digest] = path
        return []
    # Where folders alone tell them apart, they are named.
    where, other = (path.name, first.name) if path.name != first.name else (path, first)
    return [Problem(ProblemKind.SAME_PIXELS, str(where), f"as {other}")]


def _size_counts(dataset: DetectionDataset) -> tuple[int, int, int]:
    areas = np.concatenate(
        [np.zeros(0), *(picture.areas[~picture.crowd] for picture in dataset.pictures)]
    )
    small = int((areas < _SMALL_PX).sum())
    large = int((areas >= _MEDIUM_PX).sum())
    return small, len(areas) - small - large, large
