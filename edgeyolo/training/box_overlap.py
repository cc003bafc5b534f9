"""Overlap of boxes, as the two families measure it. Boxes are rows cx, cy, w, h.

The epsilons are the families' own: they decide assignments on the edge, so they are part
of the arithmetic and not a matter of taste.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def corners(boxes_cxcywh: Tensor) -> Tensor:
    """(..., 4) cx, cy, w, h as corners x1, y1, x2, y2."""
    centre_xy, half_wh = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:4] / 2
    return torch.cat((centre_xy - half_wh, centre_xy + half_wh), dim=-1)


def pairwise_iou(first_cxcywh: Tensor, second_cxcywh: Tensor) -> Tensor:
    """IoU of every box of *first* (G, 4) with every box of *second* (N, 4): (G, N).

    There is no epsilon: two boxes without area have the IoU nan, as in both originals.
    """
    first, second = corners(first_cxcywh)[:, None], corners(second_cxcywh)[None]
    upper_left = torch.maximum(first[..., :2], second[..., :2])
    lower_right = torch.minimum(first[..., 2:], second[..., 2:])
    intersection = (lower_right - upper_left).clamp(min=0).prod(dim=-1)
    area_first = first_cxcywh[:, 2:4].prod(dim=-1)[:, None]
    area_second = second_cxcywh[:, 2:4].prod(dim=-1)[None]
    return intersection / (area_first + area_second - intersection)


def _intersection_and_union(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    upper_left = torch.maximum(first[:, :2] - first[:, 2:] / 2, second[:, :2] - second[:, 2:] / 2)
    lower_right = torch.minimum(first[:, :2] + first[:, 2:] / 2, second[:, :2] + second[:, 2:] / 2)
    overlapping = (upper_left < lower_right).to(first.dtype).prod(dim=1)
    intersection = (lower_right - upper_left).prod(dim=1) * overlapping
    return intersection, first[:, 2:].prod(dim=1) + second[:, 2:].prod(dim=1) - intersection


def squared_iou_loss(predicted_cxcywh: Tensor, target_cxcywh: Tensor) -> Tensor:
    """YOLOX's box loss ``1 - iou**2`` of paired rows: (N,)."""
    intersection, union = _intersection_and_union(predicted_cxcywh, target_cxcywh)
    iou: Tensor = intersection / (union + 1e-16)
    return 1 - iou**2


def giou_loss(predicted_cxcywh: Tensor, target_cxcywh: Tensor) -> Tensor:
    """YOLOX's alternative box loss ``1 - giou`` of paired rows: (N,)."""
    intersection, union = _intersection_and_union(predicted_cxcywh, target_cxcywh)
    iou = intersection / (union + 1e-16)
    predicted, target = corners(predicted_cxcywh), corners(target_cxcywh)
    upper_left = torch.minimum(predicted[:, :2], target[:, :2])
    lower_right = torch.maximum(predicted[:, 2:], target[:, 2:])
    enclosing = (lower_right - upper_left).prod(dim=1)
    giou = iou - (enclosing - union) / enclosing.clamp(min=1e-16)
    return 1 - giou.clamp(min=-1.0, max=1.0)


def complete_iou(predicted_cxcywh: Tensor, target_cxcywh: Tensor, eps: float = 1e-7) -> Tensor:
    """CIoU of paired rows (N,): IoU less centre distance less difference of aspect ratio.

    As in YOLOv7 the heights, not the widths, get *eps* before the areas are taken.
    """
    first, second = corners(predicted_cxcywh), corners(target_cxcywh)
    upper_left = torch.maximum(first[:, :2], second[:, :2])
    lower_right = torch.minimum(first[:, 2:], second[:, 2:])
    intersection = (lower_right - upper_left).clamp(min=0).prod(dim=1)
    width_1, height_1 = (first[:, 2:] - first[:, :2]).unbind(dim=1)
    width_2, height_2 = (second[:, 2:] - second[:, :2]).unbind(dim=1)
    height_1, height_2 = height_1 + eps, height_2 + eps
    union = width_1 * height_1 + width_2 * height_2 - intersection + eps
    iou = intersection / union
    enclosing_wh = torch.maximum(first[:, 2:], second[:, 2:]) - torch.minimum(
        first[:, :2], second[:, :2]
    )
    diagonal = enclosing_wh.pow(2).sum(dim=1) + eps
    # The distance of centres through the corners, (sum of opposite differences / 2) squared.
    between = (second[:, :2] + second[:, 2:] - first[:, :2] - first[:, 2:]).pow(2).sum(dim=1) / 4
    aspect = (4 / math.pi**2) * (
        torch.atan(width_2 / (height_2 + eps)) - torch.atan(width_1 / (height_1 + eps))
    ).pow(2)
    with torch.no_grad():
        weight = aspect / (aspect - iou + (1 + eps))
    return iou - (between / diagonal + aspect * weight)
