"""The folder of a run: what it was asked, what it ran with, how it went, what came out.

    config.json        the request and every hyper-parameter
    environment.json   versions, machine, commit
    log.csv            one row per epoch
    curves.png         the same as a picture, renewed with each evaluation
    tensorboard/       the same for TensorBoard
    last.pt            to resume from; best.pt, to export
    .lock              held by the process that writes

Every file but TensorBoard's appears whole or not at all.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from edgeyolo.atomic import atomic_file, check_file_target
from edgeyolo.errors import OutputError, needs
from edgeyolo.training.curves import draw_curves
from edgeyolo.training.loop import IterationLog, Trainer
from edgeyolo.training.progress import ProgressLine
from edgeyolo.training.run_lock import LOCK, RunLock

LAST = "last.pt"
BEST = "best.pt"
CACHE = "cache"
CONFIG = "config.json"
ENVIRONMENT = "environment.json"
_LOG, _CURVES, _BOARD = "log.csv", "curves.png", "tensorboard"
# What a run leaves that ended before its first checkpoint, which another may replace.
_BEFORE_CHECKPOINT = frozenset({CACHE, CONFIG, ENVIRONMENT, LOCK, _BOARD})
SaveCheckpoint = Callable[[Trainer, Path], None]


def check_new_run(folder: Path) -> None:
    """Raise :class:`OutputError` unless *folder* can be a new run's.

    A cache may be there, and what is left of a run that ended before its first checkpoint.
    """
    if folder.exists() and (
        not folder.is_dir()
        or any(
            path.name not in _BEFORE_CHECKPOINT and not _is_remnant(path)
            for path in folder.iterdir()
        )
    ):
        raise OutputError(
            f"{folder} exists; continue that run with --resume {folder}, or choose another --output"
        )
    check_file_target(folder / CONFIG)


def _is_remnant(path: Path) -> bool:
    """Whether a killed run was writing this file: ``.last.pt.x7_k2.part``."""
    name = path.name
    return name.endswith(".part") and name.startswith(
        tuple(f".{done}." for done in (LAST, BEST, CONFIG, ENVIRONMENT, _LOG, _CURVES))
    )


def make_run_folder(folder: Path) -> None:
    """Make *folder* where it is not there.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {folder}: {error.strerror}") from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain data, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def write_log(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write one CSV row per epoch; cells of epochs without evaluation stay empty."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows({k: _cell(v) for k, v in row.items()} for row in history)


def _cell(value: float) -> str:
    return f"{value:.8g}"


class RunFolder:
    """Follows a training on the first process: progress, log, checkpoints.

    Nothing is written before the block is entered.

    Args:
        folder: Made where it is not there.
        lock: Of that folder; taken at the start unless it is already.
        epochs: Of the whole training.
        save: Writes a checkpoint of a trainer.
        files: JSON files to write at the start, by name.
        resumed_at: First epoch of this process, for TensorBoard.
        tensorboard: Whether TensorBoard's files are written.
    """

    def __init__(
        self,
        folder: Path,
        lock: RunLock,
        *,
        epochs: int,
        save: SaveCheckpoint,
        files: Mapping[str, Mapping[str, Any]],
        resumed_at: int = 0,
        tensorboard: bool = True,
    ) -> None:
        self.folder = folder
        self._lock = lock
        self._save = save
        self._files = files
        self._progress = ProgressLine(epochs)
        self._resumed_at = resumed_at
        self._open_board: Callable[..., Any] | None = None
        self._board: Any = None
        if tensorboard:
            with needs("tensorboard", extra="train"):
                from torch.utils.tensorboard import SummaryWriter
            self._open_board = SummaryWriter

    def __enter__(self) -> RunFolder:
        make_run_folder(self.folder)
        if self._lock.take():
            # Another run may have come and gone since this one looked.
            check_new_run(self.folder)
        for path in self.folder.iterdir():
            if _is_remnant(path):
                path.unlink()
        for name, content in self._files.items():
            write_json(self.folder / name, content)
        if self._open_board is not None:
            self._board = self._open_board(str(self.folder / _BOARD), purge_step=self._resumed_at)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._board is not None:
            self._board.close()

    def iteration(self, log: IterationLog) -> None:
        self._progress.iteration(log)

    def epoch(self, trainer: Trainer, row: Mapping[str, float], *, best: bool) -> None:
        if best:
            self._save(trainer, self.folder / BEST)
        # Written last: what it says to be done is done.
        self._save(trainer, self.folder / LAST)
        write_log(self.folder / _LOG, trainer.position.history)
        if "ap" in row or trainer.finished:
            draw_curves(trainer.position.history, self.folder / _CURVES)
        if self._board is not None:
            for name, value in row.items():
                if name != "epoch":
                    self._board.add_scalar(name, value, int(row["epoch"]))
            self._board.flush()
        self._progress.epoch(row, best=best)

    def within_epoch(self, trainer: Trainer) -> None:
        self._save(trainer, self.folder / LAST)


class SilentRank:
    """Follows a training on the other processes: nothing to do."""

    def __enter__(self) -> SilentRank:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing."""

    def iteration(self, log: IterationLog) -> None:
        """Nothing."""

    def epoch(self, trainer: Trainer, row: Mapping[str, float], *, best: bool) -> None:
        """Nothing."""

    def within_epoch(self, trainer: Trainer) -> None:
        """Nothing."""
