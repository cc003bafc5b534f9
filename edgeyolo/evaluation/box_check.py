"""Are the box columns of a foreign file coded as its contract says?

Decoded columns are pixels: the centres of a picture's boxes spread over it, each near its own
cell. Undecoded ones are offsets from the cell: the same everywhere. That shows in every picture,
with nothing in it to recognise, so medians over all boxes tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeyolo.families.numerics import cell_grid
from edgeyolo.frames import as_bgr
from edgeyolo.letterbox import Letterboxer, normalize
from edgeyolo.spec import Layout, ModelSpec

# Official YOLOX-Nano, synthetic and initial weights of both families, 64x96 and 416x416: decoded
# columns move by .98 to 1.02, undecoded ones by less than .0005.
_BETWEEN = 0.5
# The difference shows on every single one.
_CHECKED_PICTURES = 3

NetworkCall = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class CentreEvidence:
    """Where the first two columns lie, averaged over pictures and both axes.

    Attributes:
        drift: How far they move, in their own unit, for each pixel that their cell moves; NaN
            where one of them is no number.
        spread: Their interquartile range beside that of the cells; the order of boxes, which
            drift stands on and pixels do not need, is nothing to it.
    """

    drift: float
    spread: float

    @property
    def finite(self) -> bool:
        return math.isfinite(self.drift) and math.isfinite(self.spread)

    @property
    def may_be_pixels(self) -> bool:
        return max(self.drift, self.spread) >= _BETWEEN

    @property
    def may_be_offsets(self) -> bool:
        return self.drift < _BETWEEN

    def describe(self) -> str:
        """One line for people."""
        return (
            f"the first two columns move by {self.drift:.2f} for each pixel that their cell moves "
            "(pixels: about 1, undecoded columns: about 0)"
        )


def centre_evidence(
    spec: ModelSpec, centres_of: NetworkCall, frames_bgr: Sequence[NDArray[np.uint8]]
) -> CentreEvidence:
    """Compare box centres with their cells.

    Args:
        centres_of: (1, 3, H, W) float32, preprocessed, to the first two columns (1, N, 2).
        frames_bgr: (H, W, 3) uint8 pictures of anything.
    """
    cells_px = _cells_px(spec)
    letterboxer = Letterboxer(spec.preprocess)
    canvas = np.empty((1, *spec.input_hw, 3), np.uint8)
    drifts, spreads = [], []
    for frame in frames_bgr[:_CHECKED_PICTURES]:
        letterboxer.place(as_bgr(frame), canvas[0])
        centres = centres_of(normalize(canvas, spec.preprocess, Layout.NCHW))[0]
        if not np.isfinite(centres).all():
            return CentreEvidence(math.nan, math.nan)
        for axis in (0, 1):
            drifts.append(_drift(centres[:, axis], cells_px[:, axis]))
            spreads.append(_range(centres[:, axis]) / _range(cells_px[:, axis]))
    return CentreEvidence(float(np.mean(drifts)), float(np.mean(spreads)))


def _drift(centres: NDArray[np.float32], cells_px: NDArray[np.float32]) -> float:
    """Difference of medians of both halves of the canvas: no outlier moves it."""
    far = cells_px >= np.median(cells_px)
    moved = np.median(centres[far]) - np.median(centres[~far])
    return float(moved / (np.median(cells_px[far]) - np.median(cells_px[~far])))


def _range(values: NDArray[np.float32]) -> float:
    low, high = np.percentile(values, (25, 75))
    return float(high - low)


def _cells_px(spec: ModelSpec) -> NDArray[np.float32]:
    """(N, 2) x and y of the cell of each box, level by level, anchor by anchor."""
    anchors = 1 if spec.anchors_px is None else len(spec.anchors_px[0])
    height, width = spec.input_hw
    levels = [
        np.tile(cell_grid(height // stride, width // stride).reshape(-1, 2) * stride, (anchors, 1))
        for stride in spec.strides
    ]
    return np.concatenate(levels).astype(np.float32)
