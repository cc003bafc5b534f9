"""YOLOX losses against the official repository (commit 6ddff48): reference/training/yolox."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from edgeyolo.training.yolox_loss import (
    YoloxLoss,
    assign,
    cells_of,
    decode_boxes,
    flatten,
    real_rows,
)

CASES = [
    f"{targets}_l1{phase}"
    for targets in ("typical", "overlap", "empty_image", "all_empty", "edge_tiny")
    for phase in (0, 1)
]


@pytest.fixture(scope="module")
def reference(shared: Path) -> dict[str, Any]:
    folder = shared / "reference" / "training"
    losses: dict[str, Any] = json.loads(gzip.decompress((folder / "yolox.json.gz").read_bytes()))[
        "losses"
    ]
    losses["arrays"] = dict(np.load(folder / "yolox.npz"))
    return losses


def as_levels(flat: Tensor, image_hw: list[int], strides: list[int]) -> list[Tensor]:
    """(B, A, 5+C) as head outputs (B, 5+C, H, W) per level."""
    levels, start = [], 0
    for stride in strides:
        height, width = image_hw[0] // stride, image_hw[1] // stride
        part = flat[:, start : start + height * width]
        levels.append(part.transpose(1, 2).reshape(len(flat), -1, height, width))
        start += height * width
    return levels


def inputs_of(reference: dict[str, Any], case: str) -> tuple[Tensor, list[Tensor], Tensor]:
    targets_name = case.rpartition("_")[0]
    flat = torch.from_numpy(reference["arrays"][f"loss/{targets_name}/raw"]).requires_grad_()
    targets = torch.tensor(reference["labels_cls_cx_cy_w_h"][targets_name], dtype=torch.float32)
    return flat, as_levels(flat, reference["image_hw"], reference["strides"]), targets


@pytest.mark.parametrize("case", CASES)
def test_losses_equal_the_official_ones(reference: dict[str, Any], case: str) -> None:
    _, raw, targets = inputs_of(reference, case)
    loss = YoloxLoss(reference["num_classes"], reference["strides"], l1=case.endswith("1"))
    report = loss(raw, targets)
    expected = reference["cases"][case]
    names = {
        "loss": "total",
        "iou_x5": "box",
        "obj": "objectness",
        "cls": "class",
        "l1": "l1",
        "num_fg_per_gt": "positives_per_truth",
    }
    for official, ours in names.items():
        assert float(report.parts[ours]) == pytest.approx(expected[official], rel=1e-5), official


@pytest.mark.parametrize("case", CASES)
def test_assignments_are_the_official_ones(reference: dict[str, Any], case: str) -> None:
    flat, raw, targets = inputs_of(reference, case)
    cells = cells_of(raw, reference["strides"])
    logits = flatten(raw)
    assert torch.equal(logits, flat)
    expected = {entry["batch"]: entry for entry in reference["cases"][case]["assign"]}
    for picture, count in enumerate(real_rows(targets).tolist()):
        assert (picture in expected) == (count > 0)
        if not count:
            continue
        truths = targets[picture, :count]
        boxes = decode_boxes(logits, cells)[picture]
        found = assign(boxes, logits[picture], cells, truths)
        assert found.anchors.tolist() == expected[picture]["anchor_index"]
        assert found.truths.tolist() == expected[picture]["matched_gt"]
        assert truths[found.truths, 0].tolist() == expected[picture]["matched_class"]
        np.testing.assert_allclose(found.iou.numpy(), expected[picture]["iou"], rtol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_the_official_ones(reference: dict[str, Any], case: str) -> None:
    flat, raw, targets = inputs_of(reference, case)
    loss = YoloxLoss(reference["num_classes"], reference["strides"], l1=case.endswith("1"))
    torch.autograd.backward(loss(raw, targets).total)
    assert flat.grad is not None
    expected = reference["arrays"][f"loss/{case}/grad"]
    np.testing.assert_allclose(flat.grad.numpy(), expected, rtol=0, atol=1e-6)


def test_two_halves_with_a_common_denominator_are_the_whole(reference: dict[str, Any]) -> None:
    """What two processes compute, one picture each, adds up to one process with both."""
    flat, raw, targets = inputs_of(reference, "typical_l11")
    whole = YoloxLoss(reference["num_classes"], reference["strides"], l1=True)(raw, targets)
    torch.autograd.backward(whole.total)
    assert flat.grad is not None
    expected = flat.grad.clone()
    flat.grad.zero_()
    positives = sum(entry["num_fg"] for entry in reference["cases"]["typical_l11"]["assign"])
    both = torch.tensor([positives, float(real_rows(targets).sum())])
    half = YoloxLoss(
        reference["num_classes"],
        reference["strides"],
        l1=True,
        sum_over_ranks=lambda _: both,
        ranks=2,
    )
    totals = []
    for picture in (0, 1):
        part = [level[picture : picture + 1] for level in raw]
        report = half(part, targets[picture : picture + 1])
        torch.autograd.backward(report.total / 2, retain_graph=True)
        totals.append(float(report.parts["total"]))
    assert sum(totals) == pytest.approx(float(whole.parts["total"]), rel=1e-6)
    np.testing.assert_allclose(flat.grad.numpy(), expected.numpy(), rtol=0, atol=1e-7)


def test_truths_without_any_candidate_yield_no_positives() -> None:
    raw = [torch.zeros(1, 6, 64 // s, 64 // s, requires_grad=True) for s in (8, 16, 32)]
    targets = torch.tensor([[[0.0, 500.0, 500.0, 10.0, 10.0]]])
    report = YoloxLoss(1, (8, 16, 32))(raw, targets)
    assert report.positives == 0
    assert report.finite
    torch.autograd.backward(report.total)


def test_saturated_scores_keep_the_loss_finite() -> None:
    raw = [torch.full((1, 6, 64 // s, 64 // s), 200.0) for s in (8, 16, 32)]
    for level in raw:
        level[:, :4] = 0.0
    targets = torch.tensor([[[0.0, 32.0, 32.0, 20.0, 20.0]]])
    assert YoloxLoss(1, (8, 16, 32))(raw, targets).finite
