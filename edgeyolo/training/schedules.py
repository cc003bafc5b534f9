"""Learning rate, momentum and gradient accumulation of every iteration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StepSettings:
    """What one iteration is made with.

    Attributes:
        lr: Learning rate of the groups without decay, with decay, and of the biases.
        momentum: Of SGD.
        accumulate: Batches whose gradients are added before a step.
    """

    lr: tuple[float, float, float]
    momentum: float
    accumulate: int


class Schedule(Protocol):
    """A family's schedule."""

    def at(self, iteration: int) -> StepSettings:
        """Settings of *iteration*, counted from 0 over the whole training."""


@dataclass(frozen=True, slots=True)
class WarmCosine:
    """YOLOX's "yoloxwarmcos": quadratic warm-up, cosine, then a constant floor.

    Attributes:
        peak_lr: After the warm-up.
        iterations_per_epoch: Batches of an epoch.
        epochs: Of the whole training.
        warmup_epochs: From 0 to the peak.
        final_epochs: At the floor, at the end (without mosaic).
        floor_ratio: Floor over peak.
        momentum: Constant.
        accumulate: Constant.
    """

    peak_lr: float
    iterations_per_epoch: int
    epochs: int
    warmup_epochs: float
    final_epochs: int
    floor_ratio: float
    momentum: float
    accumulate: int = 1

    def __post_init__(self) -> None:
        if self.warmup_epochs + self.final_epochs > self.epochs:
            raise ValueError(
                f"warm-up ({self.warmup_epochs:g} epochs) and final phase ({self.final_epochs}) "
                f"do not fit into {self.epochs} epochs; "
                "set warmup_epochs and final_epochs to smaller values"
            )

    def lr(self, iteration: int) -> float:
        warmup = round(self.warmup_epochs * self.iterations_per_epoch)
        final = self.final_epochs * self.iterations_per_epoch
        total = self.epochs * self.iterations_per_epoch
        floor = self.peak_lr * self.floor_ratio
        if warmup and iteration <= warmup:
            return float(self.peak_lr * (iteration / warmup) ** 2)
        if iteration >= total - final:
            return floor
        progress = (iteration - warmup) / (total - warmup - final)
        return floor + 0.5 * (self.peak_lr - floor) * (1.0 + math.cos(math.pi * progress))

    def at(self, iteration: int) -> StepSettings:
        lr = self.lr(iteration)
        return StepSettings((lr, lr, lr), self.momentum, self.accumulate)


def one_cycle(epoch: float, epochs: int, final_ratio: float) -> float:
    """YOLOv7's cosine from 1 down to *final_ratio*."""
    return (1 - math.cos(epoch * math.pi / epochs)) / 2 * (final_ratio - 1) + 1


@dataclass(frozen=True, slots=True)
class EpochDecay:
    """YOLOv7's schedule: cosine or linear per epoch, with a warm-up per iteration.

    Attributes:
        lr: Before decay.
        final_ratio: Last learning rate over the first.
        linear: Linear instead of cosine.
        iterations_per_epoch: Batches of an epoch.
        epochs: Of the whole training.
        warmup_iterations: During which rates, momentum and accumulation are interpolated.
        warmup_momentum: At the start.
        warmup_bias_lr: Learning rate of the biases at the start.
        momentum: After the warm-up.
        batch: Pictures of one batch over all processes.
        nominal_batch: Pictures of one optimiser step.
    """

    lr: float
    final_ratio: float
    linear: bool
    iterations_per_epoch: int
    epochs: int
    warmup_iterations: int
    warmup_momentum: float
    warmup_bias_lr: float
    momentum: float
    batch: int
    nominal_batch: int

    def factor(self, epoch: int) -> float:
        """Learning rate of *epoch* over the first."""
        if self.linear:
            last = max(1, self.epochs - 1)
            return (1 - epoch / last) * (1.0 - self.final_ratio) + self.final_ratio
        return one_cycle(epoch, self.epochs, self.final_ratio)

    def at(self, iteration: int) -> StepSettings:
        lr = self.lr * self.factor(iteration // self.iterations_per_epoch)
        full = self.nominal_batch / self.batch
        if self.warmup_iterations and iteration <= self.warmup_iterations:
            part = iteration / self.warmup_iterations
            warm = lr * part
            bias = self.warmup_bias_lr + (lr - self.warmup_bias_lr) * part
            momentum = self.warmup_momentum + (self.momentum - self.warmup_momentum) * part
            return StepSettings(
                (warm, warm, bias), momentum, max(1, round(1.0 + (full - 1.0) * part))
            )
        return StepSettings((lr, lr, lr), self.momentum, max(1, round(full)))
