"""Picks the cells of a raw head that can become detections, before anything is decoded.

A score is objectness times class probability, so a cell whose objectness is below the threshold
cannot pass. On a usual picture some hundred of 8400 cells are left, and only these are decoded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeyolo.families.numerics import sigmoid


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Cells of one level, in the order anchor, row, column.

    Attributes:
        grid_xy: (M, 2) float32, column and row.
        anchor: (M,) index of the anchor.
        box: (M, 4) logits.
        objectness: (M, 1) probability.
        classes: (M, C) probabilities.
    """

    grid_xy: NDArray[np.float32]
    anchor: NDArray[np.int64]
    box: NDArray[np.float32]
    objectness: NDArray[np.float32]
    classes: NDArray[np.float32]


def promising_cells(
    heads: Sequence[NDArray[np.float32]],
    level: int,
    picture: int,
    anchors: int,
    min_score: float,
    activated: bool,
) -> Cells | None:
    """The cells of one picture and level whose objectness is at least *min_score*, if any.

    *heads* and *activated* are as in :meth:`FamilyRules.decode`; the arrays may be views with
    any strides, so NCHW outputs are read through a transposed view without a copy.
    """
    box, objectness, classes = (head[picture] for head in heads[3 * level : 3 * level + 3])
    height, width, _ = objectness.shape
    limit = min_score if activated else _logit(min_score)
    # The order of N is anchor-first.
    found = np.flatnonzero(objectness.transpose(2, 0, 1) >= np.float32(limit))
    if not len(found):
        return None
    anchor, cell = np.divmod(found, height * width)
    row, column = np.divmod(cell, width)
    box = box.reshape(height, width, anchors, 4)[row, column, anchor]
    classes = classes.reshape(height, width, anchors, -1)[row, column, anchor]
    objectness = objectness[row, column, anchor][:, None]
    if not activated:
        objectness, classes = sigmoid(objectness), sigmoid(classes)
    grid_xy = np.stack((column, row), axis=-1).astype(np.float32)
    return Cells(grid_xy, anchor, box, objectness, classes)


def stacked(parts: list[NDArray[np.float32]], width: int) -> NDArray[np.float32]:
    """All levels one after the other, (M, width); M may be 0."""
    return np.concatenate(parts) if parts else np.zeros((0, width), np.float32)


def _logit(probability: float) -> float:
    """A logit whose sigmoid is surely below *probability* in float32."""
    if probability <= 0.0:
        return -math.inf
    bounded = min(probability, 1.0 - 1e-7)
    return math.log(bounded / (1.0 - bounded)) - 1e-3
