"""A data set in a few lines: enough to say later whether it is still the same one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from edgeyolo.data.dataset import DetectionDataset, LabeledPicture
from edgeyolo.errors import one_line


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a data set was made of. Pixels are not read: a picture counts as its name and size.

    Attributes:
        class_names: In class-id order.
        pictures: How many are usable.
        files: Digest of the names and byte counts of the picture files, in order.
        labels: Digest of picture sizes, boxes, classes, crowd marks and outlines, in order.
    """

    class_names: tuple[str, ...]
    pictures: int
    files: str
    labels: str

    def difference(self, now: Fingerprint) -> str | None:
        """What is different *now*, in words; ``None`` where it is the same data set."""
        if now.class_names != self.class_names:
            return f"its classes were {_shown(self.class_names)} and are {_shown(now.class_names)}"
        if now.pictures != self.pictures:
            return f"it had {self.pictures} pictures and has {now.pictures}"
        if now.files != self.files:
            return "names, sizes or order of its picture files have changed"
        if now.labels != self.labels:
            return "its labels have changed"
        return None


def fingerprint(dataset: DetectionDataset) -> Fingerprint:
    """The fingerprint of a checked data set; asks the file system for the sizes of the files."""
    files, labels = hashlib.sha256(), hashlib.sha256()
    for picture in dataset.pictures:
        files.update(repr((picture.path.name, _bytes(picture))).encode("utf-8", "surrogateescape"))
        labels.update(repr((picture.hw, picture.ignore_exif, len(picture.boxes_xyxy))).encode())
        for array in (picture.boxes_xyxy, picture.class_ids, picture.crowd):
            labels.update(np.ascontiguousarray(array).tobytes())
        for polygons in picture.segments:
            labels.update(len(polygons).to_bytes(4, "little"))
            for polygon in polygons:
                labels.update(np.ascontiguousarray(polygon).tobytes())
    return Fingerprint(
        dataset.class_names, len(dataset), files.hexdigest()[:32], labels.hexdigest()[:32]
    )


def _bytes(picture: LabeledPicture) -> int:
    try:
        return picture.path.stat().st_size
    except OSError:
        return -1  # gone since the check; the trainer will name it


def _shown(names: tuple[str, ...]) -> str:
    text = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    return one_line(f"{len(names)} ({text})", limit=120)
