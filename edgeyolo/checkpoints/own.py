"""Our own checkpoints: state dict, ModelSpec and training state in one torch file.

The file is what ``torch.save`` writes for plain dicts, text and tensors, so that anybody's
``torch.load(path, weights_only=True)`` opens it, and our reader does. Keys: ``edgeyolo`` (JSON
text of :class:`OwnHeader`), ``model`` (state dict), ``training`` (what a trainer needs to go
on; absent in released weights).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgeyolo.atomic import atomic_file
from edgeyolo.checkpoints.containers import open_stored
from edgeyolo.checkpoints.header import HEADER_KEY, OwnHeader, find_header
from edgeyolo.checkpoints.records import RefusedError
from edgeyolo.errors import CheckpointError, OutputError, one_line
from edgeyolo.models.architecture import Architecture
from edgeyolo.spec import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor


def save_checkpoint(
    path: Path,
    model_state: Mapping[str, Tensor],
    spec: ModelSpec,
    *,
    architecture: Architecture | None = None,
    training_state: Mapping[str, Any] | None = None,
) -> None:
    """Write one of our checkpoints, whole or not at all.

    Args:
        path: Name of the file.
        model_state: State dict with official keys; stored in its own precision.
        spec: Must have as many class names as the tensors have classes.
        architecture: ``model.architecture``; needed where it cannot be told from the tensors
            (another activation than the published one).
        training_state: Nested dicts and lists of tensors, numbers, text.

    Raises:
        OutputError: The file cannot be written.
        ValueError: *training_state* holds something that ``weights_only`` would not load.
    """
    import torch

    header = msgspec.json.encode(OwnHeader(spec=spec, architecture=architecture)).decode()
    content: dict[str, Any] = {
        HEADER_KEY: header,
        "model": {key: value.detach().cpu() for key, value in model_state.items()},
    }
    if training_state is not None:
        _check_plain(training_state, "training_state")
        content["training"] = dict(training_state)
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            # torch reports a full disk as an "unexpected pos" and keeps the reason behind it.
            reason = error.__context__ if isinstance(error.__context__, OSError) else error
            raise OutputError(f"cannot write {path}: {one_line(reason)}") from error


def read_training_state(path: Path) -> dict[str, Any]:
    """What was given as *training_state*, tensors on the CPU.

    Raises:
        CheckpointError: Damaged, not one of ours, or without training state.
    """
    with open_stored(path) as stored:
        root = stored.root
        if find_header(root) is None:
            raise RefusedError("it was not written by edgeyolo, so training cannot go on from it")
        if not isinstance(root, dict) or not isinstance(root.get("training"), dict):
            raise RefusedError("it holds weights only, no training state to go on from")
    import torch

    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"{path} is damaged: {one_line(error)}") from error
    training: dict[str, Any] = loaded["training"]
    return training


def _check_plain(value: object, place: str) -> None:
    import torch

    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, (str, int)):
                raise ValueError(f"{place} has the key {key!r}; only text and integers are stored")
            _check_plain(item, f"{place}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check_plain(item, f"{place}[{index}]")
    elif value is not None and type(value) not in (bool, int, float, str, bytes, torch.Tensor):
        raise ValueError(f"{place} is a {type(value).__name__}; store tensors and plain values")
