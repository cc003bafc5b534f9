"""Where the wall time of training goes, and how many pictures a second it makes.

    python benchmarks/train_profile.py --data FOLDER [--model yolox-nano] [--size 416] [--batch 8]
        [--batches 12] [--workers 1] [--threads 2] [--precision fp32] [--device cpu] [--cache none]

The loop is the product's own, with full augmentation; only its phases are timed. The first two
batches are left out. "forward, loss, backward" is the work that training is; "waiting" is the
time that the loader could not hide.
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from edgeyolo.data.batches import Batch
from edgeyolo.data.sample_source import CacheMode
from edgeyolo.models.zoo import build_architecture
from edgeyolo.training.distributed import Ranks
from edgeyolo.training.loop import IterationLog, Trainer
from edgeyolo.training.plan import MixedPrecision
from edgeyolo.training.preparation import batches_for, datasets
from edgeyolo.training.request import TrainingRequest
from edgeyolo.training.session import chosen_device

WARM_UP = 2


class EnoughError(Exception):
    """Enough batches were timed."""


class ProfiledTrainer(Trainer):
    """Times the phases of each batch."""

    seconds: dict[str, float]
    mark: float

    def start(self) -> None:
        """Forget everything timed so far."""
        self.seconds = {}
        self.mark = self._now()

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def _until_now(self, phase: str) -> None:
        now = self._now()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self.mark
        self.mark = now

    def _train_batch(self, batch: Batch) -> IterationLog:
        self._until_now("waiting for pictures")
        log = super()._train_batch(batch)
        self._until_now("forward, loss, backward")
        return log

    def _forward(self, images: Tensor) -> list[Tensor]:
        self._until_now("to the device, resizing")
        return super()._forward(images)

    def _step(self) -> bool:
        self._until_now("forward, loss, backward")
        done = super()._step()
        self._until_now("optimiser, average")
        return done


class Timer:
    """Starts after the warm-up and stops the training."""

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self.done = 0
        self.trainer: ProfiledTrainer | None = None

    def iteration(self, log: IterationLog) -> None:
        assert self.trainer is not None
        self.done += 1
        if self.done == WARM_UP:
            self.trainer.start()
        if self.done == WARM_UP + self.batches:
            raise EnoughError

    def epoch(self, trainer: Trainer, row: Mapping[str, float], *, best: bool) -> None:
        """Nothing: epochs do not matter here."""

    def within_epoch(self, trainer: Trainer) -> None:
        """Nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="yolox-nano")
    parser.add_argument("--size", type=int, default=416)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cache", default="none")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = chosen_device(arguments.device)
    with tempfile.TemporaryDirectory() as folder:
        request = TrainingRequest(
            model=arguments.model,
            data=str(arguments.data),
            epochs=300,
            batch=arguments.batch,
            output=folder,
            input_hw=(arguments.size, arguments.size),
            # At one size, so that the figure belongs to a size.
            settings=("multiscale=false",),
            precision=MixedPrecision(arguments.precision),
            workers=arguments.workers,
            cache=CacheMode(arguments.cache),
        )
        plan = request.plan()
        dataset, _ = datasets(request, lambda text: None)
        model = build_architecture(request.architecture(len(dataset.class_names)))
        timer = Timer(arguments.batches)
        trainer = ProfiledTrainer(
            model,
            plan,
            batches_for(request, plan, dataset, Ranks(), device),
            device=device,
            observer=timer,
        )
        timer.trainer = trainer
        trainer.start()
        with contextlib.suppress(EnoughError):
            trainer.fit()
    report(arguments, trainer.seconds)


def report(arguments: argparse.Namespace, seconds: Mapping[str, float]) -> None:
    """Print the table."""
    total = sum(seconds.values())
    place = platform.processor() or platform.machine()
    if arguments.device != "cpu":
        place = torch.cuda.get_device_name()
    print(
        f"{arguments.model} {arguments.size} {arguments.precision}, batch {arguments.batch}, "
        f"{arguments.threads} threads, {arguments.workers} workers, {place}"
    )
    for phase, spent in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"  {phase:<26}{spent:8.2f} s {100 * spent / total:6.1f} %")
    print(f"  {arguments.batch * arguments.batches / total:.2f} pictures/s")


if __name__ == "__main__":
    main()
