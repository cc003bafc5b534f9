"""A whole training from a request: data, network, weights, loop, files."""

from __future__ import annotations

import json
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from edgeyolo.checkpoints.load import load_model
from edgeyolo.checkpoints.own import read_training_state, save_checkpoint
from edgeyolo.errors import BackendError, TrainingError
from edgeyolo.evaluation.torch_session import torch_device
from edgeyolo.models.architecture import Architecture
from edgeyolo.models.zoo import build_architecture
from edgeyolo.training.accuracy import evaluator
from edgeyolo.training.distributed import Ranks, joined_ranks
from edgeyolo.training.environment import environment
from edgeyolo.training.loop import Position, Trainer
from edgeyolo.training.plan import check_values_per_channel
from edgeyolo.training.preparation import batches_for, datasets, spec_of, starting_model
from edgeyolo.training.request import TrainingRequest
from edgeyolo.training.resumption import restore, training_state
from edgeyolo.training.run_folder import (
    BEST,
    LAST,
    RunFolder,
    SaveCheckpoint,
    SilentRank,
    check_new_run,
    make_run_folder,
    write_json,
)
from edgeyolo.training.settings import as_plain, from_plain


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """How a training ended.

    Attributes:
        folder: The run.
        position: Epochs done, best fitness, one row per epoch.
    """

    folder: Path
    position: Position

    @property
    def checkpoint(self) -> Path:
        """What to export: the best epoch where there was an evaluation, else the last."""
        best = self.folder / BEST
        return best if best.exists() else self.folder / LAST


def train(request: TrainingRequest) -> TrainingResult:
    """Run a new training; under torchrun, together with the other processes.

    Raises:
        TrainingError: It cannot start or go on.
        DatasetError: Nothing usable to train or evaluate on.
        CheckpointError: The weights cannot be used.
        OutputError: The run folder exists or cannot be written.
        ValueError: A wrong setting.
    """
    return _run(request, resuming=False)


def resume(folder: Path) -> TrainingResult:
    """Continue the run in *folder* from its last checkpoint, or from the start if it has none.

    Raises:
        TrainingError: *folder* is no run.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
        request = from_plain(config["request"], TrainingRequest)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise TrainingError(f"{folder} is not the folder of a run: {path}: {error}") from error
    return _run(replace(request, output=str(folder)), resuming=True)


def _run(request: TrainingRequest, *, resuming: bool) -> TrainingResult:
    device = chosen_device(request.device)
    with joined_ranks(device) as ranks:
        if device.type == "cuda" and ranks.count > 1:
            device = torch.device("cuda", ranks.local_rank)
            torch.cuda.set_device(device)
        return _trained(request, device, ranks, resuming=resuming)


def chosen_device(name: str) -> torch.device:
    """The device of that name; ``"auto"`` is the GPU where there is one.

    Raises:
        TrainingError: It is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch_device(name)
    except BackendError as error:
        raise TrainingError(f"{error}; use --device auto, cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise TrainingError(f"training runs on cpu and cuda, not on {name}")
    return device


def _trained(
    request: TrainingRequest, device: torch.device, ranks: Ranks, *, resuming: bool
) -> TrainingResult:
    plan, folder = request.plan(), Path(request.output)
    if request.batch % ranks.count:
        raise TrainingError(
            f"a batch of {request.batch} cannot be shared equally by {ranks.count} processes"
        )
    together = ranks.count if plan.recipe.sync_batch_norm else 1
    stride = request.architecture(1).largest_stride
    check_values_per_channel(plan, request.batch // ranks.count * together, stride)
    say = _say if ranks.first else _keep_silent
    if ranks.first and not resuming:
        check_new_run(folder)
    training, validation = datasets(request, say)
    state = _last_state(folder) if resuming else None
    source = batches_for(request, plan, training, ranks)
    if state is None:
        model = starting_model(request, plan, training, source, say)
    else:
        model = build_architecture(from_plain(state["architecture"], Architecture))
    if ranks.first and not resuming:
        make_run_folder(folder)
        write_json(
            folder / "config.json",
            {"request": as_plain(request), "recipe": as_plain(plan.recipe)},
        )
        write_json(folder / "environment.json", environment(device))
    ranks.barrier()
    spec = spec_of(model, training.class_names, plan.input_hw)

    def save(trainer: Trainer, path: Path) -> None:
        extra = {
            "architecture": as_plain(trainer.model.architecture),
            "recipe": as_plain(plan.recipe),
        }
        if path.name == LAST:
            extra |= training_state(trainer)
        save_checkpoint(
            path,
            trainer.average.state_dict(),
            spec,
            architecture=trainer.model.architecture,
            training_state=extra,
        )

    resumed_at = int(state["position"]["epoch"]) if state else 0
    with _observer(request, folder, ranks, save, resumed_at) as observer:
        trainer = Trainer(
            model,
            plan,
            source,
            device=device,
            ranks=ranks,
            evaluate=evaluator(validation, spec, device, ranks) if validation else None,
            observer=observer,
        )
        if state is not None:
            average = load_model(folder / LAST).model.state_dict()
            restore(trainer, average, state)
        position = trainer.fit()
    ranks.barrier()
    return TrainingResult(folder, position)


def _last_state(folder: Path) -> dict[str, Any] | None:
    last = folder / LAST
    return read_training_state(last) if last.exists() else None


def _observer(
    request: TrainingRequest, folder: Path, ranks: Ranks, save: SaveCheckpoint, resumed_at: int
) -> AbstractContextManager[RunFolder | SilentRank]:
    if not ranks.first:
        return SilentRank()
    return RunFolder(
        folder,
        epochs=request.epochs,
        save=save,
        resumed_at=resumed_at,
        tensorboard=request.tensorboard,
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _keep_silent(text: str) -> None:
    """What the first process says is enough."""
