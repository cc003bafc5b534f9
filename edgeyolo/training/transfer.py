"""Starting from trained weights, also with other classes, and from folded networks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgeyolo.errors import TrainingError
from edgeyolo.models.detector import Detector
from edgeyolo.spec import Family

# Prediction tensors whose first (or, for .im., second) axis counts classes.
_YOLOX_CLASSES = re.compile(r"^head\.cls_preds\.\d+\.(weight|bias)$")
_YOLOV7_OUTPUTS = re.compile(r"^model\.\d+\.(m2?\.\d+\.(weight|bias)|im\.\d+\.implicit)$")
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
    folded = [key for key in source if key.endswith(".conv.bias")]
    if folded and f"{folded[0][: -len('.conv.bias')]}.bn.weight" in state:
        raise TrainingError("folded weights must get their batch norms back before training")
    index_of = {name.strip().casefold(): i for i, name in enumerate(source_names)}
    pairs = [
        (own, index_of[name.strip().casefold()])
        for own, name in enumerate(class_names)
        if name.strip().casefold() in index_of
    ]
    same_classes = tuple(source_names) == tuple(class_names)
    pattern = _YOLOX_CLASSES if model.family is Family.YOLOX else _YOLOV7_OUTPUTS
    copied = by_class = 0
    fresh: list[str] = []
    for name, value in state.items():
        given = source.get(name)
        if given is None:
            if _IMPLICIT.search(name):
                value.fill_(0.0 if ".ia." in name else 1.0)
            if not _IGNORED.search(name):
                fresh.append(name)
        elif pattern.match(name) and not same_classes:
            _copy_classes(given.float(), value, pairs, len(source_names), model)
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


def _copy_classes(
    given: Tensor,
    value: Tensor,
    pairs: Iterable[tuple[int, int]],
    source_classes: int,
    model: Detector,
) -> None:
    """Copy rows of prediction tensors: of common classes, and YOLOv7's box and objectness."""
    if model.family is Family.YOLOX:
        for own, other in pairs:
            value[own] = given[other]
        return
    axis = 1 if value.ndim == 4 and value.shape[0] == 1 and value.shape[1] > 1 else 0
    rows = value.movedim(axis, 0)
    source = given.movedim(axis, 0)
    anchors = rows.shape[0] // (5 + model.num_classes)
    own_rows = rows.unflatten(0, (anchors, 5 + model.num_classes))
    source_rows = source.unflatten(0, (anchors, 5 + source_classes))
    own_rows[:, :5] = source_rows[:, :5]
    for own, other in pairs:
        own_rows[:, 5 + own] = source_rows[:, 5 + other]


@torch.no_grad()
def with_batch_norms(folded: Detector, trainable: Detector, batches: Iterable[Tensor]) -> None:
    """Fill *trainable* from *folded*, whose batch norms were folded into the convolutions.

    A batch norm with statistics 0 and 1 would compute the same in eval mode, but the first
    training step would normalise by the batch and destroy the weights. So the statistics of
    every convolution are measured on pictures, and scale and shift are chosen to undo them: the
    network computes the same in eval mode, and nearly the same in train mode.

    Args:
        folded: Network with ``X.conv.bias`` and no ``X.bn``; left as it is.
        trainable: The same network with batch norms.
        batches: Network inputs (B, 3, H, W), some tens of pictures in all.

    Raises:
        TrainingError: The two are not the same network, or there is no picture.
    """
    source, state = folded.state_dict(), trainable.state_dict()
    units = [key[: -len(".conv.bias")] for key in source if key.endswith(".conv.bias")]
    units = [unit for unit in units if f"{unit}.bn.weight" in state]
    modules = dict(folded.named_modules())
    sums: dict[str, list[Tensor]] = {}

    def measure(unit: str) -> None:
        def hook(module: nn.Module, _: object, output: Tensor) -> None:
            bias = source[f"{unit}.conv.bias"][:, None, None]
            values = (output - bias).double()
            count = torch.tensor(float(values.numel() / values.shape[1]), dtype=torch.float64)
            entry = [values.sum(dim=(0, 2, 3)), values.pow(2).sum(dim=(0, 2, 3)), count]
            sums[unit] = [a + b for a, b in zip(sums.get(unit, [torch.zeros(())] * 3), entry)]  # noqa: B905

        handles.append(modules[f"{unit}.conv"].register_forward_hook(hook))

    handles: list[torch.utils.hooks.RemovableHandle] = []
    for unit in units:
        measure(unit)
    was_training = folded.training
    folded.eval()
    try:
        for batch in batches:
            folded(batch)
    finally:
        folded.train(was_training)
        for handle in handles:
            handle.remove()
    if not sums:
        raise TrainingError("no picture to measure batch statistics with")
    eps = {n: m.eps for n, m in trainable.named_modules() if isinstance(m, nn.BatchNorm2d)}
    for name, value in state.items():
        unit, _, last = name.rpartition(".bn.")
        if unit and unit in sums:
            total, squares, count = sums[unit]
            mean = total / count
            variance = (squares / count - mean**2).clamp(min=0)
            filled = {
                "running_mean": mean,
                "running_var": variance,
                "weight": torch.sqrt(variance + eps[f"{unit}.bn"]),
                "bias": mean + source[f"{unit}.conv.bias"],
            }
            if last in filled:
                value.copy_(filled[last])
        elif name in source and source[name].shape == value.shape:
            value.copy_(source[name])
        elif not _IGNORED.search(name):
            raise TrainingError(f"the folded weights lack {name}")
