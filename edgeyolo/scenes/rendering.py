"""``render_scene``: a picture of symbols in a procedural place, with exact boxes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeyolo.scenes.backgrounds import render_background, value_noise
from edgeyolo.scenes.camera_effects import through_camera
from edgeyolo.scenes.pose import plane_homography, project
from edgeyolo.scenes.symbols import SCENE_CLASSES, draw_symbol

Picture = NDArray[np.uint8]


class Difficulty(str, Enum):
    """How hard a scene is; each has its settings in ``SETTINGS``."""

    EASY = "easy"
    NORMAL = "normal"
    HARD = "hard"


@dataclass(frozen=True, slots=True)
class SceneSettings:
    """The ranges that a scene is drawn from.

    Attributes:
        most_objects: Objects in a scene, 1 to this many (none in one scene of 20).
        sides: Smallest and largest symbol side, as parts of the frame's shorter side.
        tilt: Largest yaw and pitch, radians.
        roll: Largest turn in the picture plane, radians.
        occlusion: Probability that something covers part of an object.
        distractors: Most plain shapes in the background.
        camera: Strength of the camera's faults, 0..1.
    """

    most_objects: int
    sides: tuple[float, float]
    tilt: float
    roll: float
    occlusion: float
    distractors: int
    camera: float


SETTINGS = {
    Difficulty.EASY: SceneSettings(3, (0.20, 0.50), 0.35, 0.10, 0.0, 3, 0.3),
    Difficulty.NORMAL: SceneSettings(6, (0.08, 0.50), 0.75, 0.30, 0.25, 10, 0.7),
    Difficulty.HARD: SceneSettings(9, (0.05, 0.40), 0.95, 0.45, 0.50, 16, 1.0),
}
# An object of which less remains visible is neither labelled nor drawn.
MIN_VISIBLE = 0.45
MIN_BOX_SIDE_PX = 4.0


class Scene(NamedTuple):
    """A rendered picture and what is in it.

    Attributes:
        frame_bgr: (H, W, 3) uint8.
        boxes_xyxy: (N, 4) float32, visible extent of each symbol in pixels, x1 y1 x2 y2.
        class_ids: (N,) int64, indices into ``SCENE_CLASSES``.
    """

    frame_bgr: Picture
    boxes_xyxy: NDArray[np.float32]
    class_ids: NDArray[np.int64]


class _Placed(NamedTuple):
    class_id: int
    mask: NDArray[np.bool_]
    extent_xyxy: NDArray[np.float64]


def render_scene(
    seed: int, hw: tuple[int, int], difficulty: Difficulty = Difficulty.NORMAL
) -> Scene:
    """Scene number *seed*: the same seed gives the same picture.

    Args:
        seed: Any number from 0.
        hw: Height and width of the frame, at least 32 pixels each.
        difficulty: Ranges of size, tilt, occlusion and camera faults.
    """
    if min(hw) < 32:
        raise ValueError(f"a scene needs at least 32x32 pixels, got {hw[1]}x{hw[0]}")
    settings = SETTINGS[difficulty]
    rng = np.random.default_rng((seed, list(Difficulty).index(difficulty)))
    canvas = render_background(rng, hw, int(rng.integers(0, settings.distractors + 1)))
    count = 0 if rng.random() < 0.05 else int(rng.integers(1, settings.most_objects + 1))
    placed: list[_Placed] = []
    taken = np.zeros(hw, np.bool_)
    for _ in range(count):
        found = _place(rng, canvas, settings, taken)
        if found is not None:
            placed.append(found)
    objects = _occlude(rng, canvas, placed, settings.occlusion)
    frame = through_camera(rng, canvas, settings.camera)
    boxes = np.array([box for _, box in objects], np.float32).reshape(-1, 4)
    return Scene(frame, boxes, np.array([class_id for class_id, _ in objects], np.int64))


def _place(
    rng: np.random.Generator,
    canvas: Picture,
    settings: SceneSettings,
    taken: NDArray[np.bool_],
) -> _Placed | None:
    """Draw one symbol where it covers no other, or give up after some tries."""
    height, width = taken.shape
    class_id = int(rng.integers(len(SCENE_CLASSES)))
    smallest, largest = settings.sides
    # Log-uniform: as many symbols of 20-40 pixels as of 40-80.
    side = min(height, width) * float(np.exp(rng.uniform(np.log(smallest), np.log(largest))))
    for _ in range(8):
        centre = (rng.uniform(0.02, 0.98) * width, rng.uniform(0.02, 0.98) * height)
        matrix = plane_homography(
            centre,
            side,
            yaw=rng.uniform(-settings.tilt, settings.tilt),
            pitch=rng.uniform(-settings.tilt, settings.tilt) * 0.6,
            roll=rng.uniform(-settings.roll, settings.roll),
            distance=rng.uniform(1.8, 5.0),
        )
        texture_side = int(np.clip(2 * side, 24, 512))
        symbol = draw_symbol(class_id, texture_side)
        outline = project(matrix, symbol.outline)
        extent = _clipped(np.concatenate((outline.min(axis=0), outline.max(axis=0))), taken.shape)
        inside = _area(extent) / _area(np.concatenate((outline.min(0), outline.max(0))))
        if inside < MIN_VISIBLE or min(extent[2:] - extent[:2]) < MIN_BOX_SIDE_PX:
            continue
        x1, y1 = np.floor(extent[:2]).astype(int)
        x2, y2 = np.ceil(extent[2:]).astype(int)
        region = np.s_[y1:y2, x1:x2]
        if taken[region].mean() > 0.02:
            continue
        color, alpha = _warp(symbol.texture_bgr, symbol.alpha, matrix, (x1, y1), (y2 - y1, x2 - x1))
        canvas[region] = _blend(canvas[region], _lit(rng, color), alpha)
        mask = np.zeros(taken.shape, np.bool_)
        mask[region] = alpha >= 0.5
        taken[region] |= alpha > 0.1
        return _Placed(class_id, mask, extent)
    return None


def _warp(
    texture: Picture,
    alpha: Picture,
    matrix: NDArray[np.float64],
    origin_xy: tuple[int, int],
    hw: tuple[int, int],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Colour and alpha (0..1) of the symbol within a region, averaged from twice the size."""
    side = texture.shape[0]
    unit = np.diag((1 / side, 1 / side, 1.0))
    # OpenCV's pixel i has its middle at i; ours at i + 0.5.
    half_in = np.array([(1, 0, 0.5), (0, 1, 0.5), (0, 0, 1.0)])
    half_out = np.array([(1, 0, -0.5), (0, 1, -0.5), (0, 0, 1.0)])
    zoom = np.array([(2, 0, -2.0 * origin_xy[0]), (0, 2, -2.0 * origin_xy[1]), (0, 0, 1.0)])
    total = half_out @ zoom @ matrix @ unit @ half_in
    size = (2 * hw[1], 2 * hw[0])
    color = cv2.warpPerspective(
        texture, total, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    mask = cv2.warpPerspective(alpha, total, size, flags=cv2.INTER_LINEAR)
    shrink = (hw[1], hw[0])
    color = cv2.resize(color.astype(np.float32), shrink, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(mask.astype(np.float32), shrink, interpolation=cv2.INTER_AREA)
    return np.asarray(color, np.float32), np.asarray(mask, np.float32) / np.float32(255)


def _lit(rng: np.random.Generator, color: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fading, shade and dirt on the symbol."""
    grey = color.mean(axis=2, keepdims=True)
    faded = color + (grey - color) * rng.uniform(0.0, 0.35)
    shade = rng.uniform(0.55, 1.1) * (
        1 + rng.uniform(0, 0.2) * value_noise(rng, (color.shape[0], color.shape[1]))
    )
    lit: NDArray[np.float32] = (faded * shade[..., None]).astype(np.float32)
    return lit


def _blend(under: Picture, color: NDArray[np.float32], alpha: NDArray[np.float32]) -> Picture:
    mixed = under + (color - under) * alpha[..., None]
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def _occlude(
    rng: np.random.Generator,
    canvas: Picture,
    placed: list[_Placed],
    probability: float,
) -> list[tuple[int, NDArray[np.float64]]]:
    """Cover parts of some objects; class and visible box of each."""
    objects = []
    for item in placed:
        if rng.random() >= probability:
            objects.append((item.class_id, item.extent_xyxy))
            continue
        cover = _cover(rng, item)
        visible = item.mask & ~cover
        if visible.sum() < MIN_VISIBLE * item.mask.sum():
            # Too much would be hidden: leave the object alone rather than unlabelled.
            objects.append((item.class_id, item.extent_xyxy))
            continue
        shade = rng.integers(0, 256, 3) + 20 * value_noise(rng, cover.shape)[..., None]
        canvas[cover] = np.clip(shade[cover], 0, 255).astype(np.uint8)
        rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
        pixels = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
        # Sides that stay visible keep their exact place; covered ones are where the pixels end.
        box = np.where(np.abs(pixels - item.extent_xyxy) <= 1.0, item.extent_xyxy, pixels)
        objects.append((item.class_id, box))
    return [
        (class_id, box) for class_id, box in objects if min(box[2:] - box[:2]) >= MIN_BOX_SIDE_PX
    ]


def _cover(rng: np.random.Generator, item: _Placed) -> NDArray[np.bool_]:
    """A post, a branch or a leaf in front of the object, within its own region."""
    x1, y1, x2, y2 = item.extent_xyxy
    size = np.array([x2 - x1, y2 - y1])
    canvas = np.zeros(item.mask.shape, np.uint8)
    middle = np.array([x1, y1]) + rng.random(2) * size
    if rng.random() < 0.5:
        angle = rng.uniform(0, np.pi)
        reach = np.array([np.cos(angle), np.sin(angle)]) * size.max()
        start, end = middle - reach, middle + reach
        thickness = max(int(size.min() * rng.uniform(0.06, 0.25)), 1)
        cv2.line(canvas, _point(start), _point(end), (1, 1, 1), thickness)
    else:
        radius = size * rng.uniform(0.15, 0.45, 2)
        axes = (max(int(radius[0]), 1), max(int(radius[1]), 1))
        cv2.ellipse(canvas, _point(middle), axes, rng.uniform(0, 180), 0, 360, (1, 1, 1), -1)
    covered = canvas.astype(np.bool_)
    # Nothing beside this object is covered, so that the other boxes stay exact.
    grown = cv2.dilate(item.mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.bool_)
    result: NDArray[np.bool_] = covered & grown
    return result


def _clipped(box: NDArray[np.float64], hw: tuple[int, ...]) -> NDArray[np.float64]:
    limit = np.array([hw[1], hw[0], hw[1], hw[0]], np.float64)
    return np.clip(box, 0.0, limit)


def _area(box: NDArray[np.float64]) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _point(xy: NDArray[np.float64]) -> tuple[int, int]:
    return round(float(xy[0])), round(float(xy[1]))
