"""What network the tensors of a file are, with what only the pickled model says."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from edgeyolo.checkpoints.containers import Stored
from edgeyolo.checkpoints.contents import Contents
from edgeyolo.checkpoints.records import RefusedError
from edgeyolo.models.architecture import Architecture
from edgeyolo.models.yolox import STRIDES as YOLOX_STRIDES
from edgeyolo.models.zoo import yolox_architecture
from edgeyolo.spec import Family

_STEM = "backbone.backbone.stem.conv.conv.weight"
_PUBLISHED_DEPTHS = {1: 0.33, 2: 0.67, 3: 1.0, 4: 1.33}


def architecture_of(state: dict[str, Tensor], contents: Contents) -> Architecture:
    """The architecture whose state dict *state* is.

    Raises:
        RefusedError: The tensors belong to no network of either family.
    """
    if _STEM in state and "head.cls_preds.0.weight" in state:
        return _yolox(state)
    raise RefusedError(
        f"its tensors belong to no network that is known here; it has {len(state)} tensors, "
        f"beginning with {', '.join(list(state)[:3])}"
    )


def _yolox(state: dict[str, Tensor]) -> Architecture:
    prefix = "backbone.backbone.dark2.1.m."
    repeats = len({key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)})
    if not repeats:
        raise RefusedError("its tensors look like YOLOX without the layers of dark2")
    architecture = yolox_architecture(
        depth=_PUBLISHED_DEPTHS.get(repeats, repeats / 3),
        width=state[_STEM].shape[0] / 64,
        depthwise="backbone.backbone.dark2.0.dconv.conv.weight" in state,
        num_classes=state["head.cls_preds.0.weight"].shape[0],
    )
    return replace(architecture, folded=_STEM.replace("conv.weight", "bn.weight") not in state)


def strides_of(
    stored: Stored, contents: Contents, state: dict[str, Tensor], architecture: Architecture
) -> tuple[int, ...]:
    """Input pixels per cell of every level.

    Raises:
        RefusedError: They are not to be found.
    """
    if architecture.family is Family.YOLOX:
        return YOLOX_STRIDES
    raise RefusedError("the strides of its levels are nowhere in it")
