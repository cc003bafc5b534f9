"""``--max-drop``: leave layers float until the accuracy is within the budget, or refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from edgeyolo.errors import AccuracyError

Files = TypeVar("Files")
# A drop of .01 that arithmetic makes .0100000001 is within .01.
_ROUNDING = 1e-9


class ScoreKind(str, Enum):
    """What a score is.

    AP: COCO average precision on labelled pictures.
    AGREEMENT: Share of detections that the float and the INT8 model have in common.
    """

    AP = "AP"
    AGREEMENT = "agreement with the float model"

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy of one model.

    Attributes:
        value: 0..1, higher is better.
        kind: What it is.
        pictures: How many it was measured on.
        network_ms: Median time of one network call, where it was measured.
        float_ms: Likewise of the float network, called in turns with it.
        ap50: AP at IoU .50, for AP.
    """

    value: float
    kind: ScoreKind
    pictures: int
    network_ms: float | None = None
    ap50: float | None = None
    float_ms: float | None = None

    @property
    def time_share(self) -> float | None:
        """Time over that of the float network; the load of the machine cancels."""
        if self.network_ms is None or not self.float_ms:
            return None
        return self.network_ms / self.float_ms


@dataclass(frozen=True, slots=True)
class FrontierPoint:
    """One trial: which layers stayed float, and what came of it."""

    float_layers: tuple[str, ...]
    score: Score
    drop: float

    def text(self) -> str:
        """``4 layers float: drop +0.0031, 0.64 of the float time``."""
        share = self.score.time_share
        time = "" if share is None else f", {share:.2f} of the float time"
        return f"{len(self.float_layers)} layers float: drop {self.drop:+.4f}{time}"


@dataclass(frozen=True, slots=True)
class Kept(Generic[Files]):
    """A model within the budget.

    Attributes:
        files: The model.
        frontier: All trials, fewest float layers first.
        chosen: The one that *files* is from.
    """

    files: Files
    frontier: tuple[FrontierPoint, ...]
    chosen: FrontierPoint

    @property
    def cost_ms(self) -> float | None:
        """What the float layers cost in time against all layers in INT8.

        Trials are minutes apart: shares of the float time are compared, not times.
        """
        first, last = self.frontier[0].score.time_share, self.chosen.score.time_share
        if first is None or last is None or self.chosen.score.float_ms is None:
            return None
        return (last - first) * self.chosen.score.float_ms


def keep_within(
    *,
    max_drop: float,
    float_score: Score,
    order: Callable[[], Sequence[str]],
    quantize: Callable[[frozenset[str]], Files],
    measure: Callable[[Files], Score],
    progress: Callable[[str], None],
) -> Kept[Files]:
    """Leave more and more layers float until the drop is within the budget.

    The number of float layers doubles until the budget is met, then is halved back towards the
    last one that missed it.

    Args:
        max_drop: Most that the score may fall below *float_score*.
        float_score: Of the float model on the same pictures.
        order: Layers, most gain per cost first; asked only when INT8 alone misses the budget.
        quantize: Makes the model with these layers left float.
        measure: Its score.
        progress: Called with one line per trial.

    Raises:
        AccuracyError: No trial is within the budget; the message has the frontier.
    """
    if max_drop < 0:
        raise ValueError(f"max_drop must not be negative, got {max_drop}")
    trials: dict[int, tuple[Files, FrontierPoint]] = {}

    def attempt(names: Sequence[str]) -> bool:
        files = quantize(frozenset(names))
        score = measure(files)
        point = FrontierPoint(tuple(names), score, float_score.value - score.value)
        trials[len(names)] = (files, point)
        progress(f"{point.text()} (budget {max_drop:g})")
        return point.drop <= max_drop + _ROUNDING

    if attempt(()):
        return _kept(trials, 0)
    layers = list(order())
    missed, count = 0, 1
    while True:
        count = min(count, len(layers))
        if count == missed:
            raise AccuracyError(_refusal(trials, max_drop, float_score))
        if attempt(layers[:count]):
            break
        missed, count = count, 2 * count
    met = count
    while met - missed > max(1, met // 4):
        middle = (met + missed) // 2
        if attempt(layers[:middle]):
            met = middle
        else:
            missed = middle
    return _kept(trials, met)


def _kept(trials: Mapping[int, tuple[Files, FrontierPoint]], count: int) -> Kept[Files]:
    files, chosen = trials[count]
    return Kept(files, tuple(trials[key][1] for key in sorted(trials)), chosen)


def _refusal(
    trials: Mapping[int, tuple[Files, FrontierPoint]], max_drop: float, float_score: Score
) -> str:
    frontier = "; ".join(trials[key][1].text() for key in sorted(trials))
    return (
        f"INT8 misses the budget: {float_score.kind} may drop by {max_drop:g} from "
        f"{float_score.value:.4f}; found {frontier}; nothing was written. Raise --max-drop, "
        "calibrate with more pictures, or use fp16"
    )
