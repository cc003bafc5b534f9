"""Ranges for tensors in front of an activation, chosen by the error that is left behind it.

What a convolution gives to SiLU reaches far below zero (-94 in YOLOX-Nano's stem), where SiLU
is flat. A quantiser that spends its 256 steps on that range, or on the smallest error of the
tensor itself, ruins the network (AP .06 instead of .29). Behind the activation all values below
about -6 are the same: steps are worth most above.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeyolo.calibration.settings import Batches
from edgeyolo.calibration.tensor_tap import TensorTap, groups_that_fit

if TYPE_CHECKING:
    import onnx

_BINS = 2048
# Candidate limits: lower ones as values, upper ones as shares of the largest value seen.
_LOW_LIMITS = (-1.5, -2.0, -2.5, -3.0, -3.5, -4.0, -5.0, -6.0, -7.0, -8.0, -10.0, -14.0, -20.0)
_HIGH_SHARES = np.linspace(0.3, 1.0, 29)
Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class OutputRange:
    """Limits of an asymmetric 8-bit quantiser; zero is always representable."""

    low: float
    high: float

    def scale_and_zero_point(self) -> tuple[float, int]:
        """Step size and the number 0..255 that stands for zero."""
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        scale = max((high - low) / 255.0, 1e-8)
        return scale, min(max(round(-low / scale), 0), 255)


@dataclass(frozen=True, slots=True)
class ChosenRange:
    """A range, and what quantising with it leaves behind the activation.

    Attributes:
        limits: The range.
        channel_noise: Error power over signal variance, mean over the channels. Of the whole
            tensor it would say nothing: the next convolution weighs small channels up again.
    """

    limits: OutputRange
    channel_noise: float


@dataclass(slots=True)
class Histogram:
    """How often a tensor took which value.

    Attributes:
        low: Lower edge of the first bin.
        high: Upper edge of the last.
        counts: (bins,) float64.
    """

    low: float
    high: float
    counts: NDArray[np.float64]

    def add(self, values: NDArray[np.float32]) -> None:
        """Count *values*; those outside the edges go into the outermost bins."""
        span = max(self.high - self.low, 1e-12)
        position = (values.ravel() - np.float32(self.low)) * np.float32(_BINS / span)
        index = np.clip(position, 0, _BINS - 1).astype(np.int64)
        self.counts += np.bincount(index, minlength=_BINS)

    def centres(self) -> NDArray[np.float64]:
        edges = np.linspace(self.low, self.high, _BINS + 1)
        return (edges[:-1] + edges[1:]) / 2


def output_ranges(
    model: onnx.ModelProto, activations: Mapping[str, Function], batches: Batches
) -> dict[str, ChosenRange]:
    """Ranges of tensors inside *model*, and how much noise each leaves.

    Args:
        model: Runs on the batches.
        activations: Name of a (1, C, H, W) tensor -> function that its readers apply.
        batches: Calibration input; read three times (limits, histograms, noise).
    """
    chosen: dict[str, ChosenRange] = {}
    for names in groups_that_fit(model, list(activations)):
        tap = TensorTap(model, names)
        histograms = _limits(tap, batches)
        for pixels in batches:
            for name, values in tap.run(pixels).items():
                histograms[name].add(values)
        ranges = {name: best_range(histograms[name], activations[name]) for name in names}
        noises = {name: ChannelNoise() for name in names}
        for pixels in batches:
            for name, values in tap.run(pixels).items():
                noises[name].add(values[0], ranges[name], activations[name])
        chosen.update((name, ChosenRange(ranges[name], noises[name].mean())) for name in names)
    return chosen


def best_range(histogram: Histogram, function: Function) -> OutputRange:
    """The limits that leave the smallest squared error behind *function*."""
    centres = histogram.centres()
    wanted = function(centres)
    best, least = OutputRange(histogram.low, histogram.high), np.inf
    lows = sorted({max(histogram.low, low) for low in (*_LOW_LIMITS, histogram.low)})
    for low in lows:
        for share in _HIGH_SHARES:
            candidate = OutputRange(low, histogram.high * float(share))
            scale, zero_point = candidate.scale_and_zero_point()
            steps = np.clip(np.rint(centres / scale) + zero_point, 0, 255) - zero_point
            error = float(np.sum(histogram.counts * (function(steps * scale) - wanted) ** 2))
            if error < least:
                best, least = candidate, error
    return best


class ChannelNoise:
    """Collects error power and variance of every channel behind the activation."""

    def __init__(self) -> None:
        self._sums: NDArray[np.float64] | None = None
        self._count = 0

    def add(self, values: NDArray[np.float32], limits: OutputRange, function: Function) -> None:
        """Count one picture's (C, H, W) values."""
        scale, zero_point = limits.scale_and_zero_point()
        rows = values.reshape(len(values), -1).astype(np.float64)
        steps = np.clip(np.rint(rows / scale) + zero_point, 0, 255) - zero_point
        wanted = function(rows)
        error = function(steps * scale) - wanted
        sums = np.stack([(error**2).sum(1), (wanted**2).sum(1), wanted.sum(1)])
        self._sums = sums if self._sums is None else self._sums + sums
        self._count += rows.shape[1]

    def mean(self) -> float:
        """Error power over variance, mean over the channels that vary at all."""
        if self._sums is None:
            raise ValueError("no values were added")
        error, square, total = self._sums / self._count
        variance = square - total**2
        varies = variance > 1e-10
        return float(np.mean(error[varies] / variance[varies])) if varies.any() else 0.0


def silu(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """x * sigmoid(x)."""
    result: NDArray[np.float64] = values * 0.5 * (1.0 + np.tanh(values * 0.5))
    return result


def leaky(slope: float) -> Function:
    """LeakyReLU with the given slope below zero."""
    return lambda values: np.where(values < 0, values * slope, values)


def identity(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The value itself."""
    return values


def _limits(tap: TensorTap, batches: Batches) -> dict[str, Histogram]:
    limits: dict[str, tuple[float, float]] = {}
    for pixels in batches:
        for name, values in tap.run(pixels).items():
            low, high = limits.get(name, (0.0, 0.0))
            limits[name] = (min(low, float(values.min())), max(high, float(values.max())))
    return {name: Histogram(low, high, np.zeros(_BINS)) for name, (low, high) in limits.items()}
