"""Folding is algebra: in float64 both sides agree to rounding."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from edgeyolo.models.folding import (
    folded_batch_norm,
    folded_implicit,
    merged_branches,
    merged_space_to_depth,
)
from edgeyolo.models.layers import BN_EPS, space_to_depth

DRAW = torch.Generator().manual_seed(11)


def random(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=DRAW, dtype=torch.float64) - 0.5


def norm_state(prefix: str, channels: int) -> dict[str, torch.Tensor]:
    return {
        f"{prefix}.weight": random(channels) + 1,
        f"{prefix}.bias": random(channels),
        f"{prefix}.running_mean": random(channels),
        f"{prefix}.running_var": random(channels) + 0.75,
    }


def normalised(x: torch.Tensor, state: dict[str, torch.Tensor], prefix: str) -> torch.Tensor:
    weight, bias, mean, variance = (
        state[f"{prefix}.{name}"] for name in ("weight", "bias", "running_mean", "running_var")
    )
    return functional.batch_norm(x, mean, variance, weight, bias, training=False, eps=BN_EPS)


def test_batch_norm_behind_a_convolution_with_or_without_bias() -> None:
    x = random(2, 4, 6, 5)
    state = {"conv.weight": random(8, 4, 3, 3), **norm_state("bn", 8)}
    for bias in (None, random(8)):
        if bias is not None:
            state["conv.bias"] = bias
        expected = normalised(functional.conv2d(x, state["conv.weight"], bias), state, "bn")
        weight, shift = folded_batch_norm(state, "conv", "bn")
        torch.testing.assert_close(functional.conv2d(x, weight, shift), expected)


def test_depthwise_convolutions_fold_per_channel() -> None:
    x = random(1, 6, 5, 5)
    state = {"conv.weight": random(6, 1, 3, 3), **norm_state("bn", 6)}
    expected = normalised(functional.conv2d(x, state["conv.weight"], groups=6), state, "bn")
    weight, shift = folded_batch_norm(state, "conv", "bn")
    torch.testing.assert_close(functional.conv2d(x, weight, shift, groups=6), expected)


def test_rep_conv_with_all_three_branches() -> None:
    x = random(2, 4, 6, 5)
    state = {
        "b.rbr_dense.0.weight": random(4, 4, 3, 3),
        **norm_state("b.rbr_dense.1", 4),
        "b.rbr_1x1.0.weight": random(4, 4, 1, 1),
        **norm_state("b.rbr_1x1.1", 4),
        **norm_state("b.rbr_identity", 4),
    }
    expected = (
        normalised(
            functional.conv2d(x, state["b.rbr_dense.0.weight"], padding=1), state, "b.rbr_dense.1"
        )
        + normalised(functional.conv2d(x, state["b.rbr_1x1.0.weight"]), state, "b.rbr_1x1.1")
        + normalised(x, state, "b.rbr_identity")
    )
    weight, bias = merged_branches(state, "b")
    torch.testing.assert_close(functional.conv2d(x, weight, bias, padding=1), expected)


def test_implicit_knowledge_before_and_behind_a_prediction() -> None:
    x = random(2, 5, 3, 4)
    weight, bias = random(6, 5, 1, 1), random(6)
    added, factor = random(1, 5, 1, 1), random(1, 6, 1, 1)
    expected = functional.conv2d(x + added, weight, bias) * factor
    new_weight, new_bias = folded_implicit(weight, bias, added, factor)
    torch.testing.assert_close(functional.conv2d(x, new_weight, new_bias), expected)


def test_space_to_depth_and_a_convolution_are_one_strided_convolution() -> None:
    x = random(2, 3, 12, 8)
    weight = random(5, 12, 3, 3)
    expected = functional.conv2d(space_to_depth(x), weight, padding=1)
    merged = functional.conv2d(x, merged_space_to_depth(weight), stride=2, padding=2)
    torch.testing.assert_close(merged, expected)


def test_chained_pools_give_the_same_maxima() -> None:
    x = random(1, 3, 20, 17)
    chained = x
    for size in (5, 9, 13):
        chained = nn.MaxPool2d(5, 1, 2)(chained)
        assert torch.equal(chained, nn.MaxPool2d(size, 1, size // 2)(x))
