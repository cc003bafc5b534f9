"""Procedural surroundings: everything in a scene that is not to be found."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def render_background(rng: np.random.Generator, hw: tuple[int, int], distractors: int) -> Picture:
    """Sky-to-ground gradient, blocks, texture and *distractors* coloured shapes.

    Returns:
        (H, W, 3) uint8, BGR.
    """
    height, width = hw
    top, bottom = np.array(_color(rng)), np.array(_color(rng))
    ramp = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None, None]
    canvas = np.broadcast_to(top + (bottom - top) * ramp, (height, width, 3)).astype(np.uint8)
    canvas = np.ascontiguousarray(canvas)
    for _ in range(int(rng.integers(0, 12))):
        _block(rng, canvas)
    canvas = _textured(rng, canvas)
    for _ in range(distractors):
        _distractor(rng, canvas)
    return canvas


def value_noise(rng: np.random.Generator, hw: tuple[int, int]) -> NDArray[np.float32]:
    """(H, W) float32 in about -1..1: smooth random fields of four sizes summed."""
    total = np.zeros(hw, np.float32)
    for octave in range(4):
        cells = 3 * 2**octave
        grid = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
        field = cv2.resize(grid, (hw[1], hw[0]), interpolation=cv2.INTER_CUBIC)
        total += np.asarray(field, np.float32) * np.float32(0.5**octave)
    return total * np.float32(0.55)


def _textured(rng: np.random.Generator, canvas: Picture) -> Picture:
    strength = rng.uniform(5, 45)
    noise = value_noise(rng, (canvas.shape[0], canvas.shape[1]))[..., None] * strength
    tint = rng.uniform(0.6, 1.4, 3)
    return np.clip(canvas + noise * tint, 0, 255).astype(np.uint8)


def _block(rng: np.random.Generator, canvas: Picture) -> None:
    """A wall, a window grid, a road marking: straight-edged areas."""
    height, width = canvas.shape[:2]
    centre = rng.random(2) * (width, height)
    size = rng.uniform(0.05, 0.6, 2) * (width, height)
    angle = float(rng.normal(0, 8))
    corners = cv2.boxPoints(
        ((float(centre[0]), float(centre[1])), (float(size[0]), float(size[1])), angle)
    )
    color = _color(rng)
    cv2.fillPoly(canvas, [np.int32(corners)], color, cv2.LINE_AA)  # type: ignore[list-item]
    if rng.random() < 0.4:
        _stripes(rng, canvas, corners.astype(np.float64))


def _stripes(rng: np.random.Generator, canvas: Picture, corners: NDArray[np.float64]) -> None:
    color, count = _color(rng), int(rng.integers(2, 8))
    for index in range(count):
        part = (index + 0.5) / count
        start = corners[0] * (1 - part) + corners[1] * part
        end = corners[3] * (1 - part) + corners[2] * part
        thickness = int(rng.integers(1, 4))
        cv2.line(canvas, _point(start), _point(end), color, thickness, cv2.LINE_AA)


def _distractor(rng: np.random.Generator, canvas: Picture) -> None:
    """A plain shape in a sign's colours, so that neither colour nor outline alone decides."""
    height, width = canvas.shape[:2]
    centre = rng.random(2) * (width, height)
    radius = float(min(height, width)) * rng.uniform(0.02, 0.14)
    color = _color(rng)
    kind = int(rng.integers(0, 4))
    if kind == 0:
        outline = int(rng.integers(1, 6)) if rng.random() < 0.5 else cv2.FILLED
        cv2.circle(canvas, _point(centre), max(int(radius), 1), color, outline, cv2.LINE_AA)
    elif kind == 1:
        corners = int(rng.integers(3, 9))
        angles = 2 * np.pi * (np.arange(corners) / corners + rng.random())
        points = centre + radius * np.stack((np.cos(angles), np.sin(angles)), axis=1)
        cv2.fillPoly(canvas, [np.int32(points)], color, cv2.LINE_AA)  # type: ignore[list-item]
    elif kind == 2:
        end = centre + rng.normal(0, 4 * radius, 2)
        thickness = max(int(radius / 4), 1)
        cv2.line(canvas, _point(centre), _point(end), color, thickness, cv2.LINE_AA)
    else:
        text = "".join(rng.choice(list("ABCDEHKLMNRSTUXZ0123456789"), int(rng.integers(1, 6))))
        scale, thickness = radius / 18, max(int(radius / 9), 1)
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(canvas, text, _point(centre), font, scale, color, thickness, cv2.LINE_AA)


def _color(rng: np.random.Generator) -> tuple[int, int, int]:
    """Anything from grey to neon; real places are mostly greyish."""
    color = rng.uniform(0, 255, 3)
    muted = color.mean() + (color - color.mean()) * rng.uniform(0, 1)
    blue, green, red = muted.astype(int).tolist()
    return blue, green, red


def _point(xy: NDArray[np.float64]) -> tuple[int, int]:
    return round(float(xy[0])), round(float(xy[1]))
