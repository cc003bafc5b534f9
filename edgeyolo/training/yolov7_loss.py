"""YOLOv7's losses: plain, OTA, and OTA with auxiliary heads.

Equal to the official training code at a207844 in the cases of the reference data. What the
original gets wrong is right here unless switched back:

* OTA scales target x by the picture's height (``height_for_both_axes``);
* a batch in which no target matches crashes the original on a CPU; here it has a loss.

With several processes every denominator is that of the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor
from torch.nn import functional as F

from edgeyolo.training.box_overlap import complete_iou
from edgeyolo.training.loss_report import LossReport, SumOverRanks, alone
from edgeyolo.training.yolov7_candidates import Candidates, Neighbourhood, candidates_per_level
from edgeyolo.training.yolov7_matching import box_cells, match_candidates

AUXILIARY_WEIGHT = 0.25
_FOCAL_ALPHA = 0.25
# Weight of the objectness loss per level, fine to coarse, by the number of levels.
_OBJECTNESS_BALANCE = {3: (4.0, 1.0, 0.4), 4: (4.0, 1.0, 0.25, 0.06)}


class Assignment(Enum):
    """How ground truths are given to predictions."""

    PLAIN = "plain"
    OTA = "ota"
    AUXILIARY_OTA = "auxiliary_ota"


@dataclass(frozen=True, slots=True)
class Gains:
    """Weights of the three terms.

    Attributes:
        box: Of 1 - CIoU.
        objectness: Of the objectness cross entropy.
        classes: Of the class cross entropy.
    """

    box: float
    objectness: float
    classes: float

    def scaled(self, *, levels: int, num_classes: int, input_side: int) -> Gains:
        """Gains for another number of levels, classes, and input size than 3, 80, 640."""
        return Gains(
            box=self.box * 3.0 / levels,
            objectness=self.objectness * (input_side / 640.0) ** 2 * 3.0 / levels,
            classes=self.classes * num_classes / 80.0 * 3.0 / levels,
        )


@dataclass(frozen=True, slots=True)
class YoloV7LossOptions:
    """What may be tuned.

    Attributes:
        assignment: Plain, OTA or OTA with auxiliary heads.
        anchor_threshold: Largest ratio of sides between a target and an anchor.
        label_smoothing: Class targets become 1 - eps/2 and eps/2.
        focal_gamma: Exponent of the focal factor; 0 is off.
        class_positive_weight: Weight of positives in the class cross entropy.
        objectness_positive_weight: Weight of positives in the objectness cross entropy.
        height_for_both_axes: Reproduce the original's mistake on pictures that are not square.
    """

    assignment: Assignment = Assignment.OTA
    anchor_threshold: float = 4.0
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    class_positive_weight: float = 1.0
    objectness_positive_weight: float = 1.0
    height_for_both_axes: bool = False


class YoloV7Loss:
    """Computes the loss of head outputs against a list of targets.

    Args:
        num_classes: Number of classes; with one the class loss is skipped.
        strides: Input pixels per cell, per lead level, fine to coarse.
        anchors_px: Per lead level, per anchor (width, height) in input pixels.
        gains: Already scaled (``Gains.scaled``).
        options: Assignment and the rest.
        sum_over_ranks: Sums a tensor over all processes.
        ranks: Number of processes.
    """

    def __init__(
        self,
        num_classes: int,
        strides: Sequence[int],
        anchors_px: Sequence[Sequence[tuple[float, float]]],
        gains: Gains,
        options: YoloV7LossOptions,
        *,
        sum_over_ranks: SumOverRanks = alone,
        ranks: int = 1,
    ) -> None:
        self.num_classes = num_classes
        self.strides = tuple(strides)
        self.gains = gains
        self.options = options
        self._anchors_cells = [
            torch.tensor(level, dtype=torch.float32) / stride
            for level, stride in zip(anchors_px, strides, strict=True)
        ]
        self._balance = _OBJECTNESS_BALANCE[len(self.strides)]
        self._sum_over_ranks = sum_over_ranks
        self._ranks = ranks

    def __call__(self, raw: Sequence[Tensor], targets: Tensor) -> LossReport:
        """The loss of one batch, times the number of pictures (as the original's).

        Args:
            raw: Lead levels (B, A, H, W, 5+C), then, for auxiliary OTA, as many auxiliary.
            targets: (T, 6) float32: picture, class, cx, cy, w, h normalised to the input.
        """
        levels = len(self.strides)
        auxiliary = self.options.assignment is Assignment.AUXILIARY_OTA
        if len(raw) != levels * (1 + auxiliary):
            raise ValueError(
                f"{self.options.assignment.value} needs {levels * (1 + auxiliary)} head outputs, "
                f"got {len(raw)}"
            )
        outputs = [level.float() for level in raw]
        self._anchors_cells = [anchors.to(outputs[0].device) for anchors in self._anchors_cells]
        positives = self.assign(outputs, targets)
        weights = (1.0, AUXILIARY_WEIGHT) if auxiliary else (1.0,)
        counts = torch.tensor(
            [float(len(places.picture)) for places in positives] + [float(len(raw[0]))],
            device=outputs[0].device,
        )
        counts = self._sum_over_ranks(counts)
        batch_size = counts[-1]
        box = outputs[0].new_zeros(())
        objectness, classes = box.clone(), box.clone()
        for index, (output, places) in enumerate(zip(outputs, positives, strict=True)):
            weight, level = weights[index // levels], index % levels
            terms = self._level_terms(output, places, targets, level)
            count = counts[index].clamp(min=1)
            box = box + weight * terms[0] / count
            cells_per_picture = output.shape[1] * output.shape[2] * output.shape[3]
            objectness = objectness + weight * self._balance[level] * terms[1] / (
                batch_size * cells_per_picture
            )
            classes = classes + weight * terms[2] / (count * self.num_classes)
        box, objectness = box * self.gains.box, objectness * self.gains.objectness
        classes = classes * self.gains.classes
        total = box + objectness + classes
        parts = {"box": box, "objectness": objectness, "class": classes, "total": total}
        return LossReport(
            total=total * batch_size * self._ranks,
            parts={name: value.detach() for name, value in parts.items()},
            positives=sum(len(places.picture) for places in positives[:levels]),
        )

    def assign(self, raw: Sequence[Tensor], targets: Tensor) -> list[Candidates]:
        """Positives per level of *raw*: lead levels, then auxiliary ones."""
        levels = len(self.strides)
        lead = raw[:levels]
        options = self.options

        def candidates(neighbourhood: Neighbourhood) -> list[Candidates]:
            return candidates_per_level(
                targets,
                lead,
                self._anchors_cells,
                anchor_threshold=options.anchor_threshold,
                neighbourhood=neighbourhood,
            )

        def chosen(places: list[Candidates], best_ious: int) -> list[Candidates]:
            return match_candidates(
                places,
                lead,
                targets,
                self._anchors_cells,
                self.strides,
                best_ious=best_ious,
                height_for_both_axes=options.height_for_both_axes,
            )

        near = candidates(Neighbourhood.THREE_CELLS)
        if options.assignment is Assignment.PLAIN:
            return near
        if options.assignment is Assignment.OTA:
            return chosen(near, 10)
        # The auxiliary heads learn the places that the lead predictions choose.
        return chosen(near, 20) + chosen(candidates(Neighbourhood.FIVE_CELLS), 20)

    def _level_terms(
        self, output: Tensor, places: Candidates, targets: Tensor, level: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Sums of 1 - CIoU, objectness and class cross entropy of one level."""
        objectness_target = torch.zeros_like(output[..., 4])
        box = classes = output.new_zeros(())
        if len(places.picture):
            chosen = output[places.picture, places.anchor, places.row, places.column]
            predicted = box_cells(chosen, self._anchors_cells[level][places.anchor])
            truths = targets[places.truth]
            height, width = output.shape[2:4]
            size = torch.tensor([width, height, width, height], device=output.device)
            target = truths[:, 2:6] * size
            cell_xy = torch.stack((places.column, places.row), dim=1)
            target = torch.cat((target[:, :2] - cell_xy, target[:, 2:]), dim=1)
            ciou = complete_iou(predicted, target)
            box = (1.0 - ciou).sum()
            _write_last(objectness_target, places, ciou.detach().clamp(min=0))
            if self.num_classes > 1:
                half_eps = 0.5 * self.options.label_smoothing
                class_target = torch.full_like(chosen[:, 5:], half_eps)
                class_target.scatter_(1, truths[:, 1:2].long(), 1.0 - half_eps)
                classes = self._cross_entropy(
                    chosen[:, 5:], class_target, self.options.class_positive_weight
                )
        objectness = self._cross_entropy(
            output[..., 4], objectness_target, self.options.objectness_positive_weight
        )
        return box, objectness, classes

    def _cross_entropy(self, logits: Tensor, target: Tensor, positive_weight: float) -> Tensor:
        weight = None if positive_weight == 1.0 else logits.new_tensor([positive_weight])
        gamma = self.options.focal_gamma
        if gamma == 0:
            return F.binary_cross_entropy_with_logits(
                logits, target, pos_weight=weight, reduction="sum"
            )
        loss = F.binary_cross_entropy_with_logits(
            logits, target, pos_weight=weight, reduction="none"
        )
        probability = logits.sigmoid()
        correct = target * probability + (1 - target) * (1 - probability)
        alpha = target * _FOCAL_ALPHA + (1 - target) * (1 - _FOCAL_ALPHA)
        return (loss * alpha * (1.0 - correct) ** gamma).sum()


def _write_last(objectness_target: Tensor, places: Candidates, values: Tensor) -> None:
    """Write *values* (n,) at *places*; where a place occurs twice the later one wins.

    Indexed assignment leaves the order of duplicates to the device; this does not.
    """
    _, anchors, height, width = objectness_target.shape
    flat = (
        (places.picture * anchors + places.anchor) * height + places.row
    ) * width + places.column
    order = torch.arange(len(flat), device=flat.device)
    last = torch.full((objectness_target.numel(),), -1, device=flat.device, dtype=torch.int64)
    last.scatter_reduce_(0, flat, order, reduce="amax")
    winners = last[flat] == order
    objectness_target.view(-1)[flat[winners]] = values[winners].to(objectness_target.dtype)
