"""What may be changed when a run is continued, and what must be as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from edgeyolo.data.fingerprint import Fingerprint
from edgeyolo.data.sample_source import CacheMode
from edgeyolo.errors import TrainingError
from edgeyolo.training.plan import MixedPrecision
from edgeyolo.training.request import TrainingRequest
from edgeyolo.training.run_folder import CONFIG
from edgeyolo.training.settings import as_plain, from_plain

# They change how fast or how carefully a training goes on, not what its checkpoint means.
CHANGEABLE_SETTINGS = (
    "lr",
    "lr_per_picture",
    "clip_norm",
    "patience",
    "evaluation_interval",
    "max_bad_batches",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """What a continued run does otherwise from here on; ``None`` and ``()`` stay as they were.

    Attributes:
        settings: ``key=value`` changes of the recipe; keys of ``CHANGEABLE_SETTINGS``.
        precision: Of the forward pass.
        device: As of the request.
        workers: Processes that prepare batches.
        cache: Where decoded pictures are kept.
        checkpoint_interval: Iterations between checkpoints within an epoch.
        tensorboard: Whether TensorBoard's files are written.
    """

    settings: tuple[str, ...] = ()
    precision: MixedPrecision | None = None
    device: str | None = None
    workers: int | None = None
    cache: CacheMode | None = None
    checkpoint_interval: int | None = None
    tensorboard: bool | None = None

    def __post_init__(self) -> None:
        for assignment in self.settings:
            key = assignment.partition("=")[0].strip()
            if key not in CHANGEABLE_SETTINGS:
                raise ValueError(
                    f"a run that is continued keeps {key!r}; what may change: "
                    f"{', '.join(CHANGEABLE_SETTINGS)} (for anything else start a new run with "
                    "--weights RUN/last.pt)"
                )

    def applied(self, request: TrainingRequest) -> TrainingRequest:
        """*request* with the changes.

        Raises:
            ValueError: The recipe has no such setting, or refuses the value.
        """
        given = {name: value for name, value in self._given().items() if name != "settings"}
        changed = replace(request, **given, settings=(*request.settings, *self.settings))
        changed.recipe()
        return changed

    def _given(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value not in (None, ())}


@dataclass(frozen=True, slots=True)
class SavedRun:
    """The configuration of a run on disk.

    Attributes:
        request: What the run goes on with.
        history: One record for each continuation that changed something.
    """

    request: TrainingRequest
    history: tuple[Mapping[str, Any], ...]


def saved_run(folder: Path) -> SavedRun:
    """What ``config.json`` of a run says.

    Raises:
        TrainingError: *folder* is no run.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text("utf-8"))
        request = from_plain(config["request"], TrainingRequest)
        history = tuple(dict(entry) for entry in config.get("changes", ()))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise TrainingError(f"{folder} is not the folder of a run: {path}: {error}") from error
    return SavedRun(replace(request, output=str(folder)), history)


def config_of(
    request: TrainingRequest,
    history: tuple[Mapping[str, Any], ...] = (),
) -> dict[str, Any]:
    """The content of ``config.json``: request, every hyper-parameter, changes on the way."""
    config = {"request": as_plain(request), "recipe": as_plain(request.recipe())}
    return {**config, "changes": list(history)} if history else config


def change_record(
    before: TrainingRequest, after: TrainingRequest, *, epoch: int, batch: int
) -> dict[str, Any]:
    """What changed when a run went on at *epoch* (from 0) and *batch*: field -> [before, after]."""
    old, new = as_plain(before), as_plain(after)
    changed = {key: [old[key], value] for key, value in new.items() if old[key] != value}
    return {"epoch": epoch, "batch": batch, "changed": changed}


@dataclass(frozen=True, slots=True)
class DataRecord:
    """The data sets of a run.

    Attributes:
        training: What it learns from.
        validation: What it is evaluated on; ``None``: nothing.
    """

    training: Fingerprint
    validation: Fingerprint | None

    def difference(self, now: DataRecord) -> str | None:
        """What is different *now*, in words."""
        found = self.training.difference(now.training)
        if found is not None:
            return f"of the training data: {found}"
        if (self.validation is None) != (now.validation is None):
            return "of the validation data: it was {}, it is {}".format(
                *(
                    "absent" if data is None else "there"
                    for data in (self.validation, now.validation)
                )
            )
        if self.validation is None or now.validation is None:
            return None
        found = self.validation.difference(now.validation)
        return None if found is None else f"of the validation data: {found}"


def check_same_data(
    state: Mapping[str, Any], class_names: tuple[str, ...], now: DataRecord, last: Path
) -> str | None:
    """Refuse to continue on other data than the checkpoint *last* was trained on.

    Args:
        state: Training state of the checkpoint.
        class_names: Of the checkpoint.
        now: The data sets as they are.
        last: The checkpoint.

    Returns:
        What could not be checked (checkpoints of earlier versions record class names only).

    Raises:
        TrainingError: Something has changed.
    """
    way_out = f"put it back, or start a new run with --weights {last}"
    if class_names != now.training.class_names:
        old = replace(now.training, class_names=class_names)
        raise TrainingError(
            f"the data set has changed since {last}: {old.difference(now.training)}; {way_out}"
        )
    if state.get("data") is None:
        return (
            f"{last} was written by a version that recorded class names only: that pictures and "
            "labels are still the same was not checked"
        )
    difference = from_plain(state["data"], DataRecord).difference(now)
    if difference is not None:
        raise TrainingError(f"the data set has changed since {last}, {difference}; {way_out}")
    return None
