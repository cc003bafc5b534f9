"""YOLOX's loss: SimOTA assignment, IoU, objectness, class, and L1 in the last epochs.

Equal to the official repository at 6ddff48 for one process. With several, the official code
divides by each rank's own number of positives; here the denominator is that of the whole
batch, so that two processes train exactly what one would.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from edgeyolo.training.box_overlap import pairwise_iou, squared_iou_loss
from edgeyolo.training.loss_report import LossReport, SumOverRanks, alone
from edgeyolo.training.matching import match, matching_cost

CENTRE_RADIUS_CELLS = 1.5
BOX_WEIGHT = 5.0
BEST_IOUS = 10
# Outside a truth's own centre square; larger than any other cost, finite in half precision sums.
_OUTSIDE_COST = 1e6


class Cells(NamedTuple):
    """All prediction places of an input, level by level, row by row.

    Attributes:
        xy: (A, 2) float32 column and row.
        stride: (A,) float32 input pixels per cell.
    """

    xy: Tensor
    stride: Tensor


class PictureAssignment(NamedTuple):
    """Positives of one picture.

    Attributes:
        anchors: (P,) int64 indices into the cells.
        truths: (P,) int64 rows of the picture's ground truths.
        iou: (P,) IoU of each matched pair.
    """

    anchors: Tensor
    truths: Tensor
    iou: Tensor


def cells_of(raw: Sequence[Tensor], strides: Sequence[int]) -> Cells:
    """The cells of head outputs *raw*, each (B, 5+C, H, W)."""
    xy, stride = [], []
    for level, pixels in zip(raw, strides, strict=True):
        height, width = level.shape[-2:]
        rows, columns = torch.meshgrid(
            torch.arange(height, device=level.device),
            torch.arange(width, device=level.device),
            indexing="ij",
        )
        xy.append(torch.stack((columns, rows), dim=-1).reshape(-1, 2).float())
        stride.append(torch.full((height * width,), float(pixels), device=level.device))
    return Cells(torch.cat(xy), torch.cat(stride))


def flatten(raw: Sequence[Tensor]) -> Tensor:
    """Head outputs (B, 5+C, H, W) as one (B, A, 5+C) float32, the order of ``cells_of``."""
    return torch.cat([level.flatten(2) for level in raw], dim=2).transpose(1, 2).float()


def decode_boxes(logits: Tensor, cells: Cells) -> Tensor:
    """(B, A, 5+C) logits to boxes cx, cy, w, h (B, A, 4) in input pixels."""
    stride = cells.stride[:, None]
    centre_xy = (logits[..., :2] + cells.xy) * stride
    return torch.cat((centre_xy, logits[..., 2:4].exp() * stride), dim=-1)


@torch.no_grad()
def assign(boxes_cxcywh: Tensor, logits: Tensor, cells: Cells, truths: Tensor) -> PictureAssignment:
    """Match the ground truths of one picture.

    Args:
        boxes_cxcywh: (A, 4) decoded predictions, input pixels.
        logits: (A, 5+C).
        cells: The A places.
        truths: (G, 5) class, cx, cy, w, h in input pixels.
    """
    centres_xy = (cells.xy + 0.5) * cells.stride[:, None]
    reach = (cells.stride * CENTRE_RADIUS_CELLS)[None, :, None]
    truth_xy = truths[:, None, 1:3]
    # Strictly inside on all four sides, written as the original does: rounding decides edges.
    inside = torch.minimum(centres_xy - (truth_xy - reach), (truth_xy + reach) - centres_xy)
    in_square = (inside > 0).all(dim=-1)
    candidates = in_square.any(dim=0).nonzero().squeeze(1)
    iou = pairwise_iou(truths[:, 1:5], boxes_cxcywh[candidates])
    chosen = logits[candidates]
    cost = matching_cost(iou, chosen[:, 5:], chosen[:, 4:5], truths[:, 0].long())
    cost = cost + _OUTSIDE_COST * (~in_square[:, candidates]).float()
    matches = match(cost, iou, best_ious=BEST_IOUS)
    return PictureAssignment(
        candidates[matches.candidates], matches.truths, iou[matches.truths, matches.candidates]
    )


def real_rows(targets: Tensor) -> Tensor:
    """Number of ground truths per picture (B,): rows that are not zero padding."""
    return (targets.sum(dim=2) > 0).sum(dim=1)


class YoloxLoss:
    """Computes the loss of head outputs against padded targets.

    Args:
        num_classes: Number of classes.
        strides: Input pixels per cell, per level, fine to coarse.
        l1: Whether the L1 term of the last epochs is on; may be changed between steps.
        sum_over_ranks: Sums a tensor over all processes.
        ranks: Number of processes.
    """

    def __init__(
        self,
        num_classes: int,
        strides: Sequence[int],
        *,
        l1: bool = False,
        sum_over_ranks: SumOverRanks = alone,
        ranks: int = 1,
    ) -> None:
        self.num_classes = num_classes
        self.strides = tuple(strides)
        self.l1 = l1
        self._sum_over_ranks = sum_over_ranks
        self._ranks = ranks

    def __call__(self, raw: Sequence[Tensor], targets: Tensor) -> LossReport:
        """The loss of one batch.

        Args:
            raw: Per level (B, 5+C, H, W) logits, channels box 4, objectness, classes.
            targets: (B, M, 5) float: class, cx, cy, w, h in input pixels; unused rows are
                zero and come last.
        """
        cells = cells_of(raw, self.strides)
        logits = flatten(raw)
        boxes_cxcywh = decode_boxes(logits, cells)
        counts = real_rows(targets).tolist()
        positives, matched, ious = [], [], []
        for picture, count in enumerate(counts):
            if not count:
                continue
            truths = targets[picture, :count].float()
            found = assign(boxes_cxcywh[picture], logits[picture], cells, truths)
            positives.append(found.anchors + picture * len(cells.xy))
            matched.append(truths[found.truths])
            ious.append(found.iou)
        return self._from_assignment(
            logits.flatten(0, 1),
            boxes_cxcywh.flatten(0, 1),
            cells,
            torch.cat(positives) if positives else targets.new_zeros(0, dtype=torch.int64),
            torch.cat(matched) if matched else targets.new_zeros((0, 5), dtype=torch.float32),
            torch.cat(ious) if ious else targets.new_zeros(0, dtype=torch.float32),
            sum(counts),
        )

    def _from_assignment(
        self,
        logits: Tensor,
        boxes_cxcywh: Tensor,
        cells: Cells,
        positives: Tensor,
        truths: Tensor,
        ious: Tensor,
        number_of_truths: int,
    ) -> LossReport:
        counts = torch.tensor(
            [len(positives), number_of_truths], dtype=torch.float32, device=logits.device
        )
        counts = self._sum_over_ranks(counts).clamp(min=1)
        denominator = counts[0]
        chosen = logits[positives]
        box = squared_iou_loss(boxes_cxcywh[positives], truths[:, 1:]).sum() / denominator
        objectness_target = torch.zeros_like(logits[:, 4])
        objectness_target[positives] = 1.0
        objectness = (
            F.binary_cross_entropy_with_logits(logits[:, 4], objectness_target, reduction="sum")
            / denominator
        )
        class_target = F.one_hot(truths[:, 0].long(), self.num_classes) * ious[:, None]
        classes = (
            F.binary_cross_entropy_with_logits(chosen[:, 5:], class_target, reduction="sum")
            / denominator
        )
        l1 = logits.new_zeros(())
        if self.l1:
            place = positives % len(cells.xy)
            target = l1_target(truths[:, 1:], cells.xy[place], cells.stride[place])
            l1 = (chosen[:, :4] - target).abs().sum() / denominator
        total = BOX_WEIGHT * box + objectness + classes + l1
        parts = {
            "box": BOX_WEIGHT * box,
            "objectness": objectness,
            "class": classes,
            "l1": l1,
            "total": total,
            "positives_per_truth": counts[0] / counts[1] / self._ranks,
        }
        return LossReport(
            total=total * self._ranks,
            parts={name: value.detach() for name, value in parts.items()},
            positives=len(positives),
        )


def l1_target(truths_cxcywh: Tensor, cell_xy: Tensor, stride: Tensor) -> Tensor:
    """What the raw box logits (P, 4) should be."""
    centre_xy = truths_cxcywh[:, :2] / stride[:, None] - cell_xy
    size_wh = torch.log(truths_cxcywh[:, 2:] / stride[:, None] + 1e-8)
    return torch.cat((centre_xy, size_wh), dim=1)
