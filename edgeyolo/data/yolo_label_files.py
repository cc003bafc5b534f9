"""Which label file belongs to which picture of a YOLO data set."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path


class LabelFiles:
    """Finds the label files of pictures.

    Without a folder of labels they lie beside the pictures, or under ``labels`` where the
    picture's path says ``images``. In a folder of labels they lie where the pictures lie in
    theirs; where such a file is missing, one of that name directly in the folder will do.

    Args:
        pictures: All pictures of the data set.
        labels: Folder of the label files, if there is one.
        images: The pictures' own folder; of account only beside *labels*.
    """

    def __init__(self, pictures: Iterable[Path], labels: Path | None, images: Path) -> None:
        self._labels = labels
        self._expected = {picture: _expected(picture, labels, images) for picture in pictures}
        self._by_file: dict[Path, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for picture, file in self._expected.items():
            self._by_file[file].append(picture)
            self._by_stem[picture.stem].append(picture)

    def of(self, picture: Path) -> tuple[Path, tuple[Path, ...]]:
        """The label file of a picture, there or not, and the other pictures that it may be of."""
        file = self._expected[picture]
        claimants = self._by_file[file]
        if self._labels is not None and not os.path.isfile(file):
            flat = self._labels / f"{picture.stem}.txt"
            if flat not in self._by_file and os.path.isfile(flat):
                file, claimants = flat, self._by_stem[picture.stem]
        if len(claimants) == 1 or not os.path.isfile(file):
            return file, ()
        there = [claimant for claimant in claimants if os.path.isfile(claimant)]
        others = (other for other in there if other != picture) if picture in there else ()
        return file, tuple(others)


def has_label_files(folder: Path) -> bool:
    """Whether a folder holds text files, or label files further down."""
    return any(folder.glob("*.txt")) or any(map(_is_label_file, folder.rglob("*.txt")))


def lonely_label_files(labels: Path, used: set[Path]) -> list[Path]:
    """Label files below *labels* that are no picture's."""
    return [
        file for file in sorted(labels.rglob("*.txt")) if file not in used and _is_label_file(file)
    ]


def _expected(picture: Path, labels: Path | None, images: Path) -> Path:
    name = f"{picture.stem}.txt"
    if labels is not None:
        known = picture.is_relative_to(images)
        return labels / picture.relative_to(images).parent / name if known else labels / name
    folders = list(picture.parts[:-1])
    # The last "images" of the path becomes "labels", as every YOLO tool does.
    for index in reversed(range(len(folders))):
        if folders[index] == "images":
            folders[index] = "labels"
            break
    return Path(*folders, name)


def _is_label_file(file: Path) -> bool:
    """Whether it starts with a number: classes.txt and notes lie beside labels, too."""
    try:
        with file.open(encoding="utf-8-sig") as lines:
            float(lines.readline().split()[0])
    except (OSError, ValueError, IndexError):
        return False
    return True
