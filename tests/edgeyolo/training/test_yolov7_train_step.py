"""Whole steps of YOLOv7 models against the official training code: reference/training/yolov7.

Tolerances are the suggested ones of the reference: another number of threads moves losses by
5e-7, group norms by 1e-4, single parameters by 1e-3, updated tensors by 1e-3, second steps by
4e-4 (relative); predictions in train mode by 1.4e-4 (absolute).
"""

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

from edgeyolo.models.detector import Detector
from edgeyolo.models.zoo import build
from edgeyolo.training.ema import MovingAverage
from edgeyolo.training.optimizer import build_optimizer, parameter_groups
from edgeyolo.training.yolov7_loss import Assignment, Gains, YoloV7Loss, YoloV7LossOptions

ITEMS = ("box", "objectness", "class", "total")
VARIANTS = [
    "tiny",
    pytest.param("l", marks=pytest.mark.slow),
    pytest.param("w6", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def reference(shared: Path) -> dict[str, Any]:
    path = shared / "reference" / "training" / "yolov7.json.gz"
    content: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    content["arrays"] = dict(np.load(path.with_name("yolov7.npz")))
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


def synthetic_model(shared: Path, synthetic: ModuleType, variant: str) -> Detector:
    path = shared / "reference" / "models" / f"yolov7_{variant}.json.gz"
    exponents = json.loads(gzip.decompress(path.read_bytes()))["training"]["bn_log2var"]
    model = build(f"yolov7-{variant}", 80)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            value = synthetic.synth_tensor(name, tensor.shape, str(tensor.dtype), exponents)
            if value is not None:
                tensor.copy_(torch.from_numpy(value))
    return model.train()


def loss_of(model: Detector, gains: dict[str, float], assignment: Assignment) -> YoloV7Loss:
    assert model.anchors_px is not None
    return YoloV7Loss(
        80,
        model.strides,
        model.anchors_px,
        Gains(gains["box"], gains["obj"], gains["cls"]),
        YoloV7LossOptions(assignment=assignment),
    )


def group_norms(model: Detector, *, gradients: bool) -> list[float]:
    parameters = dict(model.named_parameters())

    def norm(name: str) -> Tensor:
        value = parameters[name].grad if gradients else parameters[name].detach()
        assert value is not None
        norm: Tensor = value.double().norm()  # float32 sums of 80 million squares lose five digits
        return norm

    return [
        float(torch.stack([norm(name) for name in names]).norm())
        for names in parameter_groups(model)
    ]


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


def items(report: Any) -> list[float]:
    return [float(report.parts[name]) for name in ITEMS]


@pytest.mark.parametrize("variant", VARIANTS)
def test_optimiser_steps_are_the_official_ones(
    shared: Path, reference: dict[str, Any], synthetic: ModuleType, variant: str
) -> None:
    expected = reference["train_step"][variant]
    model = synthetic_model(shared, synthetic, variant)
    levels = len(model.strides)
    auxiliary = levels == 4
    optimizer = build_optimizer(model, lr=0.01, momentum=0.937, weight_decay=5e-4)
    average = MovingAverage(model, 0.9999)
    images = torch.from_numpy(synthetic.synth_input(2, 256, 256, 41, "yolov7"))
    targets = torch.tensor(expected["targets"])
    gains = expected["scaled_gains"]
    plain = loss_of(model, gains, Assignment.PLAIN)
    full = loss_of(model, gains, Assignment.AUXILIARY_OTA if auxiliary else Assignment.OTA)
    assert group_norms(model, gradients=False) == pytest.approx(
        expected["param_norm_before"], rel=1e-6
    )

    raw = model(images)
    assert len(raw) == len(expected["train_mode_predictions"])
    for index, level in enumerate(raw):
        sample = reference["arrays"][f"step/{variant}/pred{index}@sample"]
        flat = level.detach().numpy().ravel()
        # The samples are those of at most 512 elements.
        chosen = flat[synthetic.sample_index(flat.size, 512)]
        np.testing.assert_allclose(chosen, sample, rtol=0, atol=1e-3)
    report = plain(raw[:levels], targets)
    assert float(report.total.detach()) == pytest.approx(expected["plain_loss"][0], rel=1e-5)
    assert items(report) == pytest.approx(expected["plain_loss"][1], rel=1e-5)
    report = full(raw, targets)
    assert float(report.total.detach()) == pytest.approx(expected["loss_times_batch"], rel=1e-5)
    assert items(report) == pytest.approx(expected["items_box_obj_cls_total"], rel=1e-5)

    torch.autograd.backward(report.total)
    assert group_norms(model, gradients=True) == pytest.approx(
        expected["grad_norm_groups"], rel=1e-3
    )
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    official = expected["grad_norm_per_parameter"]
    assert gradients.keys() == official.keys()
    largest = max(official.values())
    for name, norm in official.items():
        ours = float(gradients[name].norm())
        assert ours == pytest.approx(norm, rel=1e-2, abs=1e-6 * largest), name
    optimizer.step()
    average.update(model)
    compare_state(model.state_dict(), expected["state_after_step"], 5e-3)
    compare_state(average.state_dict(), expected["ema_after_step"], 5e-3)
    assert group_norms(model, gradients=False) == pytest.approx(
        expected["param_norm_after_step"], rel=1e-5
    )

    optimizer.zero_grad()
    raw = model(images)
    report = plain(raw[:levels], targets)
    second = expected["step2"]
    assert float(report.total.detach()) == pytest.approx(second["plain_loss"][0], rel=2e-3)
    torch.autograd.backward(full(raw, targets).total)
    optimizer.step()
    assert group_norms(model, gradients=False) == pytest.approx(
        second["param_norm_after"], rel=2e-3
    )


@pytest.mark.parametrize("variant", ["tiny", "l", "x", "w6", "e6", "d6", "e6e"])
def test_parameter_groups_are_the_official_ones(reference: dict[str, Any], variant: str) -> None:
    expected = reference["param_groups"][variant]
    with torch.device("meta"):
        model = build(f"yolov7-{variant}", 80)
    groups = parameter_groups(model)
    parameters = dict(model.named_parameters())
    assert [len(names) for names in groups] == expected["counts_pg0_nodecay__pg1_decay__pg2_bias"]
    assert [sum(parameters[n].numel() for n in names) for names in groups] == expected["numel"]
    assert sum(len(names) for names in groups) == len(parameters)
    for ours, theirs in zip(groups, expected.get("names", groups), strict=True):
        # The original lists the implicit vectors of a head in another order; it has no effect.
        assert sorted(ours) == sorted(theirs)
