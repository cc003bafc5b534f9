"""What network a state dict belongs to, told from the names and shapes of its tensors alone.

File names lie and pickled attributes may be missing; shapes cannot be wrong without the weights
being useless. Activation and anchor values leave no trace in shapes: the result has those of
the published network, and a reader that knows better replaces them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from edgeyolo.errors import CheckpointError
from edgeyolo.models.architecture import AnchorsPx, Architecture, Form
from edgeyolo.models.yolov7_plans import PLANS
from edgeyolo.models.yolox import base_depth
from edgeyolo.models.zoo import (
    VARIANTS,
    build_architecture,
    yolov7_architecture,
    yolox_architecture,
)
from edgeyolo.spec import Family

Shapes = Mapping[str, tuple[int, ...]]

# Far above any channel count, far below what overflows when sides are multiplied.
_LARGEST_SIDE = 1_000_000
_YOLOX_STEM = "backbone.backbone.stem.conv.conv.weight"
_YOLOX_BLOCK = re.compile(r"backbone\.backbone\.dark2\.1\.m\.(\d+)\.conv1\.conv\.weight")
_YOLOX_VARIANTS = [v for v in VARIANTS.values() if v.architecture.family is Family.YOLOX]
_NUMBERED = re.compile(r"model\.(\d+)\.")


def identify(shapes: Shapes) -> Architecture:
    """The architecture whose state dict has exactly these tensors.

    Args:
        shapes: Official key names to shapes. Counters of batch norms
            (``num_batches_tracked``) may be missing.

    Returns:
        Form, class count, depth and width as in the file; activation and anchors as published.

    Raises:
        CheckpointError: No network of ours has these tensors; the message says what was seen.
    """
    for key, shape in shapes.items():
        if any(not 0 <= side <= _LARGEST_SIDE for side in shape):
            raise CheckpointError(f"{key!r} claims to be {tuple(shape)}; the file is damaged")
    if _YOLOX_STEM in shapes and "head.cls_preds.0.weight" in shapes:
        architecture = _yolox(shapes)
    elif any(_NUMBERED.match(key) for key in shapes):
        architecture = _yolov7(shapes)
    else:
        raise CheckpointError(
            f"neither YOLOX nor YOLOv7: {_summary(shapes)}; expected keys like "
            f"{_YOLOX_STEM!r} or 'model.0.conv.weight'"
        )
    _require_same_tensors(architecture, shapes)
    return architecture


def read_anchors(state: Mapping[str, Tensor]) -> AnchorsPx | None:
    """Anchors in pixels as the detection layer of a YOLOv7 state dict holds them."""
    for key, tensor in state.items():
        if key.endswith(".anchor_grid"):
            levels = tensor.detach().float().reshape(tensor.shape[0], -1, 2).tolist()
            return tuple(tuple((width, height) for width, height in level) for level in levels)
    return None


def with_stored_anchors(found: Architecture, state: Mapping[str, Tensor]) -> Architecture:
    """*found* with the anchors of its own detection layer; anchor-free networks as they are."""
    return found if found.anchors_px is None else replace(found, anchors_px=read_anchors(state))


def _yolox(shapes: Shapes) -> Architecture:
    stem_out, stem_in = shapes[_YOLOX_STEM][:2]
    repeats = sum(1 for key in shapes if _YOLOX_BLOCK.fullmatch(key))
    if not repeats or not stem_out:
        raise CheckpointError(f"a YOLOX without CSP blocks: {_summary(shapes)}")
    depthwise = "backbone.backbone.dark2.0.dconv.conv.weight" in shapes
    # Published multiples are rounded names of the same counts: 0.33 is one third.
    depths = {base_depth(v.architecture.depth): v.architecture.depth for v in _YOLOX_VARIANTS}
    depth, width = depths.get(repeats, repeats / 3), stem_out / 64
    architecture = yolox_architecture(
        depth=depth,
        width=width,
        depthwise=depthwise,
        num_classes=_first_axis(shapes, "head.cls_preds.0.weight"),
    )
    folded = "backbone.backbone.stem.conv.bn.weight" not in shapes
    exported = folded and stem_in == 3
    return replace(
        architecture,
        form=Form.EXPORT if exported else Form.TRAINING,
        folded=folded,
        reparameterized=exported,
    )


def _yolov7(shapes: Shapes) -> Architecture:
    numbers = [match for match in map(_NUMBERED.match, shapes) if match]
    head = max(int(match.group(1)) for match in numbers)
    prefix = f"model.{head}"
    if f"{prefix}.anchors" not in shapes:
        raise CheckpointError(
            f"numbered layers without a detection layer: {_summary(shapes)}; the last layer is "
            f"{prefix!r} and has no anchors"
        )
    implicit = f"{prefix}.ia.0.implicit" in shapes
    exported = f"{prefix}.box.0.weight" in shapes
    form = Form.EXPORT if exported else Form.TRAINING if implicit else Form.DEPLOY
    graph = _graph_of(head, training=form is Form.TRAINING)
    levels, anchors_per_cell = shapes[f"{prefix}.anchors"][:2]
    if exported:
        outputs = 5 * anchors_per_cell + _first_axis(shapes, f"{prefix}.classes.0.weight")
    else:
        outputs = _first_axis(shapes, f"{prefix}.m.0.weight")
    per_anchor, remainder = divmod(outputs, max(anchors_per_cell, 1))
    if remainder or per_anchor < 6 or levels != len(PLANS[graph].strides):
        raise CheckpointError(
            f"the detection layer {prefix!r} has {levels} levels and {anchors_per_cell} anchors "
            f"but {outputs} outputs; expected {len(PLANS[graph].strides)} levels and "
            f"anchors x (5 + classes) outputs"
        )
    architecture = yolov7_architecture(
        graph=graph,
        width=1.0,
        num_classes=per_anchor - 5,
        anchors_px=_anchors_for(graph, anchors_per_cell),
        form=form,
        folded=not any(".bn." in key for key in shapes),
        reparameterized=exported or any(".rbr_reparam." in key for key in shapes),
    )
    width = _width_multiple(architecture, shapes)
    return replace(architecture, width=width, variant=graph if width == 1 else "custom")


def _graph_of(head: int, *, training: bool) -> str:
    heads = {
        graph: plan.training_head if training else plan.deploy_head for graph, plan in PLANS.items()
    }
    for graph, index in heads.items():
        if index == head:
            return graph
    known = ", ".join(f"{index} ({graph})" for graph, index in heads.items())
    raise CheckpointError(
        f"numbered layers that are no YOLOv7: the detection layer is number {head} and "
        f"{'has' if training else 'has no'} implicit knowledge; it would be number {known}"
    )


def _anchors_for(graph: str, anchors_per_cell: int) -> AnchorsPx:
    """Published anchors, or place holders of one cell where their number is another."""
    plan = PLANS[graph]
    if anchors_per_cell == len(plan.anchors_px[0]):
        return plan.anchors_px
    return tuple(
        tuple((float(stride), float(stride)) for _ in range(anchors_per_cell))
        for stride in plan.strides
    )


def _width_multiple(architecture: Architecture, shapes: Shapes) -> float:
    """The largest multiple that explains all channel counts, which are rounded up to 8."""
    ratios = [1.0]
    for key, shape in _state_shapes(architecture).items():
        if key.endswith("conv.weight") and shapes.get(key):
            ratios.append(shapes[key][0] / shape[0])
    ratios = ratios[1:] or ratios
    smallest = min(ratios)
    return smallest if smallest > 0 else 1.0


def _require_same_tensors(architecture: Architecture, shapes: Shapes) -> None:
    expected = _state_shapes(architecture)
    missing = [
        key for key in expected if key not in shapes and not key.endswith("num_batches_tracked")
    ]
    foreign = [key for key in shapes if key not in expected]
    other = [key for key in expected if key in shapes and tuple(shapes[key]) != expected[key]]
    if not (missing or foreign or other):
        return
    if other:
        key = other[0]
        detail = f"{key!r} is {tuple(shapes[key])} instead of {expected[key]}"
    elif missing:
        detail = f"{missing[0]!r} is missing"
    else:
        detail = f"{foreign[0]!r} does not belong to it"
    raise CheckpointError(
        f"looks like {architecture.name} ({architecture.graph}, {architecture.form} form, "
        f"{architecture.num_classes} classes) but does not fit: {detail} ({len(missing)} tensors "
        f"missing, {len(foreign)} foreign, {len(other)} of another shape)"
    )


def _state_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):  # no memory, whatever sizes a hostile file claims
        model = build_architecture(architecture)
    return {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}


def _first_axis(shapes: Shapes, key: str) -> int:
    shape = shapes.get(key, ())
    if not shape or shape[0] < 1:
        raise CheckpointError(f"{key!r} is missing or empty: {_summary(shapes)}")
    return shape[0]


def _summary(shapes: Shapes) -> str:
    first = ", ".join(f"{key} {tuple(shape)}" for key, shape in list(shapes.items())[:3])
    return f"{len(shapes)} tensors, beginning with {first or 'none'}"
