"""Is a contract's preprocessing the one that the weights were trained with?

Weights of YOLOX's first release (RGB, ImageNet mean and std) and of later ones (BGR, 0..255)
look alike and have the same names. Fed the other's way, later weights see nothing, and first
ones see a fog: many half-sure objects before a noisy background. What tells is the contrast in
log-odds between the best scores of a picture and its median cell, so both ways are tried on
pictures and their contrasts compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeyolo.checkpoints.load import LoadedModel
from edgeyolo.evaluation.torch_session import TorchSession
from edgeyolo.families import FAMILIES
from edgeyolo.frames import as_bgr
from edgeyolo.letterbox import Letterboxer, normalize
from edgeyolo.spec import Layout, ModelSpec, Preprocess

# Official YOLOX-Nano, old and new, over groups of 8 pictures of val2017 and over rendered scenes:
# 12.1 to 15.4 when fed rightly, 5.1 to 9.7 when fed wrongly, never closer than 2.6.
_DECISIVE = 2.0
# Best scores below this mean: there is nothing to see in the pictures, and nothing to conclude.
_LEAST_EVIDENCE = 0.05
_OBJECTS = 10
# The difference shows on every single one.
CHECKED_PICTURES = 3

NetworkCall = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a detector sees under one preprocessing, averaged over pictures.

    Attributes:
        best_score: Mean of the ten best scores.
        contrast: Their log-odds minus those of the median cell.
    """

    best_score: float
    contrast: float


@dataclass(frozen=True, slots=True)
class PreprocessCheck:
    """The contract's preprocessing beside the family's other one.

    Attributes:
        other_name: The other one, for people.
    """

    own: Evidence
    other: Evidence
    other_name: str

    @property
    def conclusive(self) -> bool:
        """Whether there was anything to see in the pictures."""
        return max(self.own.best_score, self.other.best_score) >= _LEAST_EVIDENCE

    @property
    def plausible(self) -> bool:
        """False where the other preprocessing is clearly the right one."""
        return not self.conclusive or self.other.contrast < self.own.contrast + _DECISIVE

    def describe(self) -> str:
        """One line for people."""
        return (
            f"objects stand out from the background by {self.own.contrast:.1f} (log-odds), with "
            f"{self.other_name} by {self.other.contrast:.1f}"
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
    known = FAMILIES[spec.family].known_preprocesses(spec.input_hw)
    if len(known) == 1:
        return None
    other = next(way for way in known if way.preprocess != spec.preprocess)
    return PreprocessCheck(
        _evidence(spec.preprocess, scores_of, frames_bgr),
        _evidence(other.preprocess, scores_of, frames_bgr),
        other.words,
    )


def check_weights(
    loaded: LoadedModel, frames_bgr: Sequence[NDArray[np.uint8]]
) -> PreprocessCheck | None:
    """The same of a checkpoint, on its first few pictures.

    Returns:
        ``None`` as above, and for our own checkpoints, which say how they were trained.
    """
    if loaded.checkpoint.spec is not None:
        return None
    session = TorchSession(loaded.model, loaded.spec)
    return check_preprocess(
        loaded.spec, lambda x: session.infer(x)[1], frames_bgr[:CHECKED_PICTURES]
    )


def _evidence(
    preprocess: Preprocess, scores_of: NetworkCall, frames_bgr: Sequence[NDArray[np.uint8]]
) -> Evidence:
    letterboxer = Letterboxer(preprocess)
    canvas = np.empty((1, *preprocess.input_hw, 3), np.uint8)
    tops, contrasts = [], []
    for frame in frames_bgr:
        letterboxer.place(as_bgr(frame), canvas[0])
        best = scores_of(normalize(canvas, preprocess, Layout.NCHW))[0].max(axis=1)
        top = float(np.sort(best)[-_OBJECTS:].mean())
        tops.append(top)
        contrasts.append(_log_odds(top) - _log_odds(float(np.median(best))))
    if not tops:
        raise ValueError("no pictures to check the preprocessing on")
    return Evidence(float(np.mean(tops)), float(np.mean(contrasts)))


def _log_odds(score: float) -> float:
    bounded = min(max(score, 1e-7), 1 - 1e-7)
    return float(np.log(bounded / (1 - bounded)))
