"""What a user may choose about INT8, and the pictures that the choice names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeyolo.calibration.pictures import (
    DEFAULT_PICTURES,
    CalibrationPictures,
    choose_pictures,
)
from edgeyolo.calibration.ranges import RangeEstimator
from edgeyolo.data.labels import read_dataset
from edgeyolo.pictures import list_pictures, read_picture
from edgeyolo.spec import Preprocess

_LABELS = frozenset({".json", ".yaml", ".yml"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Request:
    """How INT8 is made.

    Attributes:
        calibration: Folder, list, video, COCO JSON or data-set YAML.
        most: Calibration pictures used.
        allow_few: Accept fewer than 32.
        seed: Of the choice of pictures.
        estimator: The backend's best where ``None``.
        float_layers: Convolutions left in float, named as in the ONNX graph.
        max_drop: Budget; ``None`` for none.
        val_images: Pictures to measure on.
        val_annotations: Their labels; without, agreement with the float model is measured.
        skip_bad_labels: Measure without labels that cannot be used and pictures that are missing.
        full_integer: TFLite: every operator in int8, raw heads decoded on the host.
        with_sensitivity: Measure every layer even where no budget asks for it.
        with_block_scores: Measure the accuracy that every block costs, too.
        cache_folder: Calibration results; ``None`` for no cache.
    """

    calibration: Path
    most: int = DEFAULT_PICTURES
    allow_few: bool = False
    seed: int = 0
    estimator: RangeEstimator | None = None
    float_layers: tuple[str, ...] = ()
    max_drop: float | None = None
    val_images: Path | None = None
    val_annotations: Path | None = None
    skip_bad_labels: bool = False
    full_integer: bool = False
    with_sensitivity: bool = False
    with_block_scores: bool = False
    cache_folder: Path | None = None


def calibration_pictures(request: Int8Request, preprocess: Preprocess) -> CalibrationPictures:
    """The calibration set that a request names.

    Raises:
        DatasetError, SourceError: It cannot be used.
    """
    where: Path | list[Path] = request.calibration
    if request.calibration.suffix.lower() in _LABELS:
        where = [
            picture.path for picture in read_dataset(request.calibration, split="train").pictures
        ]
    return choose_pictures(
        where,
        preprocess,
        most=request.most,
        seed=request.seed,
        allow_few=request.allow_few,
    )


def photographs(
    request: Int8Request, preprocess: Preprocess, count: int
) -> tuple[list[NDArray[np.uint8]], str]:
    """Some (H, W, 3) uint8 BGR pictures that a request names, and what to call them.

    Of the validation pictures where there are any, else of the calibration set.
    """
    frames = EvenFrames(request.val_images, calibration_pictures(request, preprocess), count)
    return list(frames), (request.val_images or request.calibration).name


def dataset_name(request: Int8Request) -> str:
    """What the accuracy is measured on."""
    if request.val_annotations is not None:
        return request.val_annotations.parent.name + "/" + request.val_annotations.name
    return (request.val_images or request.calibration).name


@dataclass(frozen=True, slots=True)
class EvenFrames:
    """At most *most* pictures, evenly spread, of a folder or else of the calibration set."""

    folder: Path | None
    pictures: CalibrationPictures
    most: int

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        if self.folder is None:
            return self.pictures.sample(self.most).frames()
        found = list_pictures(self.folder)
        index = np.linspace(0, len(found) - 1, min(self.most, len(found))).round().astype(int)
        return (read_picture(found[i]) for i in index.tolist())
