"""Ranges and channel factors that quantise a tensor with the least harm behind its activation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeyolo.calibration.ranges import RangeEstimator
from edgeyolo.calibration.tflite_channels import Activation, Branch
from edgeyolo.calibration.tflite_samples import TensorSamples
from edgeyolo.tflite.graph import Quantization

Function = Callable[[NDArray[np.float32]], NDArray[np.float32]]

# SiLU is -0.0027 at -8 and goes to 0: what lies below is one value in 8 bits.
SILU_FLOOR = -8.0

# int8 sigmoids have steps of 1/256; beyond 6.5 they are 0 or 1.
GATE_RANGE = (-6.5, 6.5)

# Lower ends that a tensor of factors may have, its upper end being 1.
_LOWER_ENDS = (0.1, 0.15, 0.25, 0.35, 0.5, 0.75, 1.0)
_SHRINKS = tuple(float(factor) for factor in np.geomspace(0.08, 1.0, 12))
_TENSOR_SHRINKS = tuple(float(factor) for factor in np.geomspace(0.1, 1.0, 12))


def quantization(low: float, high: float) -> Quantization:
    """int8 numbers for a range; 0 is always inside and exact."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255 or 1.0
    zero_point = int(np.clip(round(-128 - low / scale), -128, 127))
    return Quantization((scale,), (zero_point,))


def rounded(
    values: NDArray[np.float32], scale: float | NDArray[np.float32], zero_point: int
) -> NDArray[np.float32]:
    """Values as int8 holds them."""
    stored = np.rint(values / scale)
    np.clip(stored, -128 - zero_point, 127 - zero_point, out=stored)
    result: NDArray[np.float32] = stored * scale
    return result


def activation_function(branch: Branch) -> Function:
    """What the readers of a branch see of a raw value."""
    if branch.activation is Activation.SILU:
        return silu
    slope = np.float32(branch.slope)
    return lambda values: np.where(values > 0, values, values * slope)


def identity(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values


def silu(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """x * sigmoid(x) without overflow."""
    result: NDArray[np.float32] = values * (np.tanh(values * np.float32(0.5)) + 1) * np.float32(0.5)
    return result


def tensor_range(
    samples: TensorSamples, function: Function, estimator: RangeEstimator
) -> tuple[float, float]:
    """Lowest and highest value to represent.

    Args:
        function: Through which the tensor is read; MSE measures the error behind it.
    """
    lows, highs = _bounds(samples, function, estimator)
    low, high = float(lows.min()), float(highs.max())
    if estimator is not RangeEstimator.MSE:
        return low, high
    # Every so many rows are enough for one range.
    every = max(1, samples.rows.size // 65536)
    rows, weights = samples.rows[::every], samples.weights[::every]
    weights = weights / (weights.sum() * rows.shape[1])
    exact = function(rows)
    best, found = np.inf, (low, high)
    lower_ends = _TENSOR_SHRINKS if low < -0.05 * high else (1.0,)
    for upper in _TENSOR_SHRINKS:
        for lower in lower_ends:
            numbers = quantization(low * lower, high * upper)
            stored = rounded(rows, numbers.scales[0], numbers.zero_points[0])
            error = float((weights @ np.square(function(stored) - exact)).sum())
            if error < best:
                best, found = error, (low * lower, high * upper)
    return found


@dataclass(frozen=True, slots=True)
class ChannelFactors:
    """What makes the channels of a tensor alike.

    Attributes:
        factors: (C,) positive; the tensor is divided by them.
        low: Lower end of the divided tensor, its upper end is 1.
        error: (C,) mean squared error behind the activation, before dividing.
    """

    factors: NDArray[np.float32]
    low: float
    error: NDArray[np.float32]


def channel_factors(
    samples: TensorSamples,
    function: Function,
    importance: NDArray[np.float32],
    estimator: RangeEstimator,
) -> ChannelFactors:
    """The factors with which one int8 range serves every channel best.

    Args:
        importance: (C,) how much the readers' weights make of an error of each channel.
    """
    low, high = _bounds(samples, function, estimator)
    low, high = np.maximum(-low, 1e-3), np.maximum(high, 1e-3)
    exact = function(samples.rows)
    shrinks = _SHRINKS if estimator is RangeEstimator.MSE else (1.0,)
    best, found = np.inf, None
    for lower_end in _LOWER_ENDS:
        widest = np.maximum(high, low / np.float32(lower_end))
        step = np.float32((1 + lower_end) / 255)
        zero_point = round(-128 + lower_end / float(step))
        error = np.full(widest.shape, np.inf, np.float32)
        factors = widest
        for shrink in shrinks:
            candidate = widest * np.float32(shrink)
            stored = rounded(samples.rows, candidate * step, zero_point)
            measured = samples.weights @ np.square(function(stored) - exact)
            better = measured < error
            error = np.where(better, measured, error)
            factors = np.where(better, candidate, factors)
        total = float((error * importance).sum())
        if total < best:
            best, found = total, ChannelFactors(factors, -lower_end, error)
    assert found is not None
    return found


def error_of_one_range(
    samples: TensorSamples, function: Function, estimator: RangeEstimator
) -> NDArray[np.float32]:
    """(C,) mean squared error behind the activation when all channels share one range."""
    numbers = quantization(*tensor_range(samples, function, estimator))
    stored = rounded(samples.rows, numbers.scales[0], numbers.zero_points[0])
    error: NDArray[np.float32] = samples.weights @ np.square(
        function(stored) - function(samples.rows)
    )
    return error


def _bounds(
    samples: TensorSamples, function: Function, estimator: RangeEstimator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(C,) lowest and (C,) highest value of each channel, as the estimator sees it."""
    if estimator is RangeEstimator.MEAN_MIN_MAX:
        low, high = samples.mean_low, samples.mean_high
    elif estimator is RangeEstimator.PERCENTILE:
        low, high = np.quantile(samples.rows, (0.001, 0.999), axis=0).astype(np.float32)
    else:
        low, high = samples.low, samples.high
    if function is silu:
        low = np.maximum(low, np.float32(SILU_FLOOR))
    return low, high
