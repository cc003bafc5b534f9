"""YOLOv7's OTA: which candidates become positives, by the predictions at those places."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from edgeyolo.training.box_overlap import pairwise_iou
from edgeyolo.training.matching import match, matching_cost
from edgeyolo.training.yolov7_candidates import Candidates


def box_cells(logits: Tensor, anchors_cells: Tensor) -> Tensor:
    """Box logits (n, >= 4) as cx, cy (relative to the cell), w, h, all in cells: (n, 4)."""
    centre_xy = logits[:, :2].sigmoid() * 2 - 0.5
    size_wh = (logits[:, 2:4].sigmoid() * 2) ** 2 * anchors_cells
    return torch.cat((centre_xy, size_wh), dim=1)


@torch.no_grad()
def match_candidates(
    candidates: Sequence[Candidates],
    raw: Sequence[Tensor],
    targets: Tensor,
    anchors_cells: Sequence[Tensor],
    strides: Sequence[int],
    *,
    best_ious: int,
    height_for_both_axes: bool,
) -> list[Candidates]:
    """Keep the candidates that the ground truths choose.

    Within a picture every ground truth may choose any candidate of any other one, on any
    level: there is no geometry term.

    Args:
        candidates: Per level.
        raw: Per level (B, A, H, W, 5+C) logits that the costs are computed from.
        targets: (T, 6) picture, class, cx, cy, w, h normalised.
        anchors_cells: Per level (A, 2).
        strides: Per level.
        best_ious: Number of IoUs summed (10, or 20 for P6).
        height_for_both_axes: The original scales x by the picture's height as well; it
            matters only for pictures that are not square.

    Returns:
        Per level, ordered picture by picture, within a picture in candidate order.
    """
    height, width = raw[0].shape[2] * strides[0], raw[0].shape[3] * strides[0]
    across = height if height_for_both_axes else width
    to_pixels = torch.tensor(
        [across, height, across, height], device=targets.device, dtype=torch.float32
    )
    boxes, logits, level_of, index_of = [], [], [], []
    for level, (places, output) in enumerate(zip(candidates, raw, strict=True)):
        chosen = output[places.picture, places.anchor, places.row, places.column].float()
        box = box_cells(chosen, anchors_cells[level][places.anchor])
        cell_xy = torch.stack((places.column, places.row), dim=1)
        box = torch.cat((box[:, :2] + cell_xy, box[:, 2:]), dim=1) * strides[level]
        boxes.append(box)
        logits.append(chosen)
        level_of.append(torch.full_like(places.picture, level))
        index_of.append(torch.arange(len(places.picture), device=targets.device))
    box_all, logits_all = torch.cat(boxes), torch.cat(logits)
    level_all, index_all = torch.cat(level_of), torch.cat(index_of)
    picture_all = torch.cat([places.picture for places in candidates])
    kept: list[tuple[list[Tensor], list[Tensor]]] = [([], []) for _ in raw]
    for picture in targets[:, 0].long().unique().tolist():
        truth_rows = (targets[:, 0] == picture).nonzero().squeeze(1)
        here = (picture_all == picture).nonzero().squeeze(1)
        if not len(here):
            continue
        truths = targets[truth_rows]
        iou = pairwise_iou(truths[:, 2:6] * to_pixels, box_all[here])
        cost = matching_cost(iou, logits_all[here, 5:], logits_all[here, 4:5], truths[:, 1].long())
        matches = match(cost, iou, best_ious=best_ious)
        positives, owners = here[matches.candidates], truth_rows[matches.truths]
        for level in range(len(raw)):
            on_level = level_all[positives] == level
            kept[level][0].append(index_all[positives[on_level]])
            kept[level][1].append(owners[on_level])
    nothing = targets.new_zeros(0, dtype=torch.int64)
    return [
        places.take(torch.cat([nothing, *indices]), torch.cat([nothing, *owners]))
        for places, (indices, owners) in zip(candidates, kept, strict=True)
    ]
