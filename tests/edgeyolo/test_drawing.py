"""Annotated pictures."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edgeyolo.detections import Detections
from edgeyolo.drawing import class_color_bgr, draw, draw_label

NAMES = ("person", "bicycle", "traffic light")


def detections(*boxes: tuple[float, float, float, float]) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.linspace(0.9, 0.5, count).astype(np.float32),
        np.arange(count) % 3,
        NAMES,
    )


def test_the_outline_has_the_colour_of_its_class_and_the_frame_stays_untouched() -> None:
    frame = np.zeros((200, 300, 3), np.uint8)
    picture = draw(frame, detections((50, 80, 250, 180), (5, 60, 30, 190)))
    assert not frame.any()
    assert picture[180, 150].tolist() == list(class_color_bgr(0))
    assert picture[130, 250].tolist() == list(class_color_bgr(0))
    assert picture[190, 20].tolist() == list(class_color_bgr(1))
    assert not picture[130, 150].any()


def test_neighbouring_classes_have_colours_that_differ() -> None:
    colors = np.array([class_color_bgr(index) for index in range(12)], int)
    gaps = np.abs(colors[:, None] - colors).sum(axis=2) + 1000 * np.eye(12, dtype=int)
    assert gaps.min() >= 60


@pytest.mark.parametrize(
    "box",
    [
        (-50.0, -50.0, 20.0, 20.0),
        (290.0, 190.0, 400.0, 300.0),
        (-1e30, -1e30, 1e30, 1e30),
        (500.0, 500.0, 600.0, 600.0),
        (float("nan"), 0.0, 1.0, 1.0),
        (float("-inf"), 0.0, float("inf"), 1.0),
    ],
)
def test_boxes_beyond_the_picture_do_no_harm(
    box: tuple[float, float, float, float],
) -> None:
    picture = draw(np.zeros((200, 300, 3), np.uint8), detections(box))
    assert picture.shape == (200, 300, 3)


def test_labels_stay_inside_the_picture_and_stand_out() -> None:
    for background in ((0, 0, 0), (255, 255, 255), class_color_bgr(0), class_color_bgr(5)):
        for corner in ((0, 0), (10_000, 10_000), (-10_000, 100), (150, 100)):
            picture = np.full((200, 300, 3), 90, np.uint8)
            draw_label(picture, "traffic light 0.87", corner, background_bgr=background)
            bar = (picture == background).all(axis=2)
            assert bar.sum() > 500
            ink = picture.astype(int).sum(axis=2) - sum(background)
            assert np.abs(ink[bar.nonzero()[0].min() : bar.nonzero()[0].max()]).max() > 250


def test_nothing_found_gives_the_same_picture() -> None:
    frame = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    assert_array_equal(draw(frame, Detections.empty(NAMES)), frame)
    assert draw(np.zeros((1, 1, 3), np.uint8), detections((0, 0, 1, 1))).shape == (1, 1, 3)
