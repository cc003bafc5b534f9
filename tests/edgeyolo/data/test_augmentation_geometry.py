"""Objects stay on their pixels through mosaics, mixes, mirrors and warps."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeyolo.data.augment_geometry import (
    AffineDraws,
    PerspectiveDraws,
    affine,
    large_enough,
    perspective,
)
from edgeyolo.data.augment_mixing import (
    YoloxMixupDraws,
    cut_outs,
    flipped,
    mirrored,
    pasted_in,
    yolov7_mixup,
    yolox_mixup,
)
from edgeyolo.data.augment_mosaic import cropped, draw_centre, mosaic_of_four, mosaic_of_nine
from edgeyolo.data.augment_yolov7 import YoloV7Augmentation
from edgeyolo.data.sample import Sample, blank, fitted

OUTLINE = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32)


def marked(
    hw: tuple[int, int],
    boxes: list[tuple[int, int, int, int]],
    grey: int = 0,
    *,
    segments: bool = False,
) -> Sample:
    """A grey picture whose boxes are filled with 200 + class; class = position in the list."""
    frame = np.full((*hw, 3), grey, np.uint8)
    for index, (x1, y1, x2, y2) in enumerate(boxes):
        frame[y1:y2, x1:x2] = 200 + index
    array = np.array(boxes, np.float64).reshape(-1, 4)
    outlines = tuple(
        (((OUTLINE * (box[2:] - box[:2])) + box[:2]).astype(np.float32),) if segments else ()
        for box in array
    )
    return Sample(frame, array, np.arange(len(boxes)), outlines)


def extent_of(frame: NDArray[np.uint8], value: int, spread: int = 3) -> NDArray[np.int64]:
    found = np.abs(frame[..., 0].astype(int) - value) <= spread
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def assert_on_pixels(sample: Sample, atol: float = 0.0) -> None:
    for box, class_id in zip(sample.boxes_xyxy, sample.class_ids.tolist(), strict=True):
        np.testing.assert_allclose(box, extent_of(sample.frame_bgr, 200 + 5 * class_id), atol=atol)


def one_each(hw: tuple[int, int], class_id: int) -> Sample:
    """A picture with one object of *class_id*, marked 200 + 5 * class."""
    height, width = hw
    box = (width // 4, height // 4, width // 2, height // 2)
    sample = marked(hw, [box], grey=10 + class_id)
    sample.frame_bgr[box[1] : box[3], box[0] : box[2]] = 200 + 5 * class_id
    return Sample(sample.frame_bgr, sample.boxes_xyxy, np.array([class_id]), ((),))


SIZES = [(40, 64), (64, 40), (64, 64), (30, 60), (60, 30), (64, 50), (50, 64), (64, 33), (33, 64)]


def test_four_tiles_meet_at_the_centre() -> None:
    tiles = [one_each(hw, index) for index, hw in enumerate(SIZES[:4])]
    canvas = mosaic_of_four(tiles, (70, 60), (128, 128))
    assert canvas.hw == (128, 128)
    assert_on_pixels(canvas)
    around = [canvas.frame_bgr[y, x, 0] for y, x in ((59, 69), (59, 70), (60, 69), (60, 70))]
    assert around == [10, 11, 12, 13]


def test_nine_tiles_ring_the_first_without_hiding_it() -> None:
    tiles = [one_each(hw, index) for index, hw in enumerate(SIZES)]
    canvas = mosaic_of_nine(tiles, (64, 64))
    assert canvas.hw == (192, 192)
    # The centre tile is drawn first; nothing may cover it.
    height, width = SIZES[0]
    np.testing.assert_array_equal(
        canvas.frame_bgr[64 : 64 + height, 64 : 64 + width], tiles[0].frame_bgr
    )
    centres = (canvas.boxes_xyxy[:, :2] + canvas.boxes_xyxy[:, 2:]) / 2 - (64, 64)
    signs = [(int(np.sign(x // 64)), int(np.sign(y // 64))) for x, y in centres[1:].tolist()]
    # top, top-right, right, bottom-right, bottom, bottom-left, left, top-left; columns may
    # reach back over the centre where a tile is narrow, so only the clear sides are compared.
    assert [y for _, y in signs[:2]] == [-1, -1]
    assert signs[2][0] >= 0
    assert [x for x, _ in signs[5:]] == [-1, -1, -1]


def test_what_a_mosaic_cuts_off_does_not_come_back_by_its_outline() -> None:
    tiles = [marked((64, 64), [(5, 5, 60, 60)], segments=True) for _ in range(4)]
    canvas = mosaic_of_four(tiles, (34, 40), (128, 128))
    small = PerspectiveDraws(0, 0, 0, 0.4, 0, 0, 0.5, 0.5)
    warped = perspective(canvas, small, (64, 64))
    assert len(warped) == 4
    for box, polygons in zip(canvas.boxes_xyxy, canvas.segments, strict=True):
        points = polygons[0]
        np.testing.assert_allclose(np.r_[points.min(axis=0), points.max(axis=0)], box)
    # The canvas covers 6.4 .. 57.6 of the output; no box may lie beside it.
    assert warped.boxes_xyxy.min() >= 6.4 - 1e-3
    assert warped.boxes_xyxy.max() <= 57.6 + 1e-3


def test_a_crop_keeps_boxes_on_their_pixels() -> None:
    sample = cropped(one_each((64, 64), 2), (10, 12), (40, 44))
    assert sample.hw == (40, 44)
    assert_on_pixels(sample)


def test_mosaic_centres_fill_the_middle_half() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([draw_centre(rng, (64, 96)) for _ in range(2000)])
    assert (centres.min(axis=0) <= (50, 34)).all()
    assert (centres.min(axis=0) >= (48, 32)).all()
    assert (centres.max(axis=0) >= (141, 93)).all()
    assert (centres.max(axis=0) < (144, 96)).all()


@pytest.mark.parametrize("mirror", [mirrored, flipped])
def test_mirroring_twice_is_nothing_and_once_keeps_boxes(mirror: type) -> None:
    sample = marked((30, 40), [(3, 5, 10, 12)], segments=True)
    once = mirror(sample)
    np.testing.assert_array_equal(once.boxes_xyxy[0], extent_of(once.frame_bgr, 200))
    points = once.segments[0][0]
    np.testing.assert_allclose(
        np.concatenate((points.min(axis=0), points.max(axis=0))), once.boxes_xyxy[0]
    )
    twice = mirror(once)
    np.testing.assert_array_equal(twice.frame_bgr, sample.frame_bgr)
    np.testing.assert_array_equal(twice.boxes_xyxy, sample.boxes_xyxy)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_yolox_mixup_puts_the_second_pictures_boxes_on_its_pixels(flip: bool, scale: float) -> None:
    first = Sample(np.zeros((60, 80, 3), np.uint8), np.zeros((0, 4)), np.zeros(0, np.int64), ())
    second = marked((30, 40), [(10, 8, 22, 20)])
    mixed = yolox_mixup(first, second, YoloxMixupDraws(scale, flip, (0.3, 0.6)))
    assert mixed.hw == (60, 80)
    # Half of 200 beside half of 0; bilinear edges are a pixel or two wide.
    found = extent_of(mixed.frame_bgr, 100, spread=40)
    np.testing.assert_allclose(mixed.boxes_xyxy[0], found, atol=1.6)


def test_yolov7_mixup_blends_by_the_share() -> None:
    first, second = marked((8, 8), [(0, 0, 4, 4)]), marked((8, 8), [(4, 4, 8, 8)])
    mixed = yolov7_mixup(first, second, 0.25)
    assert mixed.frame_bgr[0, 0, 0] == 50
    assert mixed.frame_bgr[7, 7, 0] == 150
    assert len(mixed) == 2


def test_an_affine_map_without_change_changes_nothing() -> None:
    sample = marked((32, 48), [(4, 6, 20, 18)], segments=True)
    same = affine(sample, AffineDraws(0, 1, 0, 0, 0, 0), (32, 48))
    np.testing.assert_array_equal(same.frame_bgr, sample.frame_bgr)
    np.testing.assert_allclose(same.boxes_xyxy, sample.boxes_xyxy)


def test_a_perspective_map_without_change_changes_nothing() -> None:
    sample = marked((32, 48), [(4, 6, 20, 18)])
    same = perspective(sample, PerspectiveDraws(0, 0, 0, 1, 0, 0, 0.5, 0.5), (32, 48))
    np.testing.assert_array_equal(same.frame_bgr, sample.frame_bgr)
    np.testing.assert_allclose(same.boxes_xyxy, sample.boxes_xyxy, atol=1e-9)


def test_a_turned_outline_gives_a_tighter_box_than_turned_corners() -> None:
    triangle = (np.array([(20, 10), (60, 60), (20, 60)], np.float32),)
    plain = marked((80, 80), [(20, 10, 60, 60)])
    outlined = Sample(plain.frame_bgr, plain.boxes_xyxy, plain.class_ids, (triangle,))
    draws = PerspectiveDraws(0, 0, 30, 1, 0, 0, 0.5, 0.5)
    loose = perspective(plain, draws, (80, 80)).boxes_xyxy[0]
    tight = perspective(outlined, draws, (80, 80)).boxes_xyxy[0]
    assert (tight[:2] >= loose[:2] - 1e-4).all()
    assert (tight[2:] <= loose[2:] + 1e-4).all()
    assert np.prod(tight[2:] - tight[:2]) < 0.9 * np.prod(loose[2:] - loose[:2])


def test_boxes_that_lost_too_much_are_dropped() -> None:
    before = np.array([[0, 0, 10, 10]] * 4, np.float64)
    after = np.array([[0, 0, 2, 9], [0, 0, 3, 3], [0, 0, 3.2, 3.2], [0, 0, 64, 3]], np.float64)
    assert large_enough(before, after, np.full(4, 0.1)).tolist() == [False, False, True, False]
    assert large_enough(before, after, np.full(4, 0.01)).tolist() == [False, True, True, False]


def test_pasted_objects_are_labelled_and_hide_no_other() -> None:
    target = marked((200, 200), [(90, 90, 110, 110)])
    cuts = cut_outs(marked((200, 200), [(10, 10, 90, 60), (100, 100, 160, 190)], segments=True))
    assert [cut.mask.shape for cut in cuts] == [(50, 80), (90, 60)]
    before, count = target.frame_bgr.copy(), 0
    for seed in range(8):
        pasted = pasted_in(target, cuts, np.random.default_rng(seed))
        np.testing.assert_array_equal(pasted.boxes_xyxy[0], target.boxes_xyxy[0])
        for box, class_id in zip(pasted.boxes_xyxy[1:], pasted.class_ids[1:].tolist(), strict=True):
            x1, y1, x2, y2 = box.astype(int)
            assert min(x2 - x1, y2 - y1) > 20
            region = pasted.frame_bgr[y1:y2, x1:x2, 0].astype(int)
            # Later ones may cover a part, each less than 30 %.
            assert (np.abs(region - (200 + class_id)) <= 1).mean() > 0.5
            count += 1
    assert count > 10
    np.testing.assert_array_equal(target.frame_bgr, before)


def test_objects_without_outline_are_not_pasted() -> None:
    assert cut_outs(marked((50, 50), [(5, 5, 30, 30)])) == []
    sample = marked((50, 50), [(5, 5, 30, 30)])
    assert pasted_in(sample, [], np.random.default_rng(0)) is sample


class OnePicture:
    """A source of one picture with an outlined object."""

    def __len__(self) -> int:
        return 1

    def load(self, index: int) -> Sample:
        return fitted(marked((90, 120), [(30, 20, 80, 70)], 60, segments=True), (96, 96))

    def has_objects(self, index: int) -> bool:
        return True

    def has_segments(self, index: int) -> bool:
        return True


def test_a_yolov7_sample_is_a_function_of_its_generator() -> None:
    augmentation = YoloV7Augmentation(mixup=0.5, paste_in=0.5, nine=0.5, degrees=10, shear=3)
    for seed in range(20):
        first, second = (
            augmentation.sample(OnePicture(), 0, (96, 96), np.random.default_rng(seed))
            for _ in range(2)
        )
        assert first.hw == (96, 96)
        np.testing.assert_array_equal(first.frame_bgr, second.frame_bgr)
        np.testing.assert_array_equal(first.boxes_xyxy, second.boxes_xyxy)
        if len(first):
            assert first.boxes_xyxy.min() >= 0
            assert first.boxes_xyxy.max() <= 96


def test_fitting_follows_the_smaller_ratio_and_truncates() -> None:
    sample = fitted(marked((37, 61), [(0, 0, 61, 37)]), (416, 416))
    assert sample.hw == (252, 416)
    np.testing.assert_allclose(sample.boxes_xyxy[0], (0, 0, 416, 37 * 416 / 61))
    assert blank((2, 3)).tolist() == [[[114] * 3] * 3] * 2
