"""Folded weights become trainable: same outputs, batch norms that fit, filters of one size."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from edgeyolo.checkpoints.load import load_model
from edgeyolo.data.augment_yolox import YOLOX_AUGMENTATION
from edgeyolo.data.batches import TrainingBatches
from edgeyolo.data.labels import read_dataset
from edgeyolo.data.sample_source import DatasetSource
from edgeyolo.errors import TrainingError
from edgeyolo.models.deploy import deploy
from edgeyolo.models.detector import Detector
from edgeyolo.models.zoo import build_architecture
from edgeyolo.training.batch_statistics import (
    balance_filters,
    measure_norms,
    normalize_filters,
    normalized_convolutions,
    norms_are_neutral,
    with_neutral_norms,
)
from edgeyolo.training.yolox_loss import YoloxLoss

_SPEC = importlib.util.spec_from_file_location(
    "rectangle_batches", Path(__file__).with_name("rectangle_batches.py")
)
assert _SPEC is not None
assert _SPEC.loader is not None
rectangles = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(rectangles)


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand((8, 3, 64, 64), generator=torch.Generator().manual_seed(1)) * 255


@pytest.fixture
def folded(pictures: torch.Tensor) -> Detector:
    """A network whose batch norms had real statistics and were folded away."""
    torch.manual_seed(2)
    trained = build_architecture(rectangles.mini_yolox())
    with torch.no_grad():
        for _ in range(80):
            trained(pictures)
    trained.eval()
    architecture = trained.architecture
    folded = build_architecture(replace(architecture, folded=True))
    state = trained.state_dict()
    with torch.no_grad():
        for name, value in folded.state_dict().items():
            unit = name.removesuffix(".conv.weight").removesuffix(".conv.bias")
            norm = dict(trained.named_modules()).get(f"{unit}.bn")
            if not isinstance(norm, nn.BatchNorm2d):
                value.copy_(state[name])
                continue
            assert norm.running_mean is not None
            assert norm.running_var is not None
            slope = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            if name.endswith("weight"):
                value.copy_(state[name] * slope[:, None, None, None])
            else:
                value.copy_(norm.bias - norm.running_mean * slope)
        for ours, theirs in zip(folded.eval()(pictures), trained(pictures), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
    return folded


def largest_difference(first: list[torch.Tensor], second: list[torch.Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True))


def test_measured_norms_keep_outputs_and_fit_training(
    folded: Detector, pictures: torch.Tensor
) -> None:
    neutral = with_neutral_norms(folded)
    assert norms_are_neutral(neutral)
    with torch.no_grad():
        expected = folded(pictures)
        assert largest_difference(neutral.eval()(pictures), expected) < 1e-3
        destroyed = largest_difference(neutral.train()(pictures), expected)

    trainable = with_neutral_norms(folded)
    normalize_filters(trainable)
    assert measure_norms(trainable, [pictures[:4], pictures[4:]]) == 8
    assert not norms_are_neutral(trainable)
    with torch.no_grad():
        assert largest_difference(trainable.eval()(pictures), expected) < 1e-3
        kept = largest_difference(trainable.train()(pictures), expected)
    # The batch is the one that was measured, so train mode computes the same but for rounding.
    assert kept < 0.01
    assert destroyed > 10 * kept
    for unit in trainable.modules():
        conv, norm = getattr(unit, "conv", None), getattr(unit, "bn", None)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            sizes = conv.weight.flatten(1).norm(dim=1)
            torch.testing.assert_close(sizes, torch.ones_like(sizes))


def test_balanced_filters_keep_outputs_and_tame_the_largest_gradient(
    folded: Detector, pictures: torch.Tensor
) -> None:
    model = with_neutral_norms(folded)
    normalize_filters(model)
    measure_norms(model, [pictures])
    model.eval()

    def shares() -> torch.Tensor:
        model.zero_grad()
        torch.autograd.backward(sum((y.square().mean() for y in model(pictures)), torch.zeros(())))
        grads = [(c.weight.grad, c.weight) for c, _ in normalized_convolutions(model)]
        return torch.stack([g.norm() / w.norm() for g, w in grads if g is not None]).detach()

    before = shares()
    with torch.no_grad():
        expected = model(pictures)
    factor = balance_filters(model)
    with torch.no_grad():
        assert largest_difference(model(pictures), expected) < 1e-3
    after = shares()
    assert factor > 1.5
    assert float(after.max()) < 1.1 * float(before.median())


def test_trained_norms_are_not_neutral() -> None:
    model = build_architecture(rectangles.mini_yolox())
    assert norms_are_neutral(model)
    model(torch.rand(2, 3, 64, 64))
    assert not norms_are_neutral(model)


def test_networks_for_devices_cannot_be_trained() -> None:
    exported, _ = deploy(build_architecture(rectangles.mini_yolox()))
    with pytest.raises(TrainingError, match="re-parameterised for a device"):
        with_neutral_norms(exported)


def test_no_picture_is_an_error() -> None:
    with pytest.raises(TrainingError, match="no picture"):
        measure_norms(build_architecture(rectangles.mini_yolox()), [])


@pytest.mark.shared
def test_refolded_yolox_nano_starts_training_as_it_detects(shared: Path) -> None:
    """Its batch norms do nothing; trained as they are, the loss starts three times as high."""
    loaded = load_model(shared / "assets" / "weights" / "yolox_nano_0.1.1rc0_refolded.pth")
    dataset = read_dataset(shared / "assets" / "coco128_train2017")
    batches = TrainingBatches(
        DatasetSource(dataset, (256, 256)),
        YOLOX_AUGMENTATION["nano"],
        family=loaded.spec.family,
        input_hw=(256, 256),
        batch_size=8,
        seed=0,
    )
    batch = next(batches.epoch(0, closing=True))
    images = batch.images.float()
    loss = YoloxLoss(80, loaded.spec.strides)

    def loss_of(model: Detector) -> float:
        with torch.no_grad():
            return float(loss(model(images), batch.targets).parts["total"])

    model = loaded.model
    assert norms_are_neutral(model)
    as_it_detects = loss_of(model.eval())
    with torch.no_grad():
        expected = model.eval()(images)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    untreated = loss_of(model.train())
    model.load_state_dict(state)
    normalize_filters(model)
    measure_norms(model, [images])
    with torch.no_grad():
        for ours, theirs in zip(model.eval()(images), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=5e-3)
    assert loss_of(model.train()) == pytest.approx(as_it_detects, rel=0.01)
    assert untreated > 2 * as_it_detects
