"""YOLOX without any reference folder: sizes, options, shapes, gradients."""

from __future__ import annotations

import pytest
import torch

from edgeyolo.models.flops import count_gflops, count_parameters
from edgeyolo.models.zoo import VARIANTS, build, build_architecture, yolox_architecture

# Parameters and state-dict entries of the official networks (YOLOX at 6ddff48, 80 classes).
OFFICIAL_SIZES = {
    "yolox-nano": (912_159, 642),
    "yolox-tiny": (5_055_855, 462),
    "yolox-s": (8_968_255, 462),
    "yolox-m": (25_326_495, 606),
    "yolox-l": (54_208_895, 750),
    "yolox-x": (99_071_455, 894),
}


@pytest.mark.parametrize("name", OFFICIAL_SIZES)
def test_parameters_keys_and_operations_are_the_published_ones(name: str) -> None:
    with torch.device("meta"):
        model = build(name).eval()
    assert (count_parameters(model), len(model.state_dict())) == OFFICIAL_SIZES[name]
    variant = VARIANTS[name]
    gflops = count_gflops(model, variant.input_hw)
    assert gflops == pytest.approx(variant.published_gflops, rel=0.002)


@pytest.mark.parametrize("num_classes", [1, 7])
@pytest.mark.parametrize("activation", ["silu", "relu", "lrelu"])
def test_any_class_count_and_activation_builds_and_trains(
    num_classes: int, activation: str
) -> None:
    torch.manual_seed(0)
    model = build("yolox-nano", num_classes, activation=activation).train()
    raw = model(torch.rand(2, 3, 64, 96) * 255)
    assert [tuple(level.shape) for level in raw] == [
        (2, 5 + num_classes, 8, 12),
        (2, 5 + num_classes, 4, 6),
        (2, 5 + num_classes, 2, 3),
    ]
    sum(level.square().mean() for level in raw).backward()
    assert all(
        parameter.grad is not None and bool(parameter.grad.isfinite().all())
        for parameter in model.parameters()
    )


def test_untrained_scores_start_at_one_percent() -> None:
    model = build("yolox-nano", 3)
    for key, tensor in model.state_dict().items():
        if key.endswith("_preds.0.bias") and "reg" not in key:
            assert tensor.sigmoid().tolist() == pytest.approx([0.01] * len(tensor))


def test_head_maps_are_the_parts_of_the_logits() -> None:
    model = build("yolox-tiny", 4).eval()
    picture = torch.rand(1, 3, 64, 64) * 255
    with torch.no_grad():
        for maps, raw in zip(model.head_maps(picture), model(picture), strict=True):
            assert torch.equal(torch.cat(maps, dim=1), raw)
            assert (maps.box.shape[1], maps.objectness.shape[1], maps.classes.shape[1]) == (4, 1, 4)


def test_decode_puts_centres_on_cells_and_sizes_on_strides() -> None:
    model = build("yolox-nano", 2)
    raw = [torch.zeros(1, 7, 64 // stride, 96 // stride) for stride in model.strides]
    raw[1][0, :, 2, 1] = torch.tensor([0.5, 0.25, 1.0, 0.0, 2.0, -2.0, 0.0])
    decoded = model.decode(raw)
    assert decoded.shape == (1, 8 * 12 + 4 * 6 + 2 * 3, 7)
    row = decoded[0, 8 * 12 + 2 * 6 + 1]
    expected = torch.tensor([1.5 * 16, 2.25 * 16, 16 * torch.e, 16.0])
    torch.testing.assert_close(row[:4], expected)
    torch.testing.assert_close(row[4:], torch.tensor([2.0, -2.0, 0.0]).sigmoid())


def test_miniature_depthwise_network_is_named_custom() -> None:
    architecture = yolox_architecture(depth=0.33, width=0.125, depthwise=True, num_classes=7)
    assert architecture.variant == "custom"
    model = build_architecture(architecture).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 32, 32))[0].shape == (1, 12, 4, 4)


def test_published_depth_and_width_get_their_name() -> None:
    architecture = yolox_architecture(depth=0.67, width=0.75, depthwise=False, num_classes=7)
    assert architecture.name == "yolox-m"


def test_sides_that_cannot_be_halved_five_times_are_refused() -> None:
    with pytest.raises(ValueError, match=r"multiples of 32, got \(1, 3, 64, 100\)"):
        build("yolox-nano")(torch.zeros(1, 3, 64, 100))


def test_unknown_names_are_refused_with_the_choice() -> None:
    with pytest.raises(ValueError, match=r"'yolox-xs'.*yolox-nano, yolox-tiny"):
        build("yolox-xs")
