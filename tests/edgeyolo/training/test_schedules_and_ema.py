"""Schedules and EMA against the official ones: reference/training."""

from __future__ import annotations

import gzip
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgeyolo.training.ema import MovingAverage, decay_at
from edgeyolo.training.schedules import EpochDecay, WarmCosine, one_cycle


def training(shared: Path, family: str) -> dict[str, Any]:
    path = shared / "reference" / "training" / f"{family}.json.gz"
    content: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return content


def test_yoloxwarmcos_is_reproduced(shared: Path) -> None:
    for case in training(shared, "yolox")["yoloxwarmcos"]:
        schedule = WarmCosine(
            peak_lr=case["lr"],
            iterations_per_epoch=case["iters_per_epoch"],
            epochs=case["max_epoch"],
            warmup_epochs=case["warmup_epochs"],
            final_epochs=case["no_aug_epochs"],
            floor_ratio=case["min_lr_ratio"],
            momentum=0.9,
        )
        for iteration, lr in case["iter_lr"]:
            assert schedule.lr(iteration) == pytest.approx(lr, rel=1e-12, abs=0)
            assert schedule.at(iteration).lr == (schedule.lr(iteration),) * 3


def test_yolov7_schedules_with_their_warm_up_are_reproduced(shared: Path) -> None:
    for case in training(shared, "yolov7")["schedules"]:
        schedule = EpochDecay(
            lr=case["lr0"],
            final_ratio=case["lrf"],
            linear=case["linear"],
            iterations_per_epoch=case["nb"],
            epochs=case["epochs"],
            warmup_iterations=case["nw"],
            warmup_momentum=0.8,
            warmup_bias_lr=0.1,
            momentum=0.937,
            batch=case["total_batch"],
            nominal_batch=64,
        )
        for iteration, epoch, *lr, momentum, accumulate in case["rows"]:
            assert iteration // case["nb"] == epoch
            settings = schedule.at(iteration)
            assert settings.lr == pytest.approx(lr, rel=1e-9, abs=1e-15)
            assert settings.momentum == pytest.approx(momentum, rel=1e-12)
            assert settings.accumulate == accumulate


def test_one_cycle_is_reproduced(shared: Path) -> None:
    for epoch, factor in training(shared, "yolov7")["one_cycle"]:
        assert one_cycle(epoch, 300, 0.1) == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize(("family", "decay"), [("yolox", 0.9998), ("yolov7", 0.9999)])
def test_ema_decay_is_reproduced(shared: Path, family: str, decay: float) -> None:
    for updates, expected in training(shared, family)[f"ema_decay_{decay}"]:
        assert decay_at(updates, decay) == pytest.approx(expected, rel=1e-12)


def test_ema_toy_is_reproduced(shared: Path) -> None:
    path = shared / "reference" / "synth_weights.py"
    spec = importlib.util.spec_from_file_location("synth_weights", path)
    assert spec is not None
    assert spec.loader is not None
    synthetic = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(synthetic)
    model = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(synthetic.synth_normal("ema/w0", (2, 3))))
    average = MovingAverage(model, 0.9998)
    for expected in training(shared, "yolox")["ema_toy"]["weights_after_each_update"]:
        with torch.no_grad():
            model.weight.add_(1.0)
        average.update(model)
        np.testing.assert_allclose(average.model.weight.numpy().ravel(), expected, rtol=1e-6)


def test_the_average_copies_what_is_not_averaged() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2))
    model.register_buffer("anchors", torch.tensor([0.1, 1 / 3]))
    average = MovingAverage(model, 0.9)
    model.train()(torch.randn(4, 2))
    for _ in range(3):
        average.update(model)
    assert torch.equal(average.state_dict()["anchors"], torch.tensor([0.1, 1 / 3]))
    assert int(average.state_dict()["0.num_batches_tracked"]) == 1


def test_phases_longer_than_the_training_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit into 10 epochs"):
        WarmCosine(0.01, 10, 10, 5, 15, 0.05, 0.9)
