"""What the calibration pictures show: a report that says whether they represent anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeyolo.calibration.pictures import CalibrationPictures

# How many objects the float model finds in a (H, W, 3) uint8 BGR frame.
CountObjects = Callable[[NDArray[np.uint8]], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What the pictures of a calibration set show.

    Attributes:
        pictures: Size of the subset.
        available: Size of the set it was drawn from.
        digest: Of the subset.
        sizes_wh: (width, height, pictures), most frequent first, at most five.
        brightness: Mean grey levels 0..255: darkest picture, median, brightest.
        objects: Objects that the float model finds in all of them; ``None`` where not counted.
        pictures_without_objects: Likewise.
    """

    pictures: int
    available: int
    digest: str
    sizes_wh: tuple[tuple[int, int, int], ...]
    brightness: tuple[float, float, float]
    objects: int | None = None
    pictures_without_objects: int | None = None

    def lines(self) -> list[str]:
        """The report for people."""
        sizes = ", ".join(f"{width}x{height}: {count}" for width, height, count in self.sizes_wh)
        dark, middle, bright = self.brightness
        lines = [
            f"calibration set: {self.pictures} of {self.available} pictures, "
            f"digest {self.digest[:12]}",
            f"  sizes (width x height: pictures): {sizes}",
            f"  mean brightness: darkest {dark:.0f}, median {middle:.0f}, brightest {bright:.0f}",
        ]
        if self.objects is not None:
            lines.append(
                f"  the float model finds {self.objects} objects; "
                f"{self.pictures_without_objects} pictures have none"
            )
        lines += [f"  caution: {text}" for text in self.cautions()]
        return lines

    def cautions(self) -> list[str]:
        """What makes the set unlike what a camera will show."""
        found = []
        if self.objects is not None and self.pictures_without_objects is not None:
            if self.objects == 0:
                found.append("no picture shows an object that the model knows")
            elif 2 * self.pictures_without_objects > self.pictures:
                found.append("more than half of the pictures show no object")
        if self.pictures > 1 and self.brightness[2] - self.brightness[0] < 8:
            found.append("all pictures are equally bright")
        return found


def survey(pictures: CalibrationPictures, count_objects: CountObjects | None = None) -> Coverage:
    """Look at every picture once.

    Args:
        count_objects: Runs the float model; ``None`` leaves objects uncounted.

    Raises:
        SourceError: A picture cannot be read.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    brightness: list[float] = []
    objects: list[int] = []
    for frame_bgr in pictures.frames():
        sizes[frame_bgr.shape[1], frame_bgr.shape[0]] += 1
        brightness.append(float(frame_bgr[::4, ::4].mean()))
        if count_objects is not None:
            objects.append(count_objects(frame_bgr))
    return Coverage(
        pictures=len(pictures),
        available=pictures.available,
        digest=pictures.digest,
        sizes_wh=tuple((*size, count) for size, count in sizes.most_common(5)),
        brightness=(min(brightness), float(np.median(brightness)), max(brightness)),
        objects=sum(objects) if count_objects else None,
        pictures_without_objects=objects.count(0) if count_objects else None,
    )
