"""The activation of a network: told by its file, given by the user, or assumed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from edgeyolo.checkpoints.load import load_model
from edgeyolo.checkpoints.own import save_checkpoint
from edgeyolo.checkpoints.reader import read_checkpoint
from edgeyolo.cli.main import group
from edgeyolo.errors import CheckpointError, UnsupportedError
from edgeyolo.models.architecture import Activation
from edgeyolo.models.zoo import build
from edgeyolo.pipeline import ExportRequest, export
from edgeyolo.spec import Backend
from edgeyolo.validation import ValidationRequest, validate
from edgeyolo.verification import verify


@pytest.fixture
def nano(shared: Path) -> Path:
    return shared / "assets" / "weights" / "yolox_nano_0.1.1rc0_refolded.pth"


@pytest.mark.parametrize(
    ("name", "assumed", "trained"),
    [
        ("yolox-nano", Activation.SILU, Activation.RELU),
        ("yolov7-tiny", Activation.LEAKY_RELU, Activation.SILU),
    ],
)
def test_a_state_dict_computes_with_the_activation_that_the_user_gives(
    tmp_path: Path, name: str, assumed: Activation, trained: Activation
) -> None:
    torch.manual_seed(1)
    network = build(name, activation=trained).eval()
    torch.save(network.state_dict(), tmp_path / "plain.pth")
    checkpoint = read_checkpoint(tmp_path / "plain.pth")
    assert (checkpoint.activation, checkpoint.activation_told) == (assumed, False)
    given = load_model(tmp_path / "plain.pth", activation=trained)
    assert given.model.architecture.activation is trained
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = network.decode(network(x))
        assert torch.equal(given.model.decode(given.model(x)), expected)
        other = load_model(tmp_path / "plain.pth").model
        assert not torch.equal(other.decode(other(x)), expected)


def test_a_file_that_tells_its_activation_is_not_contradicted(
    shared: Path, nano: Path, tmp_path: Path
) -> None:
    pickled = shared / "reference" / "checkpoint" / "yolov7_l_w0125_nc7_synth.pt"
    loaded = load_model(nano)
    save_checkpoint(tmp_path / "own.pt", loaded.model.state_dict(), loaded.spec)
    for path in (pickled, tmp_path / "own.pt"):
        assert read_checkpoint(path).activation_told
        assert load_model(path, activation=Activation.SILU).checkpoint.activation_told
        with pytest.raises(CheckpointError, match=r"tells .* silu, not relu; leave --activation"):
            load_model(path, activation=Activation.RELU)


def test_inspect_says_what_is_assumed(nano: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(group, ["inspect", str(nano)])
    assert "activation silu is assumed; the file does not tell" in result.stdout
    facts = json.loads(CliRunner().invoke(group, ["inspect", str(nano), "--json"]).stdout)["facts"]
    assert (facts["activation"], facts["assumed"]) == ("silu", ["activation"])
    loaded = load_model(nano)
    save_checkpoint(tmp_path / "own.pt", loaded.model.state_dict(), loaded.spec)
    result = CliRunner().invoke(group, ["inspect", str(tmp_path / "own.pt")])
    assert "assumed" not in result.stdout


def test_an_artifact_has_the_activation_that_was_given(
    shared: Path, nano: Path, tmp_path: Path
) -> None:
    pictures = shared / "assets" / "coco_val2017_subset" / "images"
    folder = tmp_path / "relu"
    request = ExportRequest(
        checkpoint=nano,
        backend=Backend.ONNX,
        input_hw=(160, 224),
        activation=Activation.RELU,
        images=pictures,
        output=folder,
    )
    export(request)
    assert verify(folder, nano, pictures, limit=1, activation=Activation.RELU).passed
    assert not verify(folder, nano, pictures, limit=1).passed
    labels = pictures.parent / "instances.json"
    with pytest.raises(UnsupportedError, match="--activation is for checkpoints"):
        validate(ValidationRequest(model=folder, annotations=labels, activation=Activation.RELU))
