"""Architectures told from tensor names and shapes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from edgeyolo.errors import CheckpointError
from edgeyolo.models.architecture import Architecture, Form
from edgeyolo.models.deploy import deploy
from edgeyolo.models.identify import identify, read_anchors
from edgeyolo.models.zoo import (
    VARIANTS,
    build,
    build_architecture,
    yolov7_architecture,
    yolox_architecture,
)


def shapes_of(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        state = build_architecture(architecture).state_dict()
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


@pytest.mark.parametrize("num_classes", [1, 80])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_published_network_is_recognised(name: str, num_classes: int) -> None:
    architecture = replace(VARIANTS[name].architecture, num_classes=num_classes)
    assert identify(shapes_of(architecture)) == architecture


@pytest.mark.parametrize("name", ["yolov7-l", "yolov7-w6", "yolov7-e6e"])
@pytest.mark.parametrize(
    ("form", "folded", "reparameterized"),
    [
        (Form.DEPLOY, False, False),
        (Form.DEPLOY, False, True),
        (Form.DEPLOY, True, True),
        (Form.TRAINING, True, True),
    ],
)
def test_forms_and_folding_are_recognised(
    name: str, form: Form, folded: bool, reparameterized: bool
) -> None:
    architecture = replace(
        VARIANTS[name].architecture,
        form=form,
        folded=folded,
        # Only l has blocks that could tell.
        reparameterized=reparameterized and name == "yolov7-l",
    )
    assert identify(shapes_of(architecture)) == architecture


@pytest.mark.parametrize("depthwise", [False, True])
def test_custom_yolox_sizes_give_depth_and_width(depthwise: bool) -> None:
    architecture = yolox_architecture(depth=0.33, width=0.125, depthwise=depthwise, num_classes=7)
    assert identify(shapes_of(architecture)) == architecture
    assert architecture.variant == "custom"


@pytest.mark.parametrize("graph", ["tiny", "l", "w6"])
@pytest.mark.parametrize("width", [0.125, 0.5, 1.25])
def test_custom_yolov7_widths_give_a_multiple_that_fits(graph: str, width: float) -> None:
    architecture = yolov7_architecture(graph=graph, width=width, num_classes=7)
    found = identify(shapes_of(architecture))
    assert (found.graph, found.variant, found.width) == (graph, "custom", width)


def test_counters_of_batch_norms_may_be_missing() -> None:
    architecture = VARIANTS["yolox-nano"].architecture
    shapes = shapes_of(architecture)
    without = {k: s for k, s in shapes.items() if not k.endswith("num_batches_tracked")}
    assert len(without) < len(shapes)
    assert identify(without) == architecture


@pytest.mark.parametrize("name", ["yolox-nano", "yolov7-tiny"])
def test_our_own_export_form_is_recognised(name: str) -> None:
    deployed, _ = deploy(build(name, 3))
    shapes = {key: tuple(tensor.shape) for key, tensor in deployed.state_dict().items()}
    found = identify(shapes)
    assert replace(found, activation=deployed.architecture.activation) == deployed.architecture


def test_another_number_of_anchors_gives_place_holders_that_a_reader_replaces() -> None:
    anchors_px = (((4.0, 5.0), (6.0, 7.0)), ((8.0, 9.0), (1.0, 2.0)), ((30.0, 20.0), (3.0, 4.0)))
    model = build("yolov7-tiny", 5, anchors_px=anchors_px)
    shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    found = identify(shapes)
    assert found.num_classes == 5
    assert read_anchors(model.state_dict()) == anchors_px
    assert replace(found, anchors_px=anchors_px) == model.architecture


def test_yolox_has_no_anchors_to_read() -> None:
    assert read_anchors(build("yolox-nano").state_dict()) is None


def _without_last(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return dict(list(shapes.items())[:-1])


def test_foreign_files_are_refused_with_what_was_seen() -> None:
    with pytest.raises(CheckpointError, match=r"neither YOLOX nor YOLOv7: 1 tensors, .*fc\.weight"):
        identify({"fc.weight": (10, 20)})
    with pytest.raises(CheckpointError, match="0 tensors, beginning with none"):
        identify({})
    # The numbering of a well-known relative, with its detection layer at 24.
    with pytest.raises(CheckpointError, match=r"detection layer is number 24.*77 \(tiny\)"):
        identify(
            {
                "model.0.conv.weight": (32, 3, 6, 6),
                "model.24.anchors": (3, 3, 2),
                "model.24.m.0.weight": (255, 128, 1, 1),
            }
        )
    with pytest.raises(CheckpointError, match="no anchors"):
        identify({"model.0.conv.weight": (32, 3, 6, 6)})


def test_a_tensor_too_few_too_many_or_of_another_shape_is_named() -> None:
    shapes = shapes_of(VARIANTS["yolox-nano"].architecture)
    last = list(shapes)[-1]
    with pytest.raises(CheckpointError, match=r"'head.stems.2.bn.bias' is missing \(1 tensors"):
        identify({k: s for k, s in shapes.items() if k != "head.stems.2.bn.bias"})
    with pytest.raises(CheckpointError, match=r"'extra' does not belong to it"):
        identify({**shapes, "extra": (1,)})
    assert last.endswith("num_batches_tracked")
    with pytest.raises(CheckpointError, match=r"'head.stems.2.bn.bias' is \(65,\) instead of"):
        identify({**shapes, "head.stems.2.bn.bias": (65,)})


@pytest.mark.parametrize("name", ["yolox-nano", "yolov7-tiny"])
@pytest.mark.parametrize("side", [2**40, -1])
def test_impossible_sizes_are_refused(name: str, side: int) -> None:
    shapes = shapes_of(VARIANTS[name].architecture)
    first = next(iter(shapes))
    with pytest.raises(CheckpointError, match="the file is damaged"):
        identify({**shapes, first: (side, *shapes[first][1:])})


@pytest.mark.parametrize("name", ["yolox-nano", "yolov7-tiny"])
def test_huge_sizes_are_refused_without_memory(name: str) -> None:
    shapes = shapes_of(VARIANTS[name].architecture)
    first = next(iter(shapes))
    with pytest.raises(CheckpointError, match="does not fit"):
        identify({**shapes, first: (1_000_000, *shapes[first][1:])})
