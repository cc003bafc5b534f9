"""YOLOv7 losses against the official training code (a207844): reference/training/yolov7."""

from __future__ import annotations

import gzip
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from edgeyolo.training.yolov7_candidates import Candidates, Neighbourhood, candidates_per_level
from edgeyolo.training.yolov7_loss import Assignment, Gains, YoloV7Loss, YoloV7LossOptions

TARGETS = ("typical", "overlap", "one_image_empty", "borders", "no_match_sizes", "no_targets")
KINDS = {
    "plain": Assignment.PLAIN,
    "OTA": Assignment.OTA,
    "AuxOTA": Assignment.AUXILIARY_OTA,
}
CASES = [
    f"{model}|{kind}|{targets}"
    for model, ota in (("l", "OTA"), ("tiny", "OTA"), ("w6", "AuxOTA"))
    for kind in ("plain", ota)
    for targets in TARGETS
]
ITEMS = ("box", "objectness", "class", "total")


@pytest.fixture(scope="module")
def reference(shared: Path) -> dict[str, Any]:
    path = shared / "reference" / "training" / "yolov7.json.gz"
    content: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return content


@pytest.fixture(scope="module")
def synthetic(shared: Path) -> ModuleType:
    path = shared / "reference" / "synth_weights.py"
    spec = importlib.util.spec_from_file_location("synth_weights", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def predictions(setup: dict[str, Any], model: str, synthetic: ModuleType) -> list[Tensor]:
    height, width = setup["image_hw"]
    strides = [int(stride) for stride in setup["strides"]]
    raw = []
    for index in range(setup["num_pred_levels"]):
        stride = strides[index % len(strides)]
        shape = (2, 3, height // stride, width // stride, 5 + setup["nc"])
        values = synthetic.synth_normal(f"v7loss/{model}/{index}", shape, 0, 0.6)
        values[..., 4:] -= 1
        raw.append(torch.from_numpy(values).requires_grad_())
    return raw


def loss_of(setup: dict[str, Any], **options: Any) -> YoloV7Loss:
    strides = [int(stride) for stride in setup["strides"]]
    anchors_px = [
        [(width * stride, height * stride) for width, height in level]
        for level, stride in zip(setup["anchors_grid_units"], strides, strict=True)
    ]
    gains = setup["scaled_gains"]
    return YoloV7Loss(
        setup["nc"],
        strides,
        anchors_px,
        Gains(gains["box"], gains["obj"], gains["cls"]),
        # The reference contains the original's mistake on the 128x160 pictures.
        YoloV7LossOptions(height_for_both_axes=True, **options),
    )


def case_inputs(
    reference: dict[str, Any], synthetic: ModuleType, case: str
) -> tuple[YoloV7Loss, list[Tensor], Tensor]:
    model, kind, targets_name = case.split("|")
    setup = reference["loss_setup"][model]
    raw = predictions(setup, model, synthetic)
    loss = loss_of(setup, assignment=KINDS[kind])
    if kind == "plain":
        raw = raw[: len(setup["strides"])]
    rows = reference["targets"][targets_name]
    targets = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    return loss, raw, targets


def places(level: Candidates) -> dict[str, list[int]]:
    return {
        "b": level.picture.tolist(),
        "a": level.anchor.tolist(),
        "gj": level.row.tolist(),
        "gi": level.column.tolist(),
    }


@pytest.mark.parametrize("case", CASES)
def test_losses_equal_the_official_ones(
    reference: dict[str, Any], synthetic: ModuleType, case: str
) -> None:
    loss, raw, targets = case_inputs(reference, synthetic, case)
    expected = reference["losses"][case]
    report = loss(raw, targets)
    assert float(report.total.detach()) == pytest.approx(expected["loss_times_batch"], rel=1e-5)
    ours = [float(report.parts[name]) for name in ITEMS]
    assert ours == pytest.approx(expected["items_box_obj_cls_total"], rel=1e-5)
    torch.autograd.backward(report.total)
    norms = [0.0 if level.grad is None else float(level.grad.norm()) for level in raw]
    assert norms == pytest.approx(expected["grad_norm_per_level"], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_candidates_and_matches_are_the_official_ones(
    reference: dict[str, Any], synthetic: ModuleType, case: str
) -> None:
    loss, raw, targets = case_inputs(reference, synthetic, case)
    expected = reference["losses"][case]
    levels = len(loss.strides)
    checked = 0
    for name, neighbourhood in (
        ("find_3_positive", Neighbourhood.THREE_CELLS),
        ("find_5_positive", Neighbourhood.FIVE_CELLS),
    ):
        if name in expected:
            found = candidates_per_level(
                targets,
                raw[:levels],
                [torch.tensor(a) for a in setup_anchors(reference, case)],
                anchor_threshold=4.0,
                neighbourhood=neighbourhood,
            )
            assert [places(level) for level in found] == expected[name]
            checked += 1
    matched = loss.assign(raw, targets)
    for name, part in (("build_targets", matched[:levels]), ("build_targets2", matched[levels:])):
        if name not in expected:
            continue
        checked += 1
        for level, official in zip(part, expected[name], strict=True):
            assert places(level) == {key: official[key] for key in ("b", "a", "gj", "gi")}
            own = targets[level.truth]
            if "target" in official:
                rows = np.array(official["target"], np.float32).reshape(-1, 6)
                np.testing.assert_allclose(own.numpy(), rows, rtol=1e-6)
            else:
                assert own[:, 1].tolist() == official["cls"]
    assert checked


def setup_anchors(reference: dict[str, Any], case: str) -> list[Any]:
    anchors: list[Any] = reference["loss_setup"][case.split("|")[0]]["anchors_grid_units"]
    return anchors


@pytest.mark.parametrize(
    ("option", "settings"),
    [
        ("label_smoothing_0.1", {"label_smoothing": 0.1}),
        ("fl_gamma_1.5", {"focal_gamma": 1.5}),
    ],
)
@pytest.mark.parametrize("kind", ["plain", "ota"])
def test_label_smoothing_and_focal_loss_equal_the_official_ones(
    reference: dict[str, Any],
    synthetic: ModuleType,
    option: str,
    settings: dict[str, float],
    kind: str,
) -> None:
    expected_total, expected_items = reference["loss_options"][option][kind]
    setup = reference["loss_setup"]["l"]
    loss = loss_of(setup, assignment=Assignment(kind), **settings)
    targets = torch.tensor(reference["targets"]["typical"], dtype=torch.float32)
    report = loss(predictions(setup, "l", synthetic), targets)
    assert float(report.total.detach()) == pytest.approx(expected_total, rel=1e-5)
    assert [float(report.parts[name]) for name in ITEMS] == pytest.approx(expected_items, rel=1e-5)


def test_the_height_mistake_changes_only_pictures_that_are_not_square(
    reference: dict[str, Any], synthetic: ModuleType
) -> None:
    for model, same in (("l", True), ("tiny", False)):
        setup = reference["loss_setup"][model]
        raw = predictions(setup, model, synthetic)
        targets = torch.tensor(reference["targets"]["typical"], dtype=torch.float32)
        official = loss_of(setup)
        strides = official.strides
        anchors_px = [
            [(w * s, h * s) for w, h in level]
            for level, s in zip(setup["anchors_grid_units"], strides, strict=True)
        ]
        fixed = YoloV7Loss(setup["nc"], strides, anchors_px, official.gains, YoloV7LossOptions())
        difference = float((fixed(raw, targets).total - official(raw, targets).total).detach())
        assert (abs(difference) < 1e-7) == same


def test_gains_follow_levels_classes_and_size(reference: dict[str, Any]) -> None:
    for setup in reference["loss_setup"].values():
        hyper = reference["hyp_scratch"][setup["hyp"]]
        gains = Gains(hyper["box"], hyper["obj"], hyper["cls"]).scaled(
            levels=len(setup["strides"]),
            num_classes=setup["nc"],
            input_side=max(setup["image_hw"]),
        )
        official = setup["scaled_gains"]
        assert gains.box == pytest.approx(official["box"], rel=1e-12)
        assert gains.objectness == pytest.approx(official["obj"], rel=1e-12)
        assert gains.classes == pytest.approx(official["cls"], rel=1e-12)


def test_one_class_has_no_class_loss() -> None:
    anchors = [[(10.0, 13.0)] * 3, [(30.0, 61.0)] * 3, [(116.0, 90.0)] * 3]
    loss = YoloV7Loss(1, (8, 16, 32), anchors, Gains(0.05, 0.7, 0.3), YoloV7LossOptions())
    raw = [torch.zeros(1, 3, 64 // s, 64 // s, 6) for s in (8, 16, 32)]
    report = loss(raw, torch.tensor([[0, 0, 0.5, 0.5, 0.2, 0.2]]))
    assert report.positives > 0
    assert float(report.parts["class"]) == 0.0


def test_two_halves_with_common_denominators_are_the_whole(
    reference: dict[str, Any], synthetic: ModuleType
) -> None:
    loss, raw, targets = case_inputs(reference, synthetic, "l|OTA|typical")
    whole = loss(raw, targets)
    torch.autograd.backward(whole.total)
    expected = [level.grad.clone() for level in raw if level.grad is not None]
    for level in raw:
        level.grad = None
    counts = [float(len(places.picture)) for places in loss.assign(raw, targets)]
    both = torch.tensor([*counts, 2.0])
    setup = reference["loss_setup"]["l"]
    for picture in (0, 1):
        half = YoloV7Loss(
            setup["nc"],
            loss.strides,
            [
                [(w * s, h * s) for w, h in level]
                for level, s in zip(setup["anchors_grid_units"], loss.strides, strict=True)
            ],
            loss.gains,
            YoloV7LossOptions(),
            sum_over_ranks=lambda _: both,
            ranks=2,
        )
        mine = targets[targets[:, 0] == picture].clone()
        mine[:, 0] = 0
        report = half([level[picture : picture + 1] for level in raw], mine)
        torch.autograd.backward(report.total / 2)
    for level, official in zip(raw, expected, strict=True):
        assert level.grad is not None
        np.testing.assert_allclose(level.grad.numpy(), official.numpy(), rtol=0, atol=1e-7)
