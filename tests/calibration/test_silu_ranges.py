"""Ranges in front of SiLU are chosen by the error behind it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from edgeyolo.calibration.silu_ranges import (
    ChannelNoise,
    Histogram,
    OutputRange,
    best_range,
    identity,
    leaky,
    output_ranges,
    silu,
)


def histogram_of(values: NDArray[np.float32]) -> Histogram:
    histogram = Histogram(float(values.min()), float(values.max()), np.zeros(2048))
    histogram.add(values)
    return histogram


def error_behind(values: NDArray[np.float32], limits: OutputRange) -> float:
    scale, zero_point = limits.scale_and_zero_point()
    steps = np.clip(np.rint(values / scale) + zero_point, 0, 255) - zero_point
    return float(np.mean((silu(steps * scale) - silu(values.astype(np.float64))) ** 2))


def test_a_long_negative_tail_is_cut_in_front_of_silu() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(0, 2, 20_000), random.uniform(-90, 0, 5_000)]).astype(
        np.float32
    )
    limits = best_range(histogram_of(values), silu)
    assert -10 <= limits.low <= -3
    whole = OutputRange(float(values.min()), float(values.max()))
    assert error_behind(values, limits) < error_behind(values, whole) / 20


def test_without_activation_the_tail_is_kept() -> None:
    values = np.random.default_rng(0).uniform(-90, 10, 20_000).astype(np.float32)
    assert best_range(histogram_of(values), identity).low == pytest.approx(float(values.min()))


def test_behind_relu_negative_values_get_no_steps() -> None:
    values = np.random.default_rng(0).normal(0, 3, 20_000).astype(np.float32)
    scale, zero_point = best_range(histogram_of(values), leaky(0.0)).scale_and_zero_point()
    # The smallest candidate below zero is -1.5.
    assert zero_point * scale <= 1.5 + scale


@pytest.mark.parametrize("limits", [(-4.0, 9.0), (0.5, 3.0), (-7.0, -2.0), (0.0, 0.0)])
def test_zero_is_always_a_step(limits: tuple[float, float]) -> None:
    scale, zero_point = OutputRange(*limits).scale_and_zero_point()
    assert scale > 0
    assert 0 <= zero_point <= 255


def test_noise_is_judged_channel_by_channel() -> None:
    random = np.random.default_rng(0)
    loud = random.normal(0, 30, (1, 16, 16))
    quiet = random.normal(0, 0.05, (7, 16, 16))
    values = np.concatenate([loud, quiet]).astype(np.float32)
    noise = ChannelNoise()
    noise.add(values, OutputRange(-90.0, 90.0), identity)
    # The whole tensor has 48 dB, but seven of eight channels are below one step.
    assert noise.mean() > 0.5


def test_ranges_of_inner_tensors_come_from_running_the_graph(
    tiny_detector: onnx.ModelProto, pixels: object
) -> None:
    chosen = output_ranges(tiny_detector, {"merged:0": silu}, pixels)  # type: ignore[arg-type]
    limits = chosen["merged:0"].limits
    assert limits.low < 0 < limits.high
    assert 0 < chosen["merged:0"].channel_noise < 0.01
