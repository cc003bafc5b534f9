"""SimOTA's matching of ground truths and candidates, shared by both families.

Each ground truth takes as many of the cheapest candidates as the sum of its best IoUs says;
a candidate wanted by several goes to the cheapest. (arXiv 2107.08430, section "SimOTA".)
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# What a negative logarithm is clamped to, as binary cross entropy on probabilities does.
_MAX_NEGATIVE_LOG = 100.0
IOU_COST_WEIGHT = 3.0


class Matches(NamedTuple):
    """Pairs, ordered by candidate.

    Attributes:
        candidates: (P,) int64 rows of the candidates that became positive.
        truths: (P,) int64 rows of the ground truths they belong to.
    """

    candidates: Tensor
    truths: Tensor


def class_cost(class_logits: Tensor, objectness_logits: Tensor, truth_classes: Tensor) -> Tensor:
    """Binary cross entropy of sqrt(class x objectness) against each truth's one-hot: (G, N).

    Args:
        class_logits: (N, C).
        objectness_logits: (N, 1).
        truth_classes: (G,) int64.
    """
    joint = (class_logits.sigmoid() * objectness_logits.sigmoid()).sqrt()
    absent = -torch.log1p(-joint).clamp(min=-_MAX_NEGATIVE_LOG)
    present = -torch.log(joint).clamp(min=-_MAX_NEGATIVE_LOG)
    # One (N, C) table serves all truths; expanding to (G, N, C) costs gigabytes on crowds.
    return absent.sum(dim=1)[None] + (present - absent).T[truth_classes]


def matching_cost(
    iou: Tensor, class_logits: Tensor, objectness_logits: Tensor, truth_classes: Tensor
) -> Tensor:
    """Class cost plus three times the negative logarithm of the IoU: (G, N)."""
    classes = class_cost(class_logits, objectness_logits, truth_classes)
    return classes + IOU_COST_WEIGHT * -torch.log(iou + 1e-8)


def match(cost: Tensor, iou: Tensor, *, best_ious: int) -> Matches:
    """Give each ground truth its cheapest candidates.

    Args:
        cost: (G, N).
        iou: (G, N).
        best_ious: How many of the largest IoUs are summed into the number of candidates of
            a ground truth (10; 20 for YOLOv7's auxiliary training).
    """
    number_of_truths, number_of_candidates = cost.shape
    nothing = torch.zeros(0, dtype=torch.int64, device=cost.device)
    if not number_of_truths or not number_of_candidates:
        return Matches(nothing, nothing)
    top = iou.topk(min(best_ious, number_of_candidates), dim=1).values
    wanted = top.sum(dim=1).to(torch.int64).clamp(min=1, max=number_of_candidates)
    most = int(wanted.max())
    cheapest = cost.topk(most, dim=1, largest=False).indices
    taken = torch.arange(most, device=cost.device)[None] < wanted[:, None]
    matched = torch.zeros_like(cost, dtype=torch.bool).scatter_(1, cheapest, taken)
    contested = matched.sum(dim=0) > 1
    if contested.any():
        winner = cost[:, contested].argmin(dim=0)
        matched[:, contested] = False
        matched[winner, contested.nonzero().squeeze(1)] = True
    candidates = matched.any(dim=0).nonzero().squeeze(1)
    truths = matched[:, candidates].to(torch.uint8).argmax(dim=0)
    return Matches(candidates, truths)
