"""The export form of YOLOv7 computes what the trained network computes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from edgeyolo.models.architecture import Form
from edgeyolo.models.deploy import deploy
from edgeyolo.models.detector import Detector
from edgeyolo.models.yolov7 import YoloV7
from edgeyolo.models.yolov7_blocks import RepConv
from edgeyolo.models.yolov7_heads import SplitHead
from edgeyolo.models.zoo import build_architecture, yolov7_architecture


def lively(model: Detector) -> Detector:
    """Weights as after training: statistics, factors and implicit terms that matter."""
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if tensor.ndim == 1 and key.endswith(("running_var", "weight")):
                tensor.uniform_(0.6, 1.4, generator=draw)
            elif key.endswith(("running_mean", "bn.bias", ".1.bias")):
                tensor.uniform_(-0.2, 0.2, generator=draw)
            elif ".ia." in key:
                tensor.uniform_(-0.5, 0.5, generator=draw)
            elif ".im." in key:
                tensor.uniform_(0.5, 1.5, generator=draw)
    return model


def small(graph: str, **changes: object) -> Detector:
    torch.manual_seed(0)
    architecture = yolov7_architecture(graph=graph, width=0.125, num_classes=7)
    return lively(build_architecture(replace(architecture, **changes))).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("num_classes", [1, 7])
@pytest.mark.parametrize("graph", ["tiny", "l", "w6", "e6e"])
def test_training_form_becomes_plain_convolutions_with_the_same_outputs(
    graph: str, num_classes: int
) -> None:
    model = small(graph, num_classes=num_classes)
    deployed, report = deploy(model)

    levels = len(model.strides)
    assert report.folded_batch_norms == sum(
        isinstance(module, nn.BatchNorm2d) for module in model.modules()
    )
    assert report.folded_implicit_heads == levels
    assert report.reparameterized_blocks == (3 if graph == "l" else 0)
    assert report.dropped_auxiliary_heads == (4 if graph in ("w6", "e6e") else 0)
    assert report.merged_stem == (graph in ("w6", "e6e"))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in deployed.modules())
    assert all(
        module.reparameterized for module in deployed.modules() if isinstance(module, RepConv)
    )
    picture = torch.rand(2, 3, 128, 64)
    with torch.no_grad():
        expected = model(picture)
        for ours, theirs in zip(deployed(picture), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-5)
        for ours_maps, their_maps in zip(
            deployed.head_maps(picture), model.head_maps(picture), strict=True
        ):
            for ours, theirs in zip(ours_maps, their_maps, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-5)


def test_prediction_convolutions_of_box_objectness_and_classes_are_separate() -> None:
    deployed, _ = deploy(small("tiny"))
    assert isinstance(deployed, YoloV7)
    assert isinstance(deployed.head, SplitHead)
    assert [layer.out_channels for layer in deployed.head.box] == [12, 12, 12]
    assert [layer.out_channels for layer in deployed.head.objectness] == [3, 3, 3]
    assert [layer.out_channels for layer in deployed.head.classes] == [21, 21, 21]


def test_auxiliary_layers_are_gone_and_the_detection_layer_has_the_deploy_number() -> None:
    deployed, _ = deploy(small("w6"))
    assert isinstance(deployed, YoloV7)
    assert len(deployed.model) == 119
    assert "model.118.box.0.weight" in deployed.state_dict()


@pytest.mark.parametrize("graph", ["l", "w6"])
def test_deploying_twice_changes_nothing(graph: str) -> None:
    once, _ = deploy(small(graph))
    twice, report = deploy(once)
    assert report.source_form is Form.EXPORT
    assert report.max_abs_difference == 0
    assert report.folded_implicit_heads == report.dropped_auxiliary_heads == 0
    assert report.folded_batch_norms == report.reparameterized_blocks == 0
    for key, tensor in once.state_dict().items():
        assert torch.equal(twice.state_dict()[key], tensor)


@pytest.mark.parametrize(
    ("form", "folded", "reparameterized"),
    [
        (Form.DEPLOY, False, False),
        (Form.DEPLOY, False, True),
        (Form.DEPLOY, True, True),
        (Form.TRAINING, True, True),
    ],
)
def test_forms_that_others_already_converted_deploy_too(
    form: Form, folded: bool, reparameterized: bool
) -> None:
    model = small("l", form=form, folded=folded, reparameterized=reparameterized)
    deployed, report = deploy(model)
    assert report.source_form is form
    assert (report.folded_batch_norms == 0) == folded
    # Official fused files keep implicit terms that are inside the convolutions already.
    assert report.folded_implicit_heads == 0
    picture = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        for ours, theirs in zip(deployed(picture), model(picture), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-5)


def test_identity_branch_of_a_rep_conv_is_merged() -> None:
    torch.manual_seed(0)
    # So narrow that rounding up to 8 channels makes input and output of the first one equal.
    architecture = yolov7_architecture(graph="l", width=0.03, num_classes=2)
    model = lively(build_architecture(architecture)).eval()
    identities = [key for key in model.state_dict() if "rbr_identity.weight" in key]
    assert identities == ["model.102.rbr_identity.weight"]
    deployed, report = deploy(model)
    assert report.max_relative_difference <= 5e-5
    assert not any("identity" in key for key in deployed.state_dict())


def test_half_precision_weights_deploy_to_float32() -> None:
    model = small("tiny").half()
    deployed, report = deploy(model.float())
    assert all(tensor.dtype == torch.float32 for tensor in deployed.state_dict().values())
    assert report.max_abs_difference <= 5e-5
