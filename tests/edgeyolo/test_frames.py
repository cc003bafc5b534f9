"""What counts as a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edgeyolo.families.yolox import YOLOX
from edgeyolo.frames import as_bgr
from edgeyolo.letterbox import Letterboxer

PICTURE = np.random.default_rng(1).integers(0, 255, (40, 60, 3), dtype=np.uint8)


def test_a_bgr_frame_and_its_crops_are_not_copied() -> None:
    for frame in (PICTURE, PICTURE[3:20, 5:30], PICTURE[:1, :1]):
        assert as_bgr(frame) is frame


@pytest.mark.parametrize(
    "view",
    [
        PICTURE[:, ::-1],
        PICTURE[::-1],
        PICTURE[..., ::-1],
        PICTURE[::2, ::3],
        PICTURE.transpose(1, 0, 2),
        np.asfortranarray(PICTURE),
        np.broadcast_to(PICTURE[:1], PICTURE.shape),
    ],
)
def test_any_view_gives_the_pixels_that_it_shows(view: np.ndarray[Any, Any]) -> None:
    letterboxer = Letterboxer(YOLOX.preprocess((64, 64)))
    letterboxer.place(as_bgr(view))
    from_view = letterboxer.canvas_bgr.copy()
    letterboxer.place(np.array(view, order="C"))
    assert_array_equal(from_view, letterboxer.canvas_bgr)


def test_grey_is_repeated_and_alpha_dropped() -> None:
    grey = PICTURE[:, :, 0]
    for frame in (grey, grey[:, :, None]):
        assert_array_equal(as_bgr(frame), np.dstack([grey] * 3))
    bgra = np.dstack([PICTURE, grey])
    assert_array_equal(as_bgr(bgra), PICTURE)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (None, "NoneType.*readable"),
        ([[1, 2, 3]], "list"),
        (PICTURE.astype(np.float32), "float32"),
        (PICTURE.astype(np.uint16), "uint16"),
        (PICTURE[None], r"\(1, 40, 60, 3\)"),
        (PICTURE[:, :, :2], r"\(40, 60, 2\)"),
        (PICTURE[0, 0], r"shape \(3,\)"),
        (PICTURE[:0], "0x60"),
        (np.zeros((1, 40_000, 3), np.uint8), "1x40000"),
    ],
)
def test_anything_else_is_refused_with_what_was_seen(frame: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_bgr(frame)
