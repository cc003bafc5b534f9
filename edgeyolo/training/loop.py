"""The training loop: batches in, averaged weights out, resumable bit for bit.

Nothing in it draws from a global random generator: batches depend on (seed, epoch, position)
and input sizes on (seed, iteration). So the state of a training is its weights, momenta,
averages and counters; a run that was killed continues from its last checkpoint as if nothing
had happened.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from edgeyolo.data.batches import Batch
from edgeyolo.data.multiscale import resize_batch
from edgeyolo.errors import TrainingError
from edgeyolo.models.detector import Detector
from edgeyolo.spec import Family
from edgeyolo.training.batch_source import BatchSource, on_device
from edgeyolo.training.common_state import average_gradients, average_statistics, share_weights
from edgeyolo.training.distributed import Ranks, synchronized
from edgeyolo.training.divergence import DivergenceGuard, repair_statistics
from edgeyolo.training.ema import MovingAverage
from edgeyolo.training.family_rules import TRAINING
from edgeyolo.training.freezing import freeze, to_train_mode, trained
from edgeyolo.training.optimizer import apply_settings, build_optimizer
from edgeyolo.training.plan import MixedPrecision, TrainingPlan, input_size_at
from edgeyolo.training.plan_parts import loss_for, schedule_for, uses_auxiliary_heads
from edgeyolo.training.recipe import YoloV7Recipe, scaled_decay
from edgeyolo.training.schedules import StepSettings
from edgeyolo.training.yolox_loss import YoloxLoss

_DTYPES = {MixedPrecision.BF16: torch.bfloat16, MixedPrecision.FP16: torch.float16}


class Accuracy(NamedTuple):
    """What an evaluation says: COCO AP and AP50, 0..1."""

    ap: float
    ap50: float

    def fitness(self, family: Family) -> float:
        """What "best" means to the family."""
        return TRAINING[family].fitness(self.ap, self.ap50)


Evaluate = Callable[[Detector], Accuracy]


class IterationLog(NamedTuple):
    """One iteration, for a progress display."""

    epoch: int
    position: int
    batches: int
    settings: StepSettings
    input_hw: tuple[int, int]
    parts: Mapping[str, float]
    unreadable: tuple[str, ...]
    pictures_per_second: float


class Observer(Protocol):
    """Follows a training: displays, writes, saves. Called on every process."""

    def iteration(self, log: IterationLog) -> None:
        """After each batch."""

    def epoch(self, trainer: Trainer, row: Mapping[str, float], *, best: bool) -> None:
        """After each epoch and its evaluation; *trainer* can be saved now."""

    def within_epoch(self, trainer: Trainer) -> None:
        """Every ``checkpoint_interval`` iterations, before evaluations; *trainer* can be saved."""


@dataclass
class Position:
    """Where a training is, and what it has seen.

    Attributes:
        epoch: Current epoch, from 0; equals the number of epochs when done.
        batch: Next batch of the epoch.
        best_fitness: Of all evaluations.
        best_epoch: Where it was reached; -1 before the first evaluation.
        evaluations_since_best: For early stopping.
        stopped_early: Whether patience ran out.
        history: One row of numbers per epoch.
        sums: Loss parts summed over the batches of the current epoch.
    """

    epoch: int = 0
    batch: int = 0
    best_fitness: float = -1.0
    best_epoch: int = -1
    evaluations_since_best: int = 0
    stopped_early: bool = False
    history: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)


@dataclass
class _Clock:
    """Where the wall time of an epoch goes."""

    waiting: float = 0.0
    computing: float = 0.0
    pictures: int = 0


class Trainer:
    """Trains one detector.

    Args:
        model: In the training form; trained in place.
        plan: Everything the result depends on.
        source: This process's batches.
        device: Where to compute.
        ranks: The processes that train together.
        evaluate: Measures the averaged model, on all processes at once; ``None`` for never.
        observer: Display and files.
    """

    def __init__(
        self,
        model: Detector,
        plan: TrainingPlan,
        source: BatchSource,
        *,
        device: torch.device,
        ranks: Ranks | None = None,
        evaluate: Evaluate | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.plan = plan
        self.source = source
        self.device = device
        self.ranks = ranks or Ranks()
        self.position = Position()
        self._evaluate = evaluate
        self._observer = observer
        self._guard = DivergenceGuard(plan, self.ranks)
        self._settled = True
        self.model = model.to(device)
        share_weights(self.model, self.ranks)
        freeze(self.model, plan.freeze)
        self.average = MovingAverage(self.model, plan.recipe.ema_decay)
        if self.ranks.count > 1 and plan.recipe.sync_batch_norm:
            self.model = synchronized(self.model, device)
        self.schedule = schedule_for(plan, len(source))
        decay = plan.recipe.weight_decay
        if isinstance(plan.recipe, YoloV7Recipe):
            decay = scaled_decay(plan.recipe, plan.batch)
        self.optimizer = build_optimizer(
            self.model, lr=0.0, momentum=plan.recipe.momentum, weight_decay=decay
        )
        self.scaler = torch.amp.GradScaler(
            device.type, enabled=plan.precision is MixedPrecision.FP16
        )
        self.loss = loss_for(self.model, plan, self.ranks)
        self._network = self._distributed()

    @property
    def iteration(self) -> int:
        """Batches since the beginning of the training."""
        return self.position.epoch * len(self.source) + self.position.batch

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        return self.position.epoch >= self.plan.epochs or self.position.stopped_early

    @property
    def out_of_patience(self) -> bool:
        """Whether the last evaluations without improvement are as many as the recipe bears."""
        patience = self.plan.recipe.patience
        return bool(patience) and self.position.evaluations_since_best >= patience

    def fit(self) -> Position:
        """Train to the end, or until patience runs out.

        Raises:
            TrainingError: The loss stayed infinite or NaN.
        """
        while not self.finished:
            clock = self._train_epoch()
            self._finish_epoch(clock)
        return self.position

    def _train_epoch(self) -> _Clock:
        place, clock = self.position, _Clock()
        to_train_mode(self.model, self.plan.freeze)
        closing = self.plan.in_final_phase(place.epoch)
        if isinstance(self.loss, YoloxLoss):
            self.loss.l1 = closing
        batches = self.source.epoch(place.epoch, start=place.batch, closing=closing)
        started = time.perf_counter()
        for batch in batches:
            fetched = time.perf_counter()
            clock.waiting += fetched - started
            self._settled = False
            log = self._train_batch(batch)
            place.batch += 1
            clock.pictures += len(batch.images) * self.ranks.count
            started = time.perf_counter()
            clock.computing += started - fetched
            if self._observer is not None:
                spent = clock.waiting + clock.computing
                self._observer.iteration(log._replace(pictures_per_second=clock.pictures / spent))
                interval = self.plan.checkpoint_interval
                if interval and place.batch % interval == 0 and place.batch < len(self.source):
                    self._save()
                started = time.perf_counter()
        if place.batch != len(self.source):
            raise TrainingError(
                f"epoch {place.epoch} ended after {place.batch} of {len(self.source)} batches"
            )
        return clock

    def _train_batch(self, batch: Batch) -> IterationLog:
        iteration, plan = self.iteration, self.plan
        settings = self.schedule.at(iteration)
        apply_settings(self.optimizer, settings)
        input_hw = input_size_at(plan, self.model.input_multiple, iteration)
        images, targets = on_device(batch, self.device, self.model.family)
        images, targets = resize_batch(images, targets, input_hw, self.model.family)
        stepping = iteration % settings.accumulate == 0
        # DDP adds gradients up over processes with every backward unless told to wait.
        quiet = (
            self._network.no_sync()
            if isinstance(self._network, DistributedDataParallel) and not stepping
            else contextlib.nullcontext()
        )
        with quiet:
            raw = self._forward(images)
            report = self.loss(raw, targets)
            names = list(report.parts)
            sums = self.ranks.sum(torch.stack([report.parts[name] for name in names])).tolist()
            parts = dict(zip(names, sums, strict=True))
            if not all(abs(value) < float("inf") for value in sums):
                return self._left_out("loss", settings, input_hw, parts, batch.unreadable)
            self._guard.good("loss")
            total = report.total
            if isinstance(self.loss, YoloxLoss):
                total = total / settings.accumulate
            torch.autograd.backward(self.scaler.scale(total))
        if stepping and not self._step():
            return self._left_out("gradient", settings, input_hw, parts, batch.unreadable)
        for name, value in parts.items():
            self.position.sums[name] = self.position.sums.get(name, 0.0) + value
        self.position.sums["batches"] = self.position.sums.get("batches", 0.0) + 1
        return self._log(settings, input_hw, parts, batch.unreadable)

    def _forward(self, images: Tensor) -> list[Tensor]:
        dtype = _DTYPES.get(self.plan.precision)
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            raw: list[Tensor] = self._network(images)
        levels = len(self.model.strides)
        return raw if uses_auxiliary_heads(self.plan) else raw[:levels]

    def _step(self) -> bool:
        """One step of the optimiser; False where the gradient was bad and was thrown away."""
        self.scaler.unscale_(self.optimizer)
        # An infinite limit changes nothing: only the norm is wanted then.
        limit = self.plan.recipe.clip_norm or inf
        norm = nn.utils.clip_grad_norm_(trained(self.model), limit)
        # All processes have the same gradient; they must not differ about its norm.
        finite = not self.ranks.sum((~norm.isfinite()).float()).item()
        if finite:
            self.scaler.step(self.optimizer)
            self.average.update(self.model)
            self._guard.good("gradient")
        # Overflow at a large scale is how the scaler of fp16 finds its scale: no complaint.
        expected = self.scaler.is_enabled() and self.scaler.get_scale() > 1
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return finite or expected

    def _left_out(
        self,
        what: str,
        settings: StepSettings,
        input_hw: tuple[int, int],
        parts: Mapping[str, float],
        unreadable: tuple[str, ...],
    ) -> IterationLog:
        """The batch did not count."""
        repair_statistics(self.model, self.average.state_dict())
        shown = ", ".join(f"{name} {value:g}" for name, value in parts.items())
        place = f"epoch {self.position.epoch}, batch {self.position.batch}"
        where = f"{place}, input {input_hw[0]}x{input_hw[1]}, {shown}"
        self._guard.bad(what, self.model, settings, where)
        return self._log(settings, input_hw, parts, unreadable)

    def _check_state(self) -> None:
        """Raise where a checkpoint of now could not be continued."""
        states = self.optimizer.state.values()
        momenta = [v for state in states for v in state.values() if isinstance(v, Tensor)]
        tensors = [*self.model.state_dict().values(), *self.average.state_dict().values()]
        self._guard.check_state([*tensors, *momenta], self.position.epoch)

    def _log(
        self,
        settings: StepSettings,
        input_hw: tuple[int, int],
        parts: Mapping[str, float],
        unreadable: tuple[str, ...],
    ) -> IterationLog:
        return IterationLog(
            self.position.epoch,
            self.position.batch,
            len(self.source),
            settings,
            input_hw,
            parts,
            unreadable,
            pictures_per_second=0.0,
        )

    def _finish_epoch(self, clock: _Clock) -> None:
        place = self.position
        if not place.sums.get("batches"):
            self._guard.give_up(f"no batch of epoch {place.epoch} had a finite loss and gradient")
        evaluating = self._evaluate if self.plan.evaluates_after(place.epoch) else None
        if evaluating is not None:
            # First, so that nothing that evaluation meets costs the epoch.
            self._save()
        else:
            self._settle()
            self._check_state()
        batches = place.sums.pop("batches")
        row = {"epoch": float(place.epoch), "lr": self.optimizer.param_groups[1]["lr"]}
        row |= {f"loss/{name}": value / batches for name, value in place.sums.items()}
        if clock.pictures:  # none where a resumed training only has to evaluate
            spent = clock.waiting + clock.computing
            row["pictures_per_second"] = clock.pictures / spent
            row["compute_share"] = clock.computing / spent
        best = False
        if evaluating is not None:
            accuracy = evaluating(self.average.model)
            row |= {"ap": accuracy.ap, "ap50": accuracy.ap50}
            best = self._judge(accuracy)
        place.history.append(row)
        place.sums = {}
        place.epoch, place.batch = place.epoch + 1, 0
        if self._observer is not None:
            with self.ranks.together():
                self._observer.epoch(self, row, best=best)

    def _save(self) -> None:
        """Let the observer save; a full disk of one process ends all of them."""
        self._settle()
        self._check_state()
        if self._observer is not None:
            with self.ranks.together():
                self._observer.within_epoch(self)

    def _settle(self) -> None:
        """Make the state of all processes one, once after each batch at most."""
        if self._settled:
            return
        self._settled = True
        average_gradients(trained(self.model), self.ranks)
        if not self.plan.recipe.sync_batch_norm:
            average_statistics(self.model, self.ranks)
            average_statistics(self.average.model, self.ranks)

    def _judge(self, accuracy: Accuracy) -> bool:
        place = self.position
        fitness = accuracy.fitness(self.model.family)
        if fitness > place.best_fitness:
            place.best_fitness, place.best_epoch = fitness, place.epoch
            place.evaluations_since_best = 0
            return True
        place.evaluations_since_best += 1
        place.stopped_early = self.out_of_patience
        return False

    def _distributed(self) -> nn.Module:
        if self.ranks.count == 1:
            return self.model
        return DistributedDataParallel(
            self.model,
            device_ids=[self.device] if self.device.type == "cuda" else None,
            find_unused_parameters=isinstance(self.plan.recipe, YoloV7Recipe)
            and len(self.model.strides) == 4
            and not uses_auxiliary_heads(self.plan),
        )
