"""COCO accuracy of the averaged model during a training, each process taking its share."""

from __future__ import annotations

from dataclasses import replace

import torch

from edgeyolo.data.dataset import DetectionDataset
from edgeyolo.data.pictures import read_picture
from edgeyolo.errors import DatasetError
from edgeyolo.evaluation.coco import (
    ClassMatching,
    PictureResult,
    class_mapping,
    coco_report,
    picture_result,
)
from edgeyolo.evaluation.torch_session import torch_predictor
from edgeyolo.models.detector import Detector
from edgeyolo.spec import ModelSpec
from edgeyolo.training.distributed import Ranks
from edgeyolo.training.loop import Accuracy, Evaluate
from edgeyolo.training.preparation import Say

# Results of one process, and what it could not read: picture id -> message.
_Share = tuple[list[PictureResult], dict[int, str]]


def evaluator(
    dataset: DetectionDataset, spec: ModelSpec, device: torch.device, ranks: Ranks, say: Say
) -> Evaluate:
    """Measures a model on *dataset* with the family's official settings.

    The network is evaluated as it is, not folded: folding proves itself on random pictures, and
    weights of the first epochs can fail that without being wrong. A picture that has become
    unreadable since the training began is left out and named, as in training.

    Raises:
        DatasetError: The classes of *dataset* are not those of *spec*.
    """
    mapping = class_mapping(spec.class_names, dataset.class_names, ClassMatching.STRICT)

    def evaluate(model: Detector) -> Accuracy:
        predictor = torch_predictor(model, spec, device=str(device))
        results: list[PictureResult] = []
        unreadable: dict[int, str] = {}
        for picture in dataset.pictures[ranks.rank :: ranks.count]:
            try:
                frame = read_picture(picture.path, ignore_exif=picture.ignore_exif)
            except DatasetError as error:
                unreadable[picture.picture_id] = str(error)
                continue
            results.append(picture_result(picture, predictor.evaluate(frame), mapping))
        gathered = ranks.gather((results, unreadable))
        return Accuracy(*ranks.on_first(lambda: tuple(_accuracy(gathered, dataset, say))))

    return evaluate


def _accuracy(gathered: list[_Share], dataset: DetectionDataset, say: Say) -> Accuracy:
    found = [result for results, _ in gathered for result in results]
    lost = {number: text for _, unreadable in gathered for number, text in unreadable.items()}
    for text in lost.values():
        say(f"not evaluated: {text}")
    kept = tuple(picture for picture in dataset.pictures if picture.picture_id not in lost)
    if not any(len(result.scores) for result in found):
        return Accuracy(0.0, 0.0)
    report = coco_report(found, replace(dataset, pictures=kept))
    return Accuracy(max(report.ap, 0.0), max(report.ap50, 0.0))
