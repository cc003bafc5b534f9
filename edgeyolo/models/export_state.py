"""State dict to state dict: from any form to the export form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from edgeyolo.models.architecture import Architecture
from edgeyolo.models.folding import (
    State,
    folded_batch_norm,
    folded_implicit,
    merged_branches,
    merged_space_to_depth,
)
from edgeyolo.spec import Family

_YOLOX_STEM = "backbone.backbone.stem.conv.conv.weight"
_P6_STEM = "model.1.conv.weight"
_NUMBERED = re.compile(r"model\.(\d+)\.(.+)")


def exported_state(state: State, source: Architecture) -> dict[str, Tensor]:
    """The float32 state dict of the export form.

    Args:
        state: A state dict of *source*, in any floating-point type.
        source: Training or deploy form, folded or not.
    """
    return _FAMILIES[source.family](_fold_units(state), source)


def _fold_units(state: State) -> dict[str, Tensor]:
    """Every ``X.bn`` folded into its ``X.conv``; other tensors as they are."""
    folded: dict[str, Tensor] = {}
    for key, tensor in state.items():
        unit, _, rest = key.rpartition(".conv.")
        if rest == "weight" and f"{unit}.bn.running_mean" in state:
            weight, bias = folded_batch_norm(state, f"{unit}.conv", f"{unit}.bn")
            folded[key], folded[f"{unit}.conv.bias"] = weight.float(), bias.float()
        elif ".bn." not in key:
            folded[key] = tensor.float()
    return folded


def _yolox(state: dict[str, Tensor], _source: Architecture) -> dict[str, Tensor]:
    return {**state, _YOLOX_STEM: merged_space_to_depth(state[_YOLOX_STEM])}


def _yolov7(state: dict[str, Tensor], source: Architecture) -> dict[str, Tensor]:
    state = _merge_rep_convs(state)
    stem = state.get(_P6_STEM)
    if stem is not None and stem.shape[1] == 12:
        state[_P6_STEM] = merged_space_to_depth(stem)
    return _export_head(state, source)


def _merge_rep_convs(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """``rbr_dense``, ``rbr_1x1`` and ``rbr_identity`` become ``rbr_reparam``."""
    merged: dict[str, Tensor] = {}
    for key, tensor in state.items():
        block, _, rest = key.partition(".rbr_")
        if rest == "dense.0.weight":
            weight, bias = merged_branches(state, block)
            merged[f"{block}.rbr_reparam.weight"] = weight.float()
            merged[f"{block}.rbr_reparam.bias"] = bias.float()
        elif not rest or rest.startswith("reparam"):
            merged[key] = tensor
    return merged


def _export_head(state: dict[str, Tensor], source: Architecture) -> dict[str, Tensor]:
    """Implicit terms folded, predictions split, auxiliary heads and their layers gone.

    The auxiliary heads' convolutions are the layers just before the detection layer, so the
    detection layer moves up by their number.
    """
    head = max(int(match.group(1)) for match in map(_NUMBERED.fullmatch, state) if match)
    auxiliary = sum(1 for key in state if re.fullmatch(rf"model\.{head}\.m2\.\d+\.weight", key))
    target = head - auxiliary
    exported: dict[str, Tensor] = {}
    for key, tensor in state.items():
        match = _NUMBERED.fullmatch(key)
        assert match is not None
        number, rest = int(match.group(1)), match.group(2)
        if number < target:
            exported[key] = tensor
        elif number == head and rest in ("anchors", "anchor_grid"):
            exported[f"model.{target}.{rest}"] = tensor
    anchors_per_cell = state[f"model.{head}.anchors"].shape[1]
    for level in range(state[f"model.{head}.anchors"].shape[0]):
        weight = state[f"model.{head}.m.{level}.weight"]
        bias = state[f"model.{head}.m.{level}.bias"]
        added = state.get(f"model.{head}.ia.{level}.implicit")
        if added is not None and not source.folded:
            factor = state[f"model.{head}.im.{level}.implicit"]
            weight, bias = folded_implicit(weight, bias, added, factor)
        for part, rows in _split_rows(weight, anchors_per_cell).items():
            exported[f"model.{target}.{part}.{level}.weight"] = weight[rows].float()
            exported[f"model.{target}.{part}.{level}.bias"] = bias[rows].float()
    return exported


def _split_rows(weight: Tensor, anchors_per_cell: int) -> Mapping[str, Tensor]:
    """Output rows of box, objectness and classes; rows are anchor-major."""
    rows = torch.arange(weight.shape[0]).reshape(anchors_per_cell, -1)
    return {
        "box": rows[:, :4].reshape(-1),
        "objectness": rows[:, 4],
        "classes": rows[:, 5:].reshape(-1),
    }


_FAMILIES: Mapping[Family, Callable[[dict[str, Tensor], Architecture], dict[str, Tensor]]] = {
    Family.YOLOX: _yolox,
    Family.YOLOV7: _yolov7,
}
