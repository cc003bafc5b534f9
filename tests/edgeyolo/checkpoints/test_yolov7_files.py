"""Pickled YOLOv7 models are read completely without the repository that wrote them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from edgeyolo.checkpoints.contents import find_contents
from edgeyolo.checkpoints.load import LoadedModel, load_model
from edgeyolo.checkpoints.reader import read_checkpoint
from edgeyolo.checkpoints.records import ModuleRecord
from edgeyolo.checkpoints.storages import storage_record
from edgeyolo.checkpoints.structure import check_structure
from edgeyolo.checkpoints.unpickler import Unpickler
from edgeyolo.coco_names import COCO_NAMES
from edgeyolo.errors import UnsupportedError
from edgeyolo.models.architecture import Activation, Form
from edgeyolo.models.identify import identify
from edgeyolo.models.zoo import VARIANTS, build

Facts = Callable[[str], dict[str, Any]]
Decode = Callable[[LoadedModel, dict[str, Any]], NDArray[np.float32]]


@pytest.mark.parametrize(
    ("graph", "activation"),
    [("tiny", Activation.LEAKY_RELU), ("l", Activation.SILU), ("w6", Activation.SILU)],
)
def test_yolov7_miniatures_compute_what_the_original_computes(
    shared: Path, checkpoint_facts: Facts, decoded: Decode, graph: str, activation: Activation
) -> None:
    fact = checkpoint_facts("yolov7")[f"mini/{graph}"]
    path = shared / "reference/checkpoint" / fact["file"]
    loaded = load_model(path)
    checkpoint = loaded.checkpoint
    assert checkpoint.sha256 == fact["sha256"]
    assert (checkpoint.architecture.graph, checkpoint.variant) == (graph, "custom")
    assert checkpoint.architecture.width == 0.125
    assert (checkpoint.form, checkpoint.activation) == (Form.TRAINING, activation)
    assert loaded.spec.class_names == tuple(f"class{index}" for index in range(7))
    assert loaded.spec.strides == (8, 16, 32, 64)[: len(fact["yaml"]["anchors"])]
    assert loaded.spec.anchors_px == tuple(
        tuple(zip(row[::2], row[1::2], strict=True)) for row in fact["yaml"]["anchors"]
    )
    assert [[key, list(value.shape)] for key, value in checkpoint.state.items()] == [
        row[:2] for row in fact["state_dict"]
    ]
    expected = np.load(path.with_suffix(".npz"))["decoded"]
    # reference/README.md, unfused: 2e-4 * (1 + |b|); 3e-8 seen.
    assert_allclose(decoded(loaded, fact), expected, rtol=2e-4, atol=2e-4)


def test_the_release_graph_of_yolov7_tiny_loads_and_computes(shared: Path) -> None:
    path = shared / "assets/weights/yolov7_tiny_release_graph_partial_weights.pt"
    loaded = load_model(path)
    assert loaded.spec.name == "yolov7-tiny"
    assert loaded.checkpoint.form is Form.DEPLOY
    # Names come from the pickle here, not from our table.
    assert loaded.checkpoint.class_names == loaded.spec.class_names
    assert len(loaded.spec.class_names) == 80
    assert loaded.checkpoint.extras == {"epoch": -1}
    generator = torch.Generator().manual_seed(5)
    with torch.inference_mode():
        output = loaded.model.decode(loaded.model(torch.rand(1, 3, 640, 640, generator=generator)))
    assert output.shape == (1, 25200, 85)
    assert bool(output.isfinite().all())


def test_the_genuine_pickle_of_yolov7_is_parsed_to_its_end(shared: Path) -> None:
    data = (shared / "assets/weights/yolov7_release_data.pkl").read_bytes()
    unpickler = Unpickler(data, persistent_load=storage_record)
    root = unpickler.load()
    assert unpickler.position == len(data)
    assert isinstance(root, dict)
    assert isinstance(root["model"], ModuleRecord)
    check_structure(root)
    contents = find_contents(root)
    assert contents.class_names is not None
    assert contents.class_names[:3] == ("person", "bicycle", "car")
    assert set(contents.class_names) <= set(COCO_NAMES)
    assert contents.activations == {"SiLU"}
    architecture = identify({key: record.shape for key, record in contents.tensors.items()})
    assert architecture.name == "yolov7-l"
    assert (architecture.form, architecture.reparameterized) == (Form.DEPLOY, False)
    assert {record.storage.dtype for record in contents.tensors.values()} == {"float16", "int64"}


@pytest.mark.parametrize("training_form", [True, False])
def test_a_bare_state_dict_of_yolov7_loads_too(tmp_path: Path, training_form: bool) -> None:
    torch.manual_seed(3)
    anchors_px = tuple(
        tuple((width + 2.0, height + 4.0) for width, height in level)
        for level in VARIANTS["yolov7-tiny"].architecture.anchors_px or ()
    )
    model = build("yolov7-tiny", 80, anchors_px=anchors_px, training_form=training_form).eval()
    path = tmp_path / "weights.pt"
    torch.save(model.half().state_dict(), path)
    loaded = load_model(path)
    assert loaded.checkpoint.form is (Form.TRAINING if training_form else Form.DEPLOY)
    assert loaded.spec.anchors_px == anchors_px
    assert loaded.spec.class_names == COCO_NAMES
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded.model(x)[0], model.float()(x)[0])


def test_yolov7_has_no_legacy_preprocessing(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(build("yolov7-tiny").state_dict(), path)
    with pytest.raises(UnsupportedError, match="only YOLOX"):
        load_model(path, legacy=True)


def test_reading_leaves_the_globals_of_the_file_alone(
    shared: Path, checkpoint_facts: Facts
) -> None:
    fact = checkpoint_facts("yolov7")["mini/l"]
    read_checkpoint(shared / "reference/checkpoint" / fact["file"])
    assert not {name for name in sys.modules if name == "models" or name.startswith("models.")}
