"""Two pictures in one: MixUp of both families, and YOLOv7's paste-in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeyolo.data.sample import Picture, Sample, blank, clipped, fitted, joined, resized


@dataclass(frozen=True, slots=True)
class YoloxMixupDraws:
    """How YOLOX lays a second picture over the first.

    Attributes:
        scale: Jitter of the second picture's size.
        flip: Whether it is mirrored.
        offset_xy: Where the crop starts, as parts 0..1 of the room there is.
    """

    scale: float
    flip: bool
    offset_xy: tuple[float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator, scale: tuple[float, float]) -> YoloxMixupDraws:
        return cls(rng.uniform(*scale), bool(rng.random() > 0.5), (rng.random(), rng.random()))


def yolox_mixup(first: Sample, second: Sample, draws: YoloxMixupDraws) -> Sample:
    """Half of each picture, all objects of both.

    *second* is letterboxed to the size of *first*, resized by the jitter, mirrored, and cropped
    or padded with black to the size of *first*.
    """
    target_hw = first.hw
    small = fitted(second, target_hw)
    padded = blank(target_hw)
    padded[: small.hw[0], : small.hw[1]] = small.frame_bgr
    jittered_hw = tuple(max(int(side * draws.scale), 1) for side in target_hw)
    height, width = jittered_hw[0], jittered_hw[1]
    jittered = small.moved(resized(padded, (height, width)), (draws.scale, draws.scale), (0.0, 0.0))
    jittered = clipped(jittered, (height, width))
    if draws.flip:
        jittered = mirrored(jittered)
    canvas = np.zeros((max(height, target_hw[0]), max(width, target_hw[1]), 3), np.uint8)
    canvas[:height, :width] = jittered.frame_bgr
    x = int(draws.offset_xy[0] * max(canvas.shape[1] - target_hw[1], 0))
    y = int(draws.offset_xy[1] * max(canvas.shape[0] - target_hw[0], 0))
    crop = np.ascontiguousarray(canvas[y : y + target_hw[0], x : x + target_hw[1]])
    over = clipped(jittered.moved(crop, (1.0, 1.0), (float(-x), float(-y))), target_hw)
    # Truncated halves, as the cast of the original does.
    mixed = ((first.frame_bgr.astype(np.uint16) + crop) // 2).astype(np.uint8)
    return joined(mixed, [first, over])


def yolov7_mixup(first: Sample, second: Sample, share: float) -> Sample:
    """*share* of the first picture, the rest of the second; all objects of both."""
    mixed = first.frame_bgr * np.float32(share) + second.frame_bgr * np.float32(1 - share)
    return joined(mixed.astype(np.uint8), [first, second])


def mirrored(sample: Sample) -> Sample:
    """Left and right exchanged."""
    width = sample.hw[1]
    boxes = sample.boxes_xyxy.copy()
    boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    mirror = np.array([-1.0, 1.0], np.float32)
    shift = np.array([width, 0.0], np.float32)
    return replace(
        sample,
        frame_bgr=np.asarray(cv2.flip(sample.frame_bgr, 1), np.uint8),
        boxes_xyxy=boxes,
        segments=tuple(
            tuple(polygon * mirror + shift for polygon in polygons) for polygons in sample.segments
        ),
    )


def flipped(sample: Sample) -> Sample:
    """Top and bottom exchanged."""
    height = sample.hw[0]
    boxes = sample.boxes_xyxy.copy()
    boxes[:, [1, 3]] = height - boxes[:, [3, 1]]
    mirror = np.array([1.0, -1.0], np.float32)
    shift = np.array([0.0, height], np.float32)
    return replace(
        sample,
        frame_bgr=np.asarray(cv2.flip(sample.frame_bgr, 0), np.uint8),
        boxes_xyxy=boxes,
        segments=tuple(
            tuple(polygon * mirror + shift for polygon in polygons) for polygons in sample.segments
        ),
    )


class CutOut(NamedTuple):
    """An object cut out along its outline: (h, w, 3) uint8, (h, w) bool, class."""

    frame_bgr: Picture
    mask: NDArray[np.bool_]
    class_id: int


# Largest sides of the pasted boxes, as parts of the picture (FACTS 9.2).
PASTE_SIDES = (0.75,) * 2 + (0.5,) * 4 + (0.25,) * 4 + (0.125,) * 4 + (0.0625,) * 6
_SKIP_PROBABILITY = 0.2
_MOST_COVERED = 0.30
_MIN_SIDE_PX = 20
_MIN_MASK_PX = 60


def cut_outs(sample: Sample) -> list[CutOut]:
    """Every object of *sample* that has segments, cut out."""
    found = []
    height, width = sample.hw
    for box, class_id, polygons in zip(
        sample.boxes_xyxy, sample.class_ids.tolist(), sample.segments, strict=True
    ):
        if not polygons:
            continue
        x1, y1 = np.floor(np.maximum(box[:2], 0)).astype(int).tolist()
        x2, y2 = np.ceil(np.minimum(box[2:], (width, height))).astype(int).tolist()
        if x2 - x1 < 2 or y2 - y1 < 2:
            continue
        mask = np.zeros((y2 - y1, x2 - x1), np.uint8)
        corner = np.array([x1, y1], np.float32)
        outlines = [np.round(polygon - corner).astype(np.int32) for polygon in polygons]
        cv2.fillPoly(mask, outlines, (1,))
        found.append(CutOut(sample.frame_bgr[y1:y2, x1:x2].copy(), mask.astype(np.bool_), class_id))
    return found


def pasted_in(sample: Sample, cuts: Sequence[CutOut], rng: np.random.Generator) -> Sample:
    """Cut-outs pasted at random places that hide no object by more than 30 %.

    Every place of ``PASTE_SIDES`` is skipped with probability 0.2; the cut-out is resized into
    the drawn box, its aspect ratio kept.
    """
    if not cuts:
        return sample
    height, width = sample.hw
    frame = sample.frame_bgr.copy()
    boxes = [sample.boxes_xyxy]
    classes = [sample.class_ids]
    segments = list(sample.segments)
    for side in PASTE_SIDES:
        room_h = int(rng.integers(1, max(int(height * side), 1) + 1))
        room_w = int(rng.integers(1, max(int(width * side), 1) + 1))
        centre = rng.random(2) * (width, height)
        cut = cuts[int(rng.integers(len(cuts)))]
        if rng.random() < _SKIP_PROBABILITY:
            continue
        ratio = min(room_h / cut.mask.shape[0], room_w / cut.mask.shape[1])
        tile_h, tile_w = int(cut.mask.shape[0] * ratio), int(cut.mask.shape[1] * ratio)
        x1 = int(np.clip(centre[0] - tile_w / 2, 0, max(width - tile_w, 0)))
        y1 = int(np.clip(centre[1] - tile_h / 2, 0, max(height - tile_h, 0)))
        if min(tile_h, tile_w) <= _MIN_SIDE_PX:
            continue
        box = np.array([x1, y1, x1 + tile_w, y1 + tile_h], np.float64)
        if (_covered(box, np.concatenate(boxes)) >= _MOST_COVERED).any():
            continue
        mask = cv2.resize(cut.mask.astype(np.uint8), (tile_w, tile_h)).astype(np.bool_)
        if mask.sum() <= _MIN_MASK_PX:
            continue
        region = frame[y1 : y1 + tile_h, x1 : x1 + tile_w]
        region[mask] = resized(cut.frame_bgr, (tile_h, tile_w))[mask]
        boxes.append(box[None])
        classes.append(np.array([cut.class_id], np.int64))
        segments.append(())
    return Sample(frame, np.concatenate(boxes), np.concatenate(classes), tuple(segments))


def _covered(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) part of each other box that *box* covers."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    part: NDArray[np.float64] = shared / np.maximum(areas, 1e-9)
    return part
