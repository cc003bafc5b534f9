"""Starting from trained weights, also with other classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgeyolo.data.class_names import same_classes
from edgeyolo.errors import TrainingError
from edgeyolo.models.detector import Detector
from edgeyolo.training.family_rules import TRAINING

_IMPLICIT = re.compile(r"\.(ia|im)\.\d+\.implicit$")
_IGNORED = re.compile(r"\.(anchors|anchor_grid|num_batches_tracked)$")


@dataclass(frozen=True, slots=True)
class TransferReport:
    """What a network took over from trained weights.

    Attributes:
        copied: Tensors taken over whole.
        by_class: Prediction tensors of which the rows of common classes were taken over.
        fresh: Names of tensors that keep their initial values.
        shared_classes: Class names that both know.
    """

    copied: int
    by_class: int
    fresh: tuple[str, ...]
    shared_classes: tuple[str, ...]

    def text(self, num_classes: int) -> str:
        """One line for people."""
        line = f"{self.copied} tensors taken over"
        if self.by_class:
            line += f", {self.by_class} for {len(self.shared_classes)} of {num_classes} classes"
        return f"{line}, {len(self.fresh)} start fresh" if self.fresh else line


@torch.no_grad()
def transfer(
    source: Mapping[str, Tensor],
    source_names: Sequence[str],
    model: Detector,
    class_names: Sequence[str],
) -> TransferReport:
    """Copy what fits from *source* into *model*.

    Classes are matched by name, so a detector of 80 classes that is trained for three of them
    keeps what it knows about those. Implicit terms that the source has not (deploy forms) become
    neutral, so that the network starts with the same outputs.

    Args:
        source: State dict with official names.
        source_names: Class names of *source*.
        model: In the training form.
        class_names: Class names of *model*.

    Raises:
        TrainingError: Nothing fits: another network.
    """
    state = model.state_dict()
    rules = TRAINING[model.family].transfer
    source = rules.aligned(source, state)
    folded = [key for key in source if key.endswith(".conv.bias")]
    if folded and f"{folded[0][: -len('.conv.bias')]}.bn.weight" in state:
        raise TrainingError("folded weights must get their batch norms back before training")
    places = same_classes(class_names, source_names)
    pairs = [(own, place) for own, place in enumerate(places) if place >= 0]
    all_same = tuple(source_names) == tuple(class_names)
    copied = by_class = 0
    fresh: list[str] = []
    for name, value in state.items():
        given = source.get(name)
        if given is None:
            if _IMPLICIT.search(name):
                value.fill_(0.0 if ".ia." in name else 1.0)
            if not _IGNORED.search(name):
                fresh.append(name)
        elif rules.class_tensors.match(name) and not all_same:
            rules.copy_classes(given.float(), value, pairs, len(source_names), model.num_classes)
            by_class += 1
        elif given.shape == value.shape:
            if not name.endswith((".anchors", ".anchor_grid")):
                value.copy_(given)
                copied += 1
        else:
            fresh.append(name)
    if copied < len(state) // 4:
        raise TrainingError(
            f"only {copied} of {len(state)} tensors fit {model.architecture.name}; "
            "these weights are of another network"
        )
    shared = tuple(class_names[own] for own, _ in pairs)
    return TransferReport(copied, by_class, tuple(fresh), shared)
