"""Is a contract's preprocessing the one that the weights were trained with?

Weights of YOLOX's first release (RGB, ImageNet mean and std) and of later ones (BGR, 0..255)
look alike and have the same names; run with the other's preprocessing they see next to
nothing. A detector that is fed rightly is surer of itself, so both ways are tried on pictures
and their scores compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeyolo.families.yolox import YOLOX
from edgeyolo.frames import as_bgr
from edgeyolo.letterbox import Letterboxer, normalize
from edgeyolo.spec import Family, Layout, ModelSpec, Preprocess

# Right over wrong was 3.4 and more on the official YOLOX-Nano, old and new, over 8 real
# pictures; a factor of 1.5 in the wrong direction does not happen to weights fed rightly.
_DECISIVE = 1.5
# Below this mean there is nothing to see in the pictures, and nothing to conclude.
_LEAST_EVIDENCE = 0.02
_OBJECTS = 10

NetworkCall = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class PreprocessCheck:
    """Mean of the ten best scores a picture, under the contract's preprocessing and the other.

    Attributes:
        plausible: False where the other preprocessing is clearly the right one.
        conclusive: False where neither finds anything in these pictures.
    """

    score: float
    other_score: float
    other: str

    @property
    def conclusive(self) -> bool:
        return max(self.score, self.other_score) >= _LEAST_EVIDENCE

    @property
    def plausible(self) -> bool:
        return not self.conclusive or self.other_score < _DECISIVE * self.score

    def describe(self) -> str:
        """One line for people."""
        return (
            f"with this contract's preprocessing the ten best scores a picture average "
            f"{self.score:.3f}, with {self.other} {self.other_score:.3f}"
        )


def check_preprocess(
    spec: ModelSpec, scores_of: NetworkCall, frames_bgr: Sequence[NDArray[np.uint8]]
) -> PreprocessCheck | None:
    """Compare the contract's preprocessing with the family's other one.

    Args:
        scores_of: (1, 3, H, W) float32, preprocessed, to scores (1, N, C).
        frames_bgr: (H, W, 3) uint8 pictures of things that the classes are about.

    Returns:
        ``None`` for families with one preprocessing only.
    """
    if spec.family is not Family.YOLOX:
        return None
    usual = YOLOX.preprocess(spec.input_hw)
    legacy = YOLOX.legacy_preprocess(spec.input_hw)
    other, word = (
        (legacy, "the first release's (--legacy: RGB, ImageNet mean and std)")
        if spec.preprocess == usual
        else (usual, "today's (BGR, 0..255)")
    )
    return PreprocessCheck(
        _best_scores(spec.preprocess, scores_of, frames_bgr),
        _best_scores(other, scores_of, frames_bgr),
        word,
    )


def _best_scores(
    preprocess: Preprocess, scores_of: NetworkCall, frames_bgr: Sequence[NDArray[np.uint8]]
) -> float:
    letterboxer = Letterboxer(preprocess)
    canvas = np.empty((1, *preprocess.input_hw, 3), np.uint8)
    means = []
    for frame in frames_bgr:
        letterboxer.place(as_bgr(frame), canvas[0])
        best = scores_of(normalize(canvas, preprocess, Layout.NCHW))[0].max(axis=1)
        means.append(float(np.sort(best)[-_OBJECTS:].mean()))
    return float(np.mean(means)) if means else 0.0
