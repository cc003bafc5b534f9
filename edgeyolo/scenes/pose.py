"""How a flat symbol stands in front of the camera."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def plane_homography(
    centre_xy: tuple[float, float],
    side_px: float,
    *,
    yaw: float,
    pitch: float,
    roll: float,
    distance: float = 3.0,
) -> Matrix:
    """The 3x3 map from texture coordinates (0..1) to pixels of the frame.

    Args:
        centre_xy: Where the middle of the symbol appears, in pixels.
        side_px: Side length of the symbol if it faced the camera, in pixels.
        yaw: Turn about the vertical axis, radians.
        pitch: Turn about the horizontal axis, radians.
        roll: Turn in the picture plane, radians.
        distance: Camera distance in symbol sides; small values exaggerate the perspective.
    """
    cos_y, sin_y = np.cos(yaw), np.sin(yaw)
    cos_p, sin_p = np.cos(pitch), np.sin(pitch)
    cos_r, sin_r = np.cos(roll), np.sin(roll)
    turn_y = np.array([(cos_y, 0, sin_y), (0, 1, 0), (-sin_y, 0, cos_y)])
    turn_p = np.array([(1, 0, 0), (0, cos_p, -sin_p), (0, sin_p, cos_p)])
    turn_r = np.array([(cos_r, -sin_r, 0), (sin_r, cos_r, 0), (0, 0, 1)])
    rotation = turn_r @ turn_p @ turn_y
    # Plane z = 0: columns 0 and 1 of the rotation, then the camera's distance.
    plane = np.column_stack((rotation[:, 0], rotation[:, 1], (0.0, 0.0, distance)))
    focal = side_px * distance
    camera = np.array([(focal, 0, centre_xy[0]), (0, focal, centre_xy[1]), (0, 0, 1)])
    to_centre = np.array([(1, 0, -0.5), (0, 1, -0.5), (0, 0, 1.0)])
    matrix: Matrix = camera @ plane @ to_centre
    return matrix


def project(matrix: Matrix, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K, 2) texture points as (K, 2) pixels."""
    mapped = np.column_stack((points, np.ones(len(points)))) @ matrix.T
    result: NDArray[np.float64] = mapped[:, :2] / mapped[:, 2:]
    return result
