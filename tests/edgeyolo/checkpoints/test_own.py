"""Our own checkpoints come back as they were, and only whole."""

from __future__ import annotations

import os
import resource
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from edgeyolo.checkpoints.load import load_model
from edgeyolo.checkpoints.own import read_training_state, save_checkpoint
from edgeyolo.checkpoints.reader import read_checkpoint
from edgeyolo.errors import CheckpointError, OutputError
from edgeyolo.families import FAMILIES
from edgeyolo.models.architecture import Activation
from edgeyolo.models.detector import Detector
from edgeyolo.models.zoo import build
from edgeyolo.spec import ModelSpec


@pytest.fixture(scope="module")
def model() -> Detector:
    torch.manual_seed(9)
    return build("yolox-nano", 2, activation=Activation.RELU).eval()


@pytest.fixture
def spec(model: Detector) -> ModelSpec:
    preprocess = FAMILIES[model.family].preprocess((96, 160))
    return ModelSpec(
        family=model.family,
        variant=model.variant,
        class_names=("stop", "go"),
        strides=model.strides,
        anchors_px=None,
        preprocess=preprocess,
        license="Apache-2.0",
    )


def training_state() -> dict[str, Any]:
    return {
        "epoch": 4,
        "ema": {"decay": 0.9, "updates": 120},
        "optimizer": {
            "state": {0: {"momentum_buffer": torch.arange(6.0)}, 1: {"momentum_buffer": None}},
            "param_groups": [{"lr": 0.01, "params": [0, 1], "nesterov": True, "betas": (0.9, 1)}],
        },
        "random": [torch.get_rng_state(), "text", b"bytes"],
    }


def test_names_input_size_activation_and_weights_come_back(
    model: Detector, spec: ModelSpec, tmp_path: Path
) -> None:
    path = tmp_path / "own.pt"
    save_checkpoint(path, model.state_dict(), spec, architecture=model.architecture)
    loaded = load_model(path)
    assert loaded.spec == spec
    assert loaded.model.architecture == model.architecture
    x = torch.rand(1, 3, 96, 160) * 255
    with torch.inference_mode():
        for ours, theirs in zip(loaded.model(x), model(x), strict=True):
            assert torch.equal(ours, theirs)
    assert load_model(path, input_hw=(64, 64)).spec.preprocess == replace(
        spec.preprocess, input_hw=(64, 64)
    )


def test_half_precision_files_are_half_the_size(
    model: Detector, spec: ModelSpec, tmp_path: Path
) -> None:
    state = model.state_dict()
    halves = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    save_checkpoint(tmp_path / "full.pt", state, spec)
    save_checkpoint(tmp_path / "half.pt", halves, spec)
    assert (tmp_path / "half.pt").stat().st_size < 0.65 * (tmp_path / "full.pt").stat().st_size
    key = "backbone.backbone.stem.conv.conv.weight"
    assert torch.equal(read_checkpoint(tmp_path / "half.pt").state[key], halves[key].float())


def test_training_state_comes_back_and_needs_no_trust(
    model: Detector, spec: ModelSpec, tmp_path: Path
) -> None:
    path = tmp_path / "own.pt"
    before = training_state()
    save_checkpoint(path, model.state_dict(), spec, training_state=before)
    after = read_training_state(path)
    assert after["epoch"] == 4
    assert after["ema"] == before["ema"]
    assert after["optimizer"]["param_groups"] == before["optimizer"]["param_groups"]
    assert torch.equal(after["optimizer"]["state"][0]["momentum_buffer"], torch.arange(6.0))
    assert torch.equal(after["random"][0], before["random"][0])
    assert after["random"][1:] == ["text", b"bytes"]
    plain = torch.load(path, weights_only=True)
    assert set(plain) == {"edgeyolo", "model", "training"}


def test_the_same_content_gives_the_same_bytes(
    model: Detector, spec: ModelSpec, tmp_path: Path
) -> None:
    for name in ("first.pt", "second.pt"):
        save_checkpoint(tmp_path / name, model.state_dict(), spec)
    assert (tmp_path / "first.pt").read_bytes() == (tmp_path / "second.pt").read_bytes()


def test_released_weights_cannot_be_trained_on_from(
    model: Detector, spec: ModelSpec, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "own.pt", model.state_dict(), spec)
    with pytest.raises(CheckpointError, match="no training state"):
        read_training_state(tmp_path / "own.pt")
    torch.save({"model": model.state_dict()}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="not written by edgeyolo"):
        read_training_state(tmp_path / "other.pt")


def test_only_plain_training_state_is_accepted(
    model: Detector, spec: ModelSpec, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"training_state\['a'\]\[1\] is a set"):
        save_checkpoint(
            tmp_path / "own.pt", model.state_dict(), spec, training_state={"a": [1, {2}]}
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('{"schema": 99}', "schema 99"),
        ("[1, 2]", "schema None"),
        ("{", "not valid"),
        ('{"schema": 1, "spec": {"family": "yolox"}}', "not valid"),
        ("[" * 100_000, "not valid|damaged"),
    ],
)
def test_a_header_that_is_not_ours_is_refused(
    model: Detector, tmp_path: Path, header: str, expected: str
) -> None:
    torch.save({"edgeyolo": header, "model": model.state_dict()}, tmp_path / "own.pt")
    with pytest.raises(CheckpointError, match=expected):
        read_checkpoint(tmp_path / "own.pt")


def test_a_header_that_contradicts_the_tensors_is_refused(
    model: Detector, spec: ModelSpec, tmp_path: Path
) -> None:
    names = replace(spec, class_names=("only",))
    save_checkpoint(tmp_path / "own.pt", model.state_dict(), names)
    with pytest.raises(CheckpointError, match=r"names 1 classes, its tensors have 2"):
        read_checkpoint(tmp_path / "own.pt")
    other = replace(model.architecture, num_classes=3)
    save_checkpoint(tmp_path / "own.pt", model.state_dict(), spec, architecture=other)
    with pytest.raises(CheckpointError, match=r"with 3 classes, its tensors .* with 2"):
        read_checkpoint(tmp_path / "own.pt")


def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    model: Detector, spec: ModelSpec, tmp_path: Path
) -> None:
    path = tmp_path / "own.pt"
    save_checkpoint(path, model.state_dict(), spec)
    before = path.read_bytes()
    child = os.fork()
    if child == 0:  # a limit on file size behaves like a full disk, and dies with the child
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            save_checkpoint(path, model.state_dict(), spec)
        except OutputError as error:
            os._exit(0 if "too large" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
