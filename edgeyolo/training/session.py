"""A whole training from a request: data, network, weights, loop, files."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from edgeyolo.checkpoints.load import load_model
from edgeyolo.checkpoints.own import read_training_state, save_checkpoint
from edgeyolo.data.fingerprint import fingerprint
from edgeyolo.data.sample_source import CacheMode
from edgeyolo.errors import BackendError, TrainingError
from edgeyolo.evaluation.torch_session import torch_device
from edgeyolo.models.architecture import Architecture
from edgeyolo.models.detector import Detector
from edgeyolo.models.zoo import build_architecture
from edgeyolo.training.accuracy import evaluator
from edgeyolo.training.common_state import share_tree
from edgeyolo.training.continuation import (
    Changes,
    DataRecord,
    SavedRun,
    change_record,
    check_same_data,
    config_of,
    saved_run,
)
from edgeyolo.training.distributed import Ranks, joined_ranks
from edgeyolo.training.environment import environment
from edgeyolo.training.loop import Position, Trainer
from edgeyolo.training.plan import check_values_per_channel
from edgeyolo.training.preparation import Say, batches_for, datasets, spec_of, starting_model
from edgeyolo.training.request import TrainingRequest
from edgeyolo.training.resumption import restore, training_state
from edgeyolo.training.run_folder import (
    BEST,
    CONFIG,
    ENVIRONMENT,
    LAST,
    RunFolder,
    SaveCheckpoint,
    SilentRank,
    check_new_run,
)
from edgeyolo.training.run_lock import RunLock
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
        OutputError: The run folder exists, cannot be written, or another training writes it.
        ValueError: A wrong setting.
    """
    with joined_ranks() as ranks, RunLock(Path(request.output)) as lock:
        ranks.on_first(lambda: check_new_run(Path(request.output)))
        return _trained(request, ranks, lock, None)


def resume(folder: Path, changes: Changes | None = None) -> TrainingResult:
    """Continue the run in *folder* from its last checkpoint, or from the start if it has none.

    Under torchrun only the first process reads the folder: the others need not see it.

    Args:
        folder: The run.
        changes: What to do otherwise from here on; recorded in ``config.json``.

    Raises:
        TrainingError: *folder* is no run, or its data set has changed.
        OutputError: Another training writes *folder*, or it cannot be written.
        ValueError: A change that a run cannot take, or a wrong value.
    """
    with joined_ranks() as ranks, RunLock(folder) as lock:
        saved = ranks.on_first(lambda: saved_run(folder))
        with ranks.together():
            request = (changes or Changes()).applied(saved.request)
        ranks.on_first(lock.take)
        return _trained(request, ranks, lock, saved)


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


@dataclass(frozen=True, slots=True, eq=False)
class _Start:
    """What a training begins or goes on with, on the first process.

    Attributes:
        model: New weights; those of a checkpoint are in *state*.
        state: Training state, and under ``"average"`` the averaged weights.
    """

    model: Detector
    state: dict[str, Any] | None


def _trained(
    request: TrainingRequest, ranks: Ranks, lock: RunLock, saved: SavedRun | None
) -> TrainingResult:
    say = _say if ranks.first else _keep_silent
    folder = Path(request.output)
    with ranks.together():
        plan, device = request.plan(), _own_device(request, ranks)
        if request.batch % ranks.count:
            raise TrainingError(
                f"a batch of {request.batch} cannot be shared equally by {ranks.count} processes"
            )
        together = ranks.count if plan.recipe.sync_batch_norm else 1
        stride = request.architecture(1).largest_stride
        check_values_per_channel(plan, request.batch // ranks.count * together, stride)
        training, validation = datasets(request, say)
        source = batches_for(request, plan, training, ranks, device)
        data = DataRecord(
            fingerprint(training), None if validation is None else fingerprint(validation)
        )
    records = ranks.gather(data)
    ranks.on_first(lambda: _check_alike(records))
    start: _Start | None = None

    def begin() -> Architecture:
        nonlocal start
        if saved is not None and (folder / LAST).exists():
            start = _continued(folder / LAST, data, say)
        else:
            early = source
            if request.cache is CacheMode.DISK:
                # Weights may yet be refused, and a start that fails leaves no folder.
                uncached = replace(request, cache=CacheMode.NONE)
                early = batches_for(uncached, plan, training, ranks, device)
            start = _Start(starting_model(request, plan, training, early, say), None)
        return start.model.architecture

    architecture = ranks.on_first(begin)
    model = build_architecture(architecture) if start is None else start.model
    state = share_tree(None if start is None else start.state, ranks, device)
    spec = spec_of(model, training.class_names, plan.input_hw)

    def save(trainer: Trainer, path: Path) -> None:
        extra = {
            "architecture": as_plain(trainer.model.architecture),
            "recipe": as_plain(plan.recipe),
        }
        if path.name == LAST:
            extra |= training_state(trainer) | {"data": as_plain(data)}
        save_checkpoint(
            path,
            trainer.average.state_dict(),
            spec,
            architecture=trainer.model.architecture,
            training_state=extra,
        )

    with ranks.together():
        observer = _observer(
            request, ranks, lock, save, _files(request, saved, state, device), state
        )
        trainer = Trainer(
            model,
            plan,
            source,
            device=device,
            ranks=ranks,
            evaluate=evaluator(validation, spec, device, ranks, say) if validation else None,
            observer=observer,
        )
        if state is not None:
            restore(trainer, state["average"], state)
    if trainer.finished:
        say(f"nothing is left to train: {_ending(trainer)}")
        return TrainingResult(folder, trainer.position)
    with ExitStack() as stack:
        # The first file of a run: whatever cannot start has left nothing behind.
        with ranks.together():
            stack.enter_context(observer)
        position = trainer.fit()
    return TrainingResult(folder, position)


def _own_device(request: TrainingRequest, ranks: Ranks) -> torch.device:
    if ranks.count == 1:
        return chosen_device(request.device)
    name, cuda = request.device.lower().partition(":")[0], torch.cuda.is_available()
    if name in ("cuda", "gpu") or (name == "auto" and cuda):
        # Not even tried on the first GPU: that would take memory there for each process.
        device = chosen_device(f"cuda:{ranks.local_rank}")
        torch.cuda.set_device(device)
        return device
    return chosen_device(request.device)


def _check_alike(records: Sequence[DataRecord]) -> None:
    """Every process, on whatever machine, must read the same data."""
    for rank, record in enumerate(records):
        difference = records[0].difference(record)
        if difference is not None:
            raise TrainingError(
                f"process {rank} reads other data than process 0, {difference}; "
                "every machine needs the same data set under the same path"
            )


def _continued(last: Path, data: DataRecord, say: Say) -> _Start:
    state = read_training_state(last)
    loaded = load_model(last)
    unknown = check_same_data(state, loaded.spec.class_names, data, last)
    if unknown is not None:
        say(f"warning: {unknown}")
    model = build_architecture(from_plain(state["architecture"], Architecture))
    return _Start(model, {**state, "average": loaded.model.state_dict()})


def _files(
    request: TrainingRequest,
    saved: SavedRun | None,
    state: Mapping[str, Any] | None,
    device: torch.device,
) -> dict[str, dict[str, Any]]:
    """What the run folder gets at the start; nothing where a run goes on unchanged."""
    if saved is None:
        return {CONFIG: config_of(request), ENVIRONMENT: environment(device)}
    if request == saved.request:
        return {}
    place = state["position"] if state is not None else {"epoch": 0, "batch": 0}
    change = change_record(
        saved.request, request, epoch=int(place["epoch"]), batch=int(place["batch"])
    )
    return {CONFIG: config_of(request, (*saved.history, change))}


def _observer(
    request: TrainingRequest,
    ranks: Ranks,
    lock: RunLock,
    save: SaveCheckpoint,
    files: Mapping[str, Mapping[str, Any]],
    state: Mapping[str, Any] | None,
) -> RunFolder | SilentRank:
    if not ranks.first:
        return SilentRank()
    return RunFolder(
        Path(request.output),
        lock,
        epochs=request.epochs,
        save=save,
        files=files,
        resumed_at=int(state["position"]["epoch"]) if state is not None else 0,
        tensorboard=request.tensorboard,
    )


def _ending(trainer: Trainer) -> str:
    if not trainer.position.stopped_early:
        return f"all {trainer.plan.epochs} epochs are done"
    return (
        f"patience ran out after {trainer.position.epoch} of {trainer.plan.epochs} epochs; "
        "--set patience=0 goes on"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _keep_silent(text: str) -> None:
    """What the first process says is enough."""
