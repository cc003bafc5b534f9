"""Evaluation of YOLOv7 checkpoints on rectangular canvases, as its published numbers were made."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeyolo.data.dataset import DetectionDataset, LabeledPicture
from edgeyolo.data.pictures import read_picture
from edgeyolo.errors import UnsupportedError
from edgeyolo.evaluation.coco import (
    ClassMatching,
    PictureResult,
    Progress,
    class_mapping,
    picture_result,
)
from edgeyolo.evaluation.rectangles import aspect_order, place_on_rectangle, rectangle
from edgeyolo.families import FAMILIES
from edgeyolo.families.rules import EvaluationSettings
from edgeyolo.predictor import Predictor

# Pictures that share a canvas in the official command.
BATCH_SIZE = 32


def collect_rectangular(
    predictor: Predictor,
    dataset: DetectionDataset,
    settings: EvaluationSettings,
    *,
    matching: ClassMatching = ClassMatching.STRICT,
    progress: Progress | None = None,
) -> list[PictureResult]:
    """Run a model that takes any input size over a data set, sorted by aspect ratio.

    Args:
        predictor: The PyTorch model; its input size is the long side of the pictures.
        dataset: Pictures with labels.
        settings: How candidates become detections.
        matching: How class names are matched.
        progress: Called with (pictures done, pictures in all).

    Raises:
        UnsupportedError: Not a YOLOv7 model, or an artifact, whose input size is fixed.
    """
    spec = predictor.model
    if not FAMILIES[spec.family].rectangular or predictor.contract is not None:
        raise UnsupportedError(
            f"rectangular evaluation is for YOLOv7 checkpoints, not for {spec.name}"
            + (" artifacts" if predictor.contract is not None else "")
        )
    long_side = max(spec.input_hw)
    mapping = class_mapping(spec.class_names, dataset.class_names, matching)
    order = aspect_order([picture.hw for picture in dataset.pictures])
    results: list[PictureResult] = []
    for start in range(0, len(order), BATCH_SIZE):
        group = [dataset.pictures[index] for index in order[start : start + BATCH_SIZE]]
        canvas_hw = rectangle([picture.hw for picture in group], long_side, max(spec.strides))
        for picture in group:
            results.append(_found(predictor, picture, long_side, canvas_hw, settings, mapping))
            if progress is not None:
                progress(len(results), len(order))
    return results


def _found(
    predictor: Predictor,
    picture: LabeledPicture,
    long_side: int,
    canvas_hw: tuple[int, int],
    settings: EvaluationSettings,
    mapping: NDArray[np.int64],
) -> PictureResult:
    frame = read_picture(picture.path, ignore_exif=picture.ignore_exif)
    canvas, placement = place_on_rectangle(frame, long_side, canvas_hw, predictor.model.preprocess)
    outputs = predictor.session.run(canvas[None])
    detections = predictor.finish(outputs, 0, placement, settings)
    return picture_result(picture, detections, mapping)
