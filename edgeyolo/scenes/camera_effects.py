"""What a camera does to a scene: exposure, colour cast, blur, noise, compression."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeyolo.pictures import decode_picture, encode_picture

Picture = NDArray[np.uint8]


def through_camera(rng: np.random.Generator, frame_bgr: Picture, strength: float) -> Picture:
    """*frame_bgr* as a camera would deliver it.

    Args:
        rng: Decides which effects are applied, and how much.
        frame_bgr: (H, W, 3) uint8; not changed.
        strength: 0 leaves the picture nearly as it is; 1 is a bad camera in bad light.
    """
    pixels = frame_bgr.astype(np.float32) / np.float32(255)
    exposure = 2.0 ** rng.uniform(-1.2, 0.9) if rng.random() < strength else 1.0
    cast = 1 + rng.uniform(-0.18, 0.18, 3) * strength
    pixels = np.clip(pixels * (exposure * cast).astype(np.float32), 0, 1)
    pixels **= np.float32(2.0 ** rng.uniform(-0.5, 0.5) if rng.random() < strength else 1.0)
    if rng.random() < 0.6 * strength:
        pixels = _blurred(rng, pixels, strength)
    if rng.random() < 0.8 * strength:
        noise = rng.standard_normal(pixels.shape, dtype=np.float32)
        # Shot noise grows with the square root of the light; read noise does not.
        level = np.sqrt(np.maximum(pixels, 0)) * rng.uniform(0, 0.06) + rng.uniform(0, 0.03)
        pixels = pixels + noise * level * np.float32(strength)
    frame = np.clip(pixels * 255 + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < 0.5 * strength:
        quality = int(rng.integers(30, 95))
        frame = decode_picture(encode_picture(frame, ".jpg", quality=quality), "the scene")
    return frame


def _blurred(
    rng: np.random.Generator, pixels: NDArray[np.float32], strength: float
) -> NDArray[np.float32]:
    reach = min(pixels.shape[:2]) / 320 * strength
    if rng.random() < 0.5:
        blurred = cv2.GaussianBlur(pixels, (0, 0), max(rng.uniform(0.4, 1.8) * reach, 0.3))
        return np.asarray(blurred, np.float32)
    # Motion: a line of length 2..9 px (at 320) in any direction.
    length = max(int(rng.uniform(2, 9) * reach), 2)
    kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
    angle = rng.uniform(0, np.pi)
    step = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    start, end = length - step, length + step
    cv2.line(
        kernel,
        (round(float(start[0])), round(float(start[1]))),
        (round(float(end[0])), round(float(end[1]))),
        (1.0, 1.0, 1.0),
        1,
    )
    filtered = cv2.filter2D(pixels, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
    return np.asarray(filtered, np.float32)
