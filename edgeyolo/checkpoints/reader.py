"""A checkpoint file of YOLOX, YOLOv7 or our own, read without running anything in it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeyolo.artifact import sha256_of
from edgeyolo.checkpoints.containers import Stored, open_stored
from edgeyolo.checkpoints.contents import Contents, find_contents
from edgeyolo.checkpoints.header import OwnHeader, find_header
from edgeyolo.checkpoints.records import RefusedError
from edgeyolo.spec import Family, ModelSpec

# torch takes 200 MB and a second to import; hostile and damaged files are refused before.
if TYPE_CHECKING:
    from torch import Tensor

    from edgeyolo.models.architecture import Activation, AnchorsPx, Architecture, Form


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a file holds.

    Attributes:
        path: Where it was read from.
        sha256: Digest of the file.
        architecture: Derived from the tensors, never from the file's name.
        class_names: From the file; ``None`` where it has none (YOLOX, plain state dicts).
        strides: Input pixels per cell, per head level, fine to coarse.
        state: Official state-dict keys; floating point as float32, whole numbers as stored.
        spec: What our own checkpoints say about themselves, else ``None``.
        container: ``"zip"``, ``"stream"`` or ``"tar"``.
        extras: Plain values from the top of the file: epoch, best score.
        activation_told: Whether the file tells its activation; state dicts do not, and the
            published one is assumed.
    """

    path: Path
    sha256: str
    architecture: Architecture
    class_names: tuple[str, ...] | None
    strides: tuple[int, ...]
    state: OrderedDict[str, Tensor]
    spec: ModelSpec | None
    container: str
    extras: Mapping[str, str | int | float]
    activation_told: bool

    @property
    def family(self) -> Family:
        return self.architecture.family

    @property
    def variant(self) -> str:
        return self.architecture.variant

    @property
    def form(self) -> Form:
        return self.architecture.form

    @property
    def num_classes(self) -> int:
        return self.architecture.num_classes

    @property
    def anchors_px(self) -> AnchorsPx | None:
        return self.architecture.anchors_px

    @property
    def activation(self) -> Activation:
        return self.architecture.activation


def read_checkpoint(path: Path | str) -> Checkpoint:
    """Read the weights and everything known about them.

    Args:
        path: A file written by ``torch.save``: an official release, a training checkpoint, a
            bare state dict, or one of ours.

    Raises:
        CheckpointError: The file is missing, damaged, incomplete, foreign or hostile, or its
            tensors belong to no network of either family.
    """
    path = Path(path)
    with open_stored(path) as stored:
        header = find_header(stored.root)
        contents = find_contents(stored.root)
        return _read(path, stored, header, contents)


def _read(path: Path, stored: Stored, header: OwnHeader | None, contents: Contents) -> Checkpoint:
    from edgeyolo.checkpoints.identity import architecture_of, strides_of
    from edgeyolo.checkpoints.tensors import to_state

    state = to_state(stored, contents.tensors)
    architecture = architecture_of(state, contents, header.architecture if header else None)
    names = header.spec.class_names if header else contents.class_names
    if names is not None and len(names) != architecture.num_classes:
        raise RefusedError(
            f"it names {len(names)} classes, its tensors have {architecture.num_classes}"
        )
    return Checkpoint(
        path=path,
        sha256=sha256_of(path),
        architecture=architecture,
        class_names=names,
        strides=strides_of(stored, contents, architecture),
        state=state,
        spec=header.spec if header else None,
        container=stored.container,
        extras=contents.extras,
        # Our own checkpoints write the architecture wherever it is not the published one.
        activation_told=header is not None or bool(contents.activations),
    )
