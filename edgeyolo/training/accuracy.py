"""COCO accuracy of the averaged model during a training, each process taking its share."""

from __future__ import annotations

import torch

from edgeyolo.data.dataset import DetectionDataset
from edgeyolo.evaluation.coco import coco_report, collect
from edgeyolo.evaluation.torch_session import torch_predictor
from edgeyolo.models.detector import Detector
from edgeyolo.spec import ModelSpec
from edgeyolo.training.distributed import Ranks
from edgeyolo.training.loop import Accuracy, Evaluate


def evaluator(
    dataset: DetectionDataset, spec: ModelSpec, device: torch.device, ranks: Ranks
) -> Evaluate:
    """Measures a model on *dataset* with the family's official settings.

    The network is evaluated as it is, not folded: folding proves itself on random pictures, and
    weights of the first epochs can fail that without being wrong.
    """

    def evaluate(model: Detector) -> Accuracy:
        predictor = torch_predictor(model, spec, device=str(device))
        share = dataset.pictures[ranks.rank :: ranks.count]
        results = collect(predictor.evaluate, share, dataset)
        gathered = ranks.gather(results)
        accuracy = Accuracy(0.0, 0.0)
        if ranks.first:
            found = [result for part in gathered for result in part]
            if any(len(result.scores) for result in found):
                report = coco_report(found, dataset)
                accuracy = Accuracy(max(report.ap, 0.0), max(report.ap50, 0.0))
        return Accuracy(*ranks.from_first(tuple(accuracy)))

    return evaluate
