"""Checkpoints of every kind are read completely, whatever wrote them."""

from __future__ import annotations

import hashlib
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from torch import Tensor

from edgeyolo.checkpoints.load import LoadedModel, load_model
from edgeyolo.checkpoints.reader import read_checkpoint
from edgeyolo.coco_names import COCO_NAMES
from edgeyolo.errors import CheckpointError
from edgeyolo.models.zoo import build
from edgeyolo.spec import ColorOrder

Facts = Callable[[str], dict[str, Any]]
Decode = Callable[[LoadedModel, dict[str, Any]], NDArray[np.float32]]


@pytest.fixture(scope="module")
def nano_state() -> OrderedDict[str, Tensor]:
    torch.manual_seed(7)
    return OrderedDict(build("yolox-nano", num_classes=3).state_dict())


@pytest.fixture
def names_file(tmp_path: Path) -> Path:
    file = tmp_path / "names.txt"
    file.write_text("ant\nbee\ncat\n")
    return file


@pytest.mark.parametrize("name", ["mini", "mini_dw"])
def test_yolox_miniatures_compute_what_the_original_computes(
    shared: Path, checkpoint_facts: Facts, decoded: Decode, tmp_path: Path, name: str
) -> None:
    fact = checkpoint_facts("yolox")[name]
    path = shared / "reference/checkpoint" / fact["file"]
    names = tmp_path / "names.txt"
    names.write_text("\n".join("abcdefg"))
    loaded = load_model(path, names_file=names, input_hw=(64, 96))
    checkpoint = loaded.checkpoint
    assert checkpoint.sha256 == fact["sha256"]
    assert (checkpoint.variant, checkpoint.num_classes) == ("custom", 7)
    assert checkpoint.architecture.depthwise == fact["depthwise"]
    assert [[key, list(value.shape)] for key, value in checkpoint.state.items()] == [
        row[:2] for row in fact["state_dict"]
    ]
    assert checkpoint.extras["start_epoch"] == 300
    expected = np.load(path.with_suffix(".npz"))["decoded"]
    # reference/README.md, unfused: 2e-4 * (1 + |b|); 3e-8 seen.
    assert_allclose(decoded(loaded, fact), expected, rtol=2e-4, atol=2e-4)


def test_real_yolox_nano_weights_load_with_coco_names(shared: Path) -> None:
    loaded = load_model(shared / "assets/weights/yolox_nano_0.1.1rc0_refolded.pth")
    assert loaded.spec.name == "yolox-nano"
    assert loaded.spec.class_names == COCO_NAMES
    assert loaded.spec.input_hw == (416, 416)
    assert loaded.spec.preprocess.color_order is ColorOrder.BGR


def test_legacy_weights_get_the_preprocessing_of_the_first_release(shared: Path) -> None:
    path = shared / "assets/weights/yolox_nano_0.1.1rc0_refolded.pth"
    preprocess = load_model(path, legacy=True).spec.preprocess
    assert preprocess.color_order is ColorOrder.RGB
    assert preprocess.mean == (0.485, 0.456, 0.406)


def wrapped(state: OrderedDict[str, Tensor], kind: str) -> Any:
    if kind == "bare":
        return state
    if kind == "release":
        return {"model": state}
    if kind == "data parallel":
        return {"model": {f"module.{key}": value for key, value in state.items()}}
    if kind == "lightning":
        return {"state_dict": dict(state), "epoch": 3}
    parameters = [torch.nn.Parameter(value.clone()) for value in list(state.values())[:2]]
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return {
        "start_epoch": 12,
        "model": state,
        "optimizer": optimizer.state_dict(),
        "best_ap": np.float64(0.25),
        "curr_ap": np.float32(0.5),
    }


KINDS = ["bare", "release", "data parallel", "lightning", "training"]


@pytest.mark.parametrize(
    ("kind", "protocol"), [*((kind, 2) for kind in KINDS), *(("training", n) for n in (3, 4, 5))]
)
@pytest.mark.parametrize("zipped", [True, False])
def test_every_layout_and_container_gives_the_same_tensors(
    tmp_path: Path, nano_state: OrderedDict[str, Tensor], kind: str, zipped: bool, protocol: int
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(
        wrapped(nano_state, kind),
        path,
        _use_new_zipfile_serialization=zipped,
        pickle_protocol=protocol,
    )
    checkpoint = read_checkpoint(path)
    assert checkpoint.container == ("zip" if zipped else "stream")
    assert checkpoint.architecture.name == "yolox-nano"
    assert checkpoint.num_classes == 3
    assert checkpoint.class_names is None
    assert list(checkpoint.state) == list(nano_state)
    for key, value in nano_state.items():
        assert torch.equal(checkpoint.state[key], value), key
    if kind == "training":
        assert checkpoint.extras == {"start_epoch": 12, "best_ap": 0.25, "curr_ap": 0.5}
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("zipped", [True, False])
def test_other_precisions_become_float32(
    tmp_path: Path, nano_state: OrderedDict[str, Tensor], dtype: torch.dtype, zipped: bool
) -> None:
    stored = {
        key: value.to(dtype) if value.is_floating_point() else value
        for key, value in nano_state.items()
    }
    path = tmp_path / "weights.pth"
    torch.save({"model": stored}, path, _use_new_zipfile_serialization=zipped)
    state = read_checkpoint(path).state
    for key, value in stored.items():
        expected = value.float() if value.is_floating_point() else value
        assert torch.equal(state[key], expected), key


def test_weights_saved_on_a_gpu_are_read_without_one(
    tmp_path: Path, nano_state: OrderedDict[str, Tensor]
) -> None:
    def text(value: str) -> bytes:
        return b"X" + len(value).to_bytes(4, "little") + value.encode()

    torch.save({"model": nano_state}, tmp_path / "cpu.pth")
    with (
        zipfile.ZipFile(tmp_path / "cpu.pth") as source,
        zipfile.ZipFile(tmp_path / "gpu.pth", "w") as target,
    ):
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("data.pkl"):
                assert data.count(text("cpu")) == 1  # the others refer to it
                data = data.replace(text("cpu"), text("cuda:1"))
                data = data.replace(b"ctorch\nFloatStorage", b"ctorch.cuda\nFloatStorage")
            target.writestr(name, data)
    state = read_checkpoint(tmp_path / "gpu.pth").state
    assert all(torch.equal(state[key], value) for key, value in nano_state.items())


def test_archives_with_zip64_fields_are_read(
    tmp_path: Path, nano_state: OrderedDict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Files above 4 GB have them; here everything above 1000 bytes counts as that.
    torch.save({"model": nano_state}, tmp_path / "small.pth")
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    with (
        zipfile.ZipFile(tmp_path / "small.pth") as source,
        zipfile.ZipFile(tmp_path / "large.pth", "w") as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert (tmp_path / "large.pth").read_bytes().count(b"\xff\xff\xff\xff\xff\xff\xff\xff") > 50
    state = read_checkpoint(tmp_path / "large.pth").state
    assert all(torch.equal(state[key], value) for key, value in nano_state.items())


def test_views_of_a_shared_storage_are_cut_out(
    tmp_path: Path, nano_state: OrderedDict[str, Tensor]
) -> None:
    key = "backbone.backbone.stem.conv.conv.weight"
    block = torch.randn(40, 12, 3, 3)
    path = tmp_path / "weights.pth"
    for zipped in (True, False):
        torch.save(
            {**nano_state, key: block[5:21].transpose(2, 3)},
            path,
            _use_new_zipfile_serialization=zipped,
        )
        assert torch.equal(read_checkpoint(path).state[key], block[5:21].transpose(2, 3))


def test_classes_without_names_are_refused_with_the_way_out(
    tmp_path: Path, nano_state: OrderedDict[str, Tensor], names_file: Path
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(nano_state, path)
    with pytest.raises(CheckpointError, match=r"3 classes .* --names FILE"):
        load_model(path)
    assert load_model(path, names_file=names_file).spec.class_names == ("ant", "bee", "cat")
    names_file.write_text("ant\nbee\n")
    with pytest.raises(CheckpointError, match="names 2 classes"):
        load_model(path, names_file=names_file)


def test_a_missing_tensor_is_named(
    tmp_path: Path, nano_state: OrderedDict[str, Tensor], names_file: Path
) -> None:
    path = tmp_path / "weights.pth"
    key = "head.reg_preds.2.bias"
    torch.save({k: v for k, v in nano_state.items() if k != key}, path)
    with pytest.raises(CheckpointError, match=f"{key}.* is missing"):
        load_model(path, names_file=names_file)


def test_weights_that_are_not_finite_are_refused(
    tmp_path: Path, nano_state: OrderedDict[str, Tensor]
) -> None:
    path = tmp_path / "weights.pth"
    key = "head.reg_preds.2.bias"
    torch.save({**nano_state, key: torch.full((4,), torch.nan)}, path)
    with pytest.raises(CheckpointError, match=f"{key}.* NaN"):
        read_checkpoint(path)


def test_tensors_of_another_network_are_refused_with_what_was_seen(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(CheckpointError, match=r"weights|neither YOLOX nor YOLOv7"):
        read_checkpoint(path)
