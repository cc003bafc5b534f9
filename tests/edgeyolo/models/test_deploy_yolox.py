"""The export form of YOLOX computes what the trained network computes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeyolo.errors import ParityError
from edgeyolo.models.architecture import Form
from edgeyolo.models.deploy import deploy
from edgeyolo.models.detector import Detector
from edgeyolo.models.zoo import build, build_architecture, yolox_architecture


def lively(model: Detector) -> Detector:
    """Weights as after training: batch-norm statistics and factors that are not 0 and 1."""
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if key.endswith("running_var") or (".bn." in key and key.endswith("weight")):
                tensor.uniform_(0.6, 1.4, generator=draw)
            elif key.endswith(("running_mean", "bn.bias")):
                tensor.uniform_(-0.2, 0.2, generator=draw)
    return model


@pytest.mark.parametrize(
    ("depthwise", "num_classes", "activation"),
    [(False, 7, "silu"), (True, 7, "silu"), (False, 1, "relu"), (True, 80, "lrelu")],
)
def test_export_form_has_only_plain_convolutions_and_the_same_outputs(
    depthwise: bool, num_classes: int, activation: str
) -> None:
    torch.manual_seed(0)
    architecture = yolox_architecture(
        depth=0.33, width=0.125, depthwise=depthwise, num_classes=num_classes
    )
    model = lively(build_architecture(architecture)).eval()
    deployed, report = deploy(model)

    assert report.folded_batch_norms == sum(
        isinstance(module, nn.BatchNorm2d) for module in model.modules()
    )
    assert report.merged_stem
    assert not any(isinstance(module, nn.BatchNorm2d) for module in deployed.modules())
    assert report.max_relative_difference <= 5e-5
    picture = torch.rand(2, 3, 64, 96) * 255
    for ours, expected in zip(deployed(picture), model(picture), strict=True):
        torch.testing.assert_close(ours, expected, rtol=5e-5, atol=5e-5)


def test_deploying_twice_changes_nothing() -> None:
    once, _ = deploy(build("yolox-nano", 3))
    twice, report = deploy(once)
    assert report.source_form is Form.EXPORT
    assert report.max_abs_difference == 0
    assert (report.folded_batch_norms, report.merged_stem) == (0, False)
    for key, tensor in once.state_dict().items():
        assert torch.equal(twice.state_dict()[key], tensor)


def test_the_given_network_stays_as_it_was() -> None:
    model = build("yolox-nano", 3).train()
    model.get_submodule("head").eval()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    deploy(model)
    assert model.training
    assert not model.get_submodule("head").training
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())


def test_weights_that_are_not_finite_are_refused() -> None:
    model = build("yolox-nano", 3)
    with torch.no_grad():
        model.state_dict()["head.cls_preds.1.bias"][0] = float("nan")
    with pytest.raises(ParityError, match="weights are not finite"):
        deploy(model)
