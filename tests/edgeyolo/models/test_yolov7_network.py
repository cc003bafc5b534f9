"""YOLOv7 without any reference folder: sizes, options, shapes, gradients."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from edgeyolo.models.architecture import Form
from edgeyolo.models.flops import count_gflops, count_parameters
from edgeyolo.models.yolov7 import YoloV7
from edgeyolo.models.zoo import VARIANTS, build, build_architecture, yolov7_architecture

# Parameters of the training and of the deploy form, and layers of both, of the official networks
# (YOLOv7 at a207844, 80 classes).
OFFICIAL_SIZES = {
    "yolov7-tiny": (6_228_762, 6_227_101, 78, 78),
    "yolov7-l": (37_622_682, 37_620_125, 106, 106),
    "yolov7-x": (71_347_394, 71_344_389, 122, 122),
    "yolov7-w6": (82_312_436, 70_426_236, 123, 119),
    "yolov7-e6": (111_898_292, 97_246_652, 145, 141),
    "yolov7-d6": (154_709_364, 133_810_044, 167, 163),
    "yolov7-e6e": (166_408_884, 151_757_244, 266, 262),
}


@pytest.mark.parametrize("name", OFFICIAL_SIZES)
def test_parameters_and_layer_numbers_are_the_official_ones(name: str) -> None:
    with torch.device("meta"):
        training = build(name)
        deploy = build(name, training_form=False)
    assert isinstance(training, YoloV7)
    assert isinstance(deploy, YoloV7)
    assert (
        count_parameters(training),
        count_parameters(deploy),
        len(training.model),
        len(deploy.model),
    ) == OFFICIAL_SIZES[name]


@pytest.mark.parametrize("name", OFFICIAL_SIZES)
def test_operations_are_the_published_ones(name: str) -> None:
    variant = VARIANTS[name]
    with torch.device("meta"):
        model = build_architecture(
            replace(variant.architecture, form=variant.published_form, reparameterized=True)
        ).eval()
    assert isinstance(model, YoloV7)
    # The published figure of D6 includes the auxiliary heads, which run in train mode only.
    model.head.training = variant.published_form is Form.TRAINING
    gflops = count_gflops(model, variant.published_hw)
    assert gflops == pytest.approx(variant.published_gflops, rel=0.005)


@pytest.mark.parametrize("num_classes", [1, 7])
def test_training_returns_lead_and_auxiliary_levels_and_reaches_every_weight(
    num_classes: int,
) -> None:
    torch.manual_seed(0)
    architecture = yolov7_architecture(graph="w6", width=0.125, num_classes=num_classes)
    model = build_architecture(architecture).train()
    raw = model(torch.rand(2, 3, 64, 128))
    shapes = [(2, 3, 64 // s, 128 // s, 5 + num_classes) for s in (8, 16, 32, 64)]
    assert [tuple(level.shape) for level in raw] == [*shapes, *shapes]
    sum(level.square().mean() for level in raw).backward()
    assert all(
        parameter.grad is not None and bool(parameter.grad.isfinite().all())
        for parameter in model.parameters()
    )


def test_eval_mode_leaves_the_auxiliary_layers_out() -> None:
    architecture = yolov7_architecture(graph="w6", width=0.125, num_classes=3)
    model = build_architecture(architecture).eval()
    ran: list[str] = []
    for name, module in model.named_modules():
        module.register_forward_hook(lambda _m, _i, _o, name=name: ran.append(name))
    with torch.no_grad():
        assert len(model(torch.zeros(1, 3, 64, 64))) == 4
    assert "model.117" in ran
    assert not {"model.118", "model.119", "model.120", "model.121"} & set(ran)


@pytest.mark.parametrize("activation", ["silu", "relu", "lrelu"])
def test_tiny_builds_with_another_activation_and_other_anchors(activation: str) -> None:
    anchors_px = (((4.0, 5.0),), ((8.0, 9.0),), ((30.0, 20.0),))
    model = build("yolov7-tiny", 2, activation=activation, anchors_px=anchors_px).eval()
    with torch.no_grad():
        raw = model(torch.zeros(1, 3, 64, 96))
    assert [tuple(level.shape) for level in raw] == [
        (1, 1, 8, 12, 7),
        (1, 1, 4, 6, 7),
        (1, 1, 2, 3, 7),
    ]
    assert model.anchors_px == anchors_px


def test_anchors_for_another_number_of_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="needs anchors for 3 levels"):
        build("yolov7-tiny", anchors_px=(((4.0, 5.0),), ((8.0, 9.0),)))


def test_tiny_is_leaky_and_the_others_are_not() -> None:
    assert str(VARIANTS["yolov7-tiny"].architecture.activation) == "lrelu"
    assert str(VARIANTS["yolov7-l"].architecture.activation) == "silu"


@pytest.mark.parametrize("form", [Form.TRAINING, Form.DEPLOY])
def test_head_maps_are_the_parts_of_the_logits(form: Form) -> None:
    torch.manual_seed(0)
    architecture = yolov7_architecture(graph="tiny", width=0.25, num_classes=4, form=form)
    model = build_architecture(architecture).eval()
    picture = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        for maps, raw in zip(model.head_maps(picture), model(picture), strict=True):
            batch, anchors, height, width, _ = raw.shape
            as_maps = raw.permute(0, 1, 4, 2, 3)
            assert torch.equal(
                maps.box, as_maps[:, :, :4].reshape(batch, anchors * 4, height, width)
            )
            assert torch.equal(maps.objectness, as_maps[:, :, 4])
            assert torch.equal(
                maps.classes, as_maps[:, :, 5:].reshape(batch, anchors * 4, height, width)
            )


def test_decode_follows_anchor_row_column_and_squares_the_size() -> None:
    model = build("yolov7-tiny", 2)
    raw = [torch.zeros(1, 3, 64 // s, 96 // s, 7) for s in model.strides]
    raw[1][0, 2, 3, 5] = torch.tensor([1.0, -1.0, 2.0, 0.0, 3.0, -3.0, 0.0])
    decoded = model.decode(raw)
    assert decoded.shape == (1, 3 * (8 * 12 + 4 * 6 + 2 * 3), 7)
    s = torch.tensor([1.0, -1.0, 2.0, 0.0]).sigmoid()
    expected = torch.stack(
        (
            (2 * s[0] - 0.5 + 5) * 16,
            (2 * s[1] - 0.5 + 3) * 16,
            (2 * s[2]) ** 2 * 59,
            (2 * s[3]) ** 2 * 119,
        )
    )
    row = decoded[0, 3 * 8 * 12 + 2 * 4 * 6 + 3 * 6 + 5]
    torch.testing.assert_close(row[:4], expected)
    torch.testing.assert_close(row[4:], torch.tensor([3.0, -3.0, 0.0]).sigmoid())


def test_narrow_networks_keep_channels_in_multiples_of_eight_and_are_custom() -> None:
    architecture = yolov7_architecture(graph="l", width=0.125, num_classes=7)
    assert architecture.name == "yolov7-custom"
    with torch.device("meta"):
        state = build_architecture(architecture).state_dict()
    assert state["model.0.conv.weight"].shape[0] == 8
    assert state["model.104.rbr_dense.0.weight"].shape == (128, 64, 3, 3)


def test_p6_sides_must_be_multiples_of_64() -> None:
    model = build_architecture(yolov7_architecture(graph="w6", width=0.125, num_classes=1))
    with pytest.raises(ValueError, match="multiples of 64"):
        model(torch.zeros(1, 3, 64, 96))


def test_untrained_heads_expect_few_objects_and_rare_classes() -> None:
    architecture = yolov7_architecture(graph="w6", width=0.25, num_classes=80)
    model = build_architecture(architecture)
    state = model.state_dict()
    # ln(8 / (640 / stride)^2) and ln(0.6 / (80 - 0.99)) on top of PyTorch's own initial values,
    # which are uniform within 1/sqrt(inputs).
    objectness = [-6.684612, -5.298317, -3.912023, -2.525729]
    for part in ("m", "m2"):
        for level, expected in enumerate(objectness):
            bias = state[f"model.122.{part}.{level}.bias"].reshape(3, 85)
            slack = state[f"model.122.{part}.{level}.weight"].shape[1] ** -0.5
            assert (bias[:, 4] - expected).abs().max() <= slack
            assert (bias[:, 5:] + 4.880400).abs().max() <= slack
            assert bias[:, :4].abs().max() <= slack


def test_batch_norms_have_the_official_epsilon_and_momentum() -> None:
    model = build_architecture(yolov7_architecture(graph="l", width=0.125, num_classes=1))
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 92  # as in the official state dict
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.03)}
