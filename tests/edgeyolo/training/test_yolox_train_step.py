"""Whole steps of YOLOX models against the official repository: reference/training/yolox.

Tolerances are the suggested ones of the reference: another number of threads moves losses by
5e-7, group norms by 3e-6, single parameters by 1e-5, updated tensors by 1e-3, second steps by
4e-5 (relative).
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from edgeyolo.models.detector import Detector
from edgeyolo.models.zoo import build
from edgeyolo.training.ema import MovingAverage
from edgeyolo.training.optimizer import build_optimizer, parameter_groups
from edgeyolo.training.yolox_loss import YoloxLoss

CASES = [f"{variant}_l1{phase}" for variant in ("nano", "tiny", "s") for phase in (0, 1)]
LOSSES = {
    "total_loss": "total",
    "iou_loss": "box",
    "l1_loss": "l1",
    "conf_loss": "objectness",
    "cls_loss": "class",
    "num_fg": "positives_per_truth",
}


@pytest.fixture(scope="module")
def reference(shared: Path) -> dict[str, Any]:
    path = shared / "reference" / "training" / "yolox.json.gz"
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


def synthetic_model(
    shared: Path, synthetic: ModuleType, variant: str, reg_bias: list[float]
) -> Detector:
    path = shared / "reference" / "models" / f"yolox_{variant}.json.gz"
    exponents = json.loads(gzip.decompress(path.read_bytes()))["bn_log2var"]
    model = build(f"yolox-{variant}", 80)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            value = synthetic.synth_tensor(name, tensor.shape, str(tensor.dtype), exponents)
            if value is not None:
                tensor.copy_(torch.from_numpy(value))
            if "reg_preds" in name and name.endswith("bias"):
                tensor.copy_(torch.tensor(reg_bias))
    return model.train()


def compare_state(state: dict[str, Tensor], expected: dict[str, Any], rel: float) -> None:
    assert expected
    for name, stats in expected.items():
        values = state[name].detach().double()
        scale = max(abs(stats["min"]), abs(stats["max"]))
        for statistic, ours in (
            ("mean", values.mean()),
            ("min", values.min()),
            ("max", values.max()),
        ):
            assert float(ours) == pytest.approx(stats[statistic], abs=rel * scale), name
        assert float(values.norm()) == pytest.approx(stats["l2"], rel=rel), name


@pytest.mark.parametrize("case", CASES)
def test_two_optimiser_steps_are_the_official_ones(
    shared: Path, reference: dict[str, Any], synthetic: ModuleType, case: str
) -> None:
    expected = reference["train_step"][case]
    variant, phase = case.split("_l1")
    model = synthetic_model(shared, synthetic, variant, expected["reg_preds_bias_override"])
    optimizer = build_optimizer(model, lr=0.01, momentum=0.9, weight_decay=5e-4)
    average = MovingAverage(model, 0.9998)
    images = torch.from_numpy(synthetic.synth_input(2, 128, 128, 41, "yolox"))
    targets = torch.tensor(expected["labels"])
    loss = YoloxLoss(80, (8, 16, 32), l1=phase == "1")

    report = loss(model(images), targets)
    for official, ours in LOSSES.items():
        assert float(report.parts[ours]) == pytest.approx(expected["losses"][official], rel=1e-5), (
            official
        )
    torch.autograd.backward(report.total)
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    largest = max(expected["grad_norm_per_parameter"].values())
    assert gradients.keys() == expected["grad_norm_per_parameter"].keys()
    for name, norm in expected["grad_norm_per_parameter"].items():
        assert float(gradients[name].norm()) == pytest.approx(norm, rel=1e-2, abs=1e-6 * largest)
    groups = parameter_groups(model)
    for names, group in zip(groups, expected["groups"], strict=True):
        assert len(names) == group["n"]
        norm = float(torch.stack([gradients[name].norm() for name in names]).norm())
        assert norm == pytest.approx(group["grad_norm"], rel=1e-3)
    compare_state(model.state_dict(), expected["bn_after"], 1e-4)
    optimizer.step()
    average.update(model)
    compare_state(model.state_dict(), expected["param_after"], 5e-3)
    compare_state(average.state_dict(), expected["ema_after_1"], 5e-3)

    optimizer.zero_grad()
    report = loss(model(images), targets)
    for official, ours in LOSSES.items():
        assert float(report.parts[ours]) == pytest.approx(
            expected["losses_step2"][official], rel=2e-3
        ), official
    torch.autograd.backward(report.total)
    optimizer.step()
    parameters = dict(model.named_parameters())
    for names, official_norm in zip(groups, expected["param_norm_after_step2"], strict=True):
        norm = float(torch.stack([parameters[name].detach().norm() for name in names]).norm())
        assert norm == pytest.approx(official_norm, rel=2e-3)


def test_parameter_groups_are_the_official_ones(reference: dict[str, Any]) -> None:
    for variant in ("nano", "tiny", "s", "m", "l", "x"):
        with torch.device("meta"):
            model = build(f"yolox-{variant}", 80)
        groups = parameter_groups(model)
        parameters = dict(model.named_parameters())
        optimizer = build_optimizer(model, lr=0.0, momentum=0.9, weight_decay=5e-4)
        ours = [
            [len(names), sum(parameters[n].numel() for n in names), group["weight_decay"]]
            for names, group in zip(groups, optimizer.param_groups, strict=True)
        ]
        assert ours == reference["param_groups_no_decay__decay__bias"][variant]
        case = reference["train_step"].get(f"{variant}_l10", {})
        if "group_names" in case:
            assert [list(names) for names in groups] == case["group_names"]


def test_the_comparison_notices_a_model_that_did_not_train(
    shared: Path, reference: dict[str, Any], synthetic: ModuleType
) -> None:
    expected = reference["train_step"]["nano_l10"]
    model = synthetic_model(shared, synthetic, "nano", expected["reg_preds_bias_override"])
    with pytest.raises(AssertionError):
        compare_state(model.state_dict(), expected["bn_after"], 1e-4)
