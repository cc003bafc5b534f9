"""Models that today's torch pickles whole, under the class names of the official repositories.

The classes are stand-ins made for writing; they are gone again when the file is read.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgeyolo.checkpoints.load import load_model
from edgeyolo.checkpoints.reader import read_checkpoint
from edgeyolo.errors import CheckpointError
from edgeyolo.models.detector import Detector
from edgeyolo.models.zoo import build

STAND_INS = {
    "models.yolo": ("Model", "IDetect"),
    "models.common": ("Conv",),
    "yolox.models.yolox": ("YOLOX",),
    "yolox.models.network_blocks": ("BaseConv",),
}


@pytest.fixture
def stand_ins(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, type[nn.Module]]]:
    """Empty module classes in files under the official names: old torch stores their source."""
    folder = tmp_path_factory.mktemp("stand_ins")
    monkeypatch.syspath_prepend(folder)
    classes: dict[str, type[nn.Module]] = {}
    for path, names in STAND_INS.items():
        file = folder.joinpath(*path.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"class {name}(nn.Module):\n    pass\n" for name in names]
        file.write_text("from torch import nn\n\n" + "\n".join(lines))
        module = importlib.import_module(path)
        classes |= {name: getattr(module, name) for name in names}
    yield classes
    for path in [name for name in sys.modules if name.split(".")[0] in ("models", "yolox")]:
        del sys.modules[path]


def tree(detector: Detector, root: type[nn.Module], layer: type[nn.Module], act: str) -> nn.Module:
    """The tensors of *detector* in a tree of stand-ins, with activations in between."""
    activations: dict[str, Callable[[], nn.Module]] = {
        "SiLU": nn.SiLU,
        "LeakyReLU": lambda: nn.LeakyReLU(0.1),
        "Mish": nn.Mish,
    }
    buffers = dict(detector.named_buffers())
    model = root()
    for key, value in detector.state_dict().items():
        *path, name = key.split(".")
        module = model
        for part in path:
            if part not in module._modules:
                child = nn.BatchNorm2d(1, eps=1e-3) if part == "bn" else layer()
                module.add_module(part, child)
                if part == "conv":
                    module.add_module("act", activations[act]())
            module = module._modules[part]  # type: ignore[assignment]
        if key in buffers:
            module.register_buffer(name, value)
        else:
            module._parameters[name] = nn.Parameter(value)
    return model


def yolov7(classes: dict[str, type[nn.Module]], act: str = "LeakyReLU") -> tuple[Detector, Any]:
    torch.manual_seed(4)
    detector = build("yolov7-tiny", 2).eval()
    model: Any = tree(detector, classes["Model"], classes["Conv"], act)
    model.names, model.nc, model.stride = ["stop", "go"], 2, torch.tensor([8.0, 16.0, 32.0])
    model.yaml = {"nc": 2, "backbone": [[-1, 1, "Conv", [32, 3, 1]]], "head": []}
    model.class_weights, model.hyp, model.gr = torch.ones(2), {"lr0": 0.01}, 1.0
    return detector, model


def training_checkpoint(model: nn.Module) -> dict[str, Any]:
    optimizer = torch.optim.SGD(list(model.parameters())[:3], lr=0.1, momentum=0.9, nesterov=True)
    return {
        "epoch": 7,
        "best_fitness": np.array([0.25]),
        "training_results": "7/299 0.05",
        "model": nn.Identity(),
        "ema": model.half(),
        "updates": 1234,
        "optimizer": optimizer.state_dict(),
        "wandb_id": None,
    }


@pytest.mark.parametrize(
    ("protocol", "zipped"), [(1, False), (2, False), (2, True), (4, False), (5, True)]
)
def test_an_unstripped_yolov7_training_file_gives_its_ema(
    stand_ins: dict[str, type[nn.Module]], tmp_path: Path, protocol: int, zipped: bool
) -> None:
    detector, model = yolov7(stand_ins)
    path = tmp_path / "last.pt"
    torch.save(
        training_checkpoint(model),
        path,
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=zipped,
    )
    loaded = load_model(path)
    assert loaded.spec.name == "yolov7-tiny"
    assert loaded.spec.class_names == ("stop", "go")
    assert loaded.checkpoint.extras["best_fitness"] == 0.25
    assert loaded.checkpoint.extras["epoch"] == 7
    assert list(loaded.checkpoint.state) == list(detector.state_dict())
    for key, value in detector.half().float().state_dict().items():
        assert torch.equal(loaded.checkpoint.state[key], value), key


def test_data_parallel_and_names_as_a_dict_are_understood(
    stand_ins: dict[str, type[nn.Module]], tmp_path: Path
) -> None:
    detector, model = yolov7(stand_ins)
    model.names = {1: "go", 0: "stop"}
    torch.save({"model": nn.DataParallel(model)}, tmp_path / "best.pt")
    loaded = load_model(tmp_path / "best.pt")
    assert loaded.spec.class_names == ("stop", "go")
    assert list(loaded.checkpoint.state) == list(detector.state_dict())


def test_a_whole_yolox_model_is_read_too(
    stand_ins: dict[str, type[nn.Module]], tmp_path: Path
) -> None:
    torch.manual_seed(4)
    detector = build("yolox-nano", 80)
    torch.save(tree(detector, stand_ins["YOLOX"], stand_ins["BaseConv"], "SiLU"), tmp_path / "x.pt")
    checkpoint = read_checkpoint(tmp_path / "x.pt")
    assert checkpoint.architecture == detector.architecture
    for key, value in detector.state_dict().items():
        assert torch.equal(checkpoint.state[key], value), key


def test_an_unknown_activation_or_epsilon_is_refused(
    stand_ins: dict[str, type[nn.Module]], tmp_path: Path
) -> None:
    path = tmp_path / "weights.pt"
    _, model = yolov7(stand_ins, act="Mish")
    torch.save({"model": model}, path)
    with pytest.raises(CheckpointError, match="activations Mish; one of SiLU, ReLU, LeakyReLU"):
        read_checkpoint(path)
    _, model = yolov7(stand_ins)
    next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d)).eps = 1e-5
    torch.save({"model": model}, path)
    with pytest.raises(CheckpointError, match=r"batch norm 'model\.0\.bn' has eps 1e-05"):
        read_checkpoint(path)


def test_strides_that_contradict_the_layers_are_refused(
    stand_ins: dict[str, type[nn.Module]], tmp_path: Path
) -> None:
    _, model = yolov7(stand_ins)
    model.stride = torch.tensor([4.0, 8.0, 16.0])
    torch.save({"model": model}, tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match="its strides are"):
        read_checkpoint(tmp_path / "weights.pt")
