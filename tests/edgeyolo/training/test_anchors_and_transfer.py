"""Anchors are refitted when they miss objects; weights are taken over by class and by head."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edgeyolo.errors import TrainingError
from edgeyolo.models.architecture import Form
from edgeyolo.models.detector import Detector
from edgeyolo.models.zoo import VARIANTS, build_architecture
from edgeyolo.training.anchors import best_possible_recall, check_anchors
from edgeyolo.training.transfer import transfer

_SPEC = importlib.util.spec_from_file_location(
    "rectangle_batches", Path(__file__).with_name("rectangle_batches.py")
)
assert _SPEC is not None
assert _SPEC.loader is not None
rectangles = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(rectangles)
ANCHORS = VARIANTS["yolov7-tiny"].architecture.anchors_px
assert ANCHORS is not None


def test_recall_counts_objects_within_the_ratio() -> None:
    anchors = np.array([[10.0, 10.0]])
    sizes = np.array([[10.0, 10.0], [39.0, 10.0], [41.0, 10.0], [10.0, 2.6], [10.0, 2.4]])
    assert best_possible_recall(sizes, anchors, 4.0) == pytest.approx(3 / 5)


def test_fitting_anchors_are_kept() -> None:
    assert ANCHORS is not None
    sizes = np.array(ANCHORS).reshape(-1, 2).repeat(20, axis=0)
    check = check_anchors(sizes, ANCHORS)
    assert not check.changed
    assert check.anchors_px == ANCHORS
    assert check.recall == 1.0


def test_anchors_that_miss_are_replaced_fine_to_coarse_and_reproducibly() -> None:
    assert ANCHORS is not None
    random = np.random.default_rng(0)
    # Long thin objects, as in aerial pictures of ships.
    sizes = np.stack((random.uniform(150, 400, 500), random.uniform(4, 12, 500)), axis=1)
    check = check_anchors(sizes, ANCHORS, generations=100, seed=5)
    assert check.changed
    assert check.recall_before < 0.5
    assert check.recall > 0.99
    areas = [width * height for level in check.anchors_px for width, height in level]
    assert areas == sorted(areas)
    assert [len(level) for level in check.anchors_px] == [3, 3, 3]
    assert check_anchors(sizes, ANCHORS, generations=100, seed=5) == check


def test_pictures_without_objects_have_no_anchors() -> None:
    assert ANCHORS is not None
    with pytest.raises(TrainingError, match="no object"):
        check_anchors(np.zeros((0, 2)), ANCHORS)


def outputs(model: Detector, picture: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        return model.eval()(picture)  # type: ignore[no-any-return]


def test_a_yolov7_head_keeps_boxes_and_the_rows_of_common_classes() -> None:
    torch.manual_seed(0)
    old = build_architecture(rectangles.mini_yolov7(num_classes=3))
    new = build_architecture(rectangles.mini_yolov7(num_classes=2))
    report = transfer(old.state_dict(), ("cat", "dog", "bird"), new, ("fish", "Bird"))
    assert report.shared_classes == ("Bird",)
    assert report.by_class == 9
    picture = torch.rand(1, 3, 64, 64)
    for before, after in zip(outputs(old, picture), outputs(new, picture), strict=True):
        torch.testing.assert_close(after[..., :5], before[..., :5])
        torch.testing.assert_close(after[..., 6], before[..., 7])
        assert not torch.allclose(after[..., 5], before[..., 5])


def test_letters_take_over_the_rows_of_their_own_case() -> None:
    torch.manual_seed(0)
    old = build_architecture(rectangles.mini_yolov7(num_classes=3))
    new = build_architecture(rectangles.mini_yolov7(num_classes=3))
    report = transfer(old.state_dict(), ("A", "a", "b"), new, ("a", "A", "B"))
    assert report.shared_classes == ("a", "A", "B")
    picture = torch.rand(1, 3, 64, 64)
    for before, after in zip(outputs(old, picture), outputs(new, picture), strict=True):
        torch.testing.assert_close(after[..., 5:], before[..., [6, 5, 7]])


def test_a_deploy_form_starts_training_with_its_own_outputs() -> None:
    """The heads of P6 deploy and training forms have other numbers; implicit terms are new."""
    torch.manual_seed(0)
    architecture = rectangles.mini_yolov7("w6")
    deployed = build_architecture(replace(architecture, form=Form.DEPLOY))
    training = build_architecture(architecture)
    names = ("a", "b")
    report = transfer(deployed.state_dict(), names, training, names)
    assert all(".m2." in n or "implicit" in n or ".11" in n or ".12" in n for n in report.fresh)
    picture = torch.rand(1, 3, 64, 64)
    for before, after in zip(outputs(deployed, picture), outputs(training, picture), strict=True):
        torch.testing.assert_close(after, before)


def test_weights_of_another_network_are_refused() -> None:
    old = build_architecture(rectangles.mini_yolov7())
    new = build_architecture(rectangles.mini_yolox())
    with pytest.raises(TrainingError, match="of another network"):
        transfer(old.state_dict(), ("a", "b"), new, ("a", "b"))
