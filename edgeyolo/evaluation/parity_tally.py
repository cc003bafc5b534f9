"""Running worst cases of a comparison over pictures, and the verdict on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeyolo.contract import ParityRecord
from edgeyolo.detections import Detections
from edgeyolo.evaluation.overlap import pairwise_iou

# A picture with this many objects is crowded: which of them survive is decided by ties.
MOST_OBJECTS = 300
# Two detections are the same object if of one class and overlapping by more than this.
_SAME_IOU = 0.5


@dataclass(frozen=True, slots=True)
class ParityLimits:
    """What an exported file may differ by.

    Attributes:
        box_px: Corner difference of a detected box, in network-input pixels; boxes larger than
            1000 px may differ by that fraction of a thousandth of their size.
        score: Score difference of a detected box.
        agreement: Matched detections over all (2 m / (a + b)); not asked for where *dense* is.
        dense: Difference before suppression: of any corner relative to the box's longer side
            plus the stride of its head, and of any score.
        mean_dense: Mean of the same over all anchors; asked for where pictures are crowded or
            hold nothing that the model knows.
    """

    box_px: float
    score: float
    agreement: float
    mean_dense: float
    dense: float = np.inf


@dataclass(frozen=True, slots=True, eq=False)
class DenseErrors:
    """Differences of one picture before suppression, anchor by anchor.

    Attributes:
        boxes: (N,) largest corner difference relative to box side plus stride.
        scores: (N,) largest score difference.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]

    @property
    def largest(self) -> float:
        """NaN where any is."""
        return float(max(self.boxes.max(), self.scores.max(), key=_nan_last))


def dense_errors(
    expected: tuple[NDArray[np.float32], NDArray[np.float32]],
    actual: tuple[NDArray[np.float32], NDArray[np.float32]],
    strides: NDArray[np.float32],
) -> DenseErrors:
    """Boxes (N, 4) and scores (N, C) of one picture against those of another file."""
    (boxes_a, scores_a), (boxes_b, scores_b) = expected, actual
    # Corners are centre plus or minus half the size: their rounding grows with the box and
    # with the cell that the centre is told in, also where a corner happens to lie near 0.
    side = strides + (boxes_a[:, 2:] - boxes_a[:, :2]).max(axis=1)
    return DenseErrors(
        np.abs(boxes_a - boxes_b).max(axis=1) / side, np.abs(scores_a - scores_b).max(axis=1)
    )


class Worst:
    """The largest value of one kind, and the one that is furthest over its limit."""

    def __init__(self) -> None:
        self.largest = 0.0
        self.excess = 0.0
        self.told = ""

    def see(self, value: float, limit: float, where: str = "") -> None:
        """*limit* is that of this picture; *where* goes in front of both in the report."""
        self.largest = max(self.largest, value)
        if not value > limit:
            return
        excess = value / limit if limit > 0 else np.inf
        if not self.told or excess > self.excess:
            self.excess = excess
            self.told = f"{where}{value:.4g} (limit {limit:.4g})"


class Tally:
    """Adds up pictures."""

    def __init__(self, limits: ParityLimits, strides: NDArray[np.float32]) -> None:
        self.limits = limits
        self.strides = strides
        self.crowded = 0
        self.reference = self.matched = self.extra = 0
        self.iou_sum = 0.0
        self.box_px, self.score, self.dense = Worst(), Worst(), Worst()
        self.dense_sum = 0.0
        self.dense_count = 0
        self.widest = 1.0
        self.finite = True

    def add_matches(
        self,
        a: Detections,
        b: Detections,
        gain: NDArray[np.float32],
        *,
        compare: bool,
        cut: float = -np.inf,
    ) -> None:
        """Match detections of one picture one to one, best scores first.

        *compare* their boxes and scores, too, where anchors cannot be told; *gain* is network
        pixels per frame pixel. One with a score up to *cut* need not have a match.
        """
        self.finite &= bool(np.isfinite(b.boxes_xyxy).all() and np.isfinite(b.scores).all())
        taken, found = np.zeros(len(b), bool), np.zeros(len(a), bool)
        overlaps = iou_matrix(a.boxes_xyxy, b.boxes_xyxy)
        overlaps[a.class_ids[:, None] != b.class_ids[None, :]] = 0.0
        for row in range(len(a)):
            candidates = np.where(taken, 0.0, overlaps[row])
            best = int(candidates.argmax()) if len(b) else -1
            if best < 0 or candidates[best] <= _SAME_IOU:
                continue
            taken[best] = found[row] = True
            self.matched += 1
            self.iou_sum += float(candidates[best])
            if compare:
                pair = slice(row, row + 1), slice(best, best + 1)
                self.add_boxes(
                    (a.boxes_xyxy[pair[0]] * gain, a.scores[pair[0]]),
                    (b.boxes_xyxy[pair[1]] * gain, b.scores[pair[1]]),
                )
        self.reference += int((found | (a.scores > cut)).sum())
        self.extra += int((~taken & (b.scores > cut)).sum())

    def add_boxes(
        self,
        expected: tuple[NDArray[np.float32], NDArray[np.float32]],
        actual: tuple[NDArray[np.float32], NDArray[np.float32]],
        slack: float = 1.0,
    ) -> None:
        """Boxes (K, 4) in network pixels and scores (K,) of the same objects.

        *slack* widens the limits of this picture.
        """
        (boxes_a, scores_a), (boxes_b, scores_b) = expected, actual
        errors = np.abs(boxes_a - boxes_b).max(axis=1, initial=0.0)
        # exp() in YOLOX's decode makes the error of a huge box proportional to its size.
        sides = (boxes_a[:, 2:] - boxes_a[:, :2]).max(axis=1, initial=0.0)
        for error, side in zip(errors, sides, strict=True):
            large = max(1.0, float(side) / 1000.0)
            self.box_px.see(float(error), self.limits.box_px * slack * large)
        for error in np.abs(scores_a - scores_b):
            self.score.see(float(error), self.limits.score * slack)

    def add_dense(self, errors: DenseErrors, slack: float = 1.0) -> None:
        """Differences of one picture before suppression."""
        for name, values in (("boxes", errors.boxes), ("scores", errors.scores)):
            self.finite &= bool(np.isfinite(values).all())
            self.dense_sum += float(values.sum(dtype=np.float64))
            self.dense_count += values.size
            worst = int(values.argmax())
            head = f"{name} on the head of stride {self.strides[worst]:.0f} by "
            self.dense.see(float(values[worst]), self.limits.dense * slack, head)
        self.widest = max(self.widest, slack)

    def record(self, *, images: int, image_source: str) -> ParityRecord:
        """The verdict."""
        limits = self.limits
        total = self.reference + self.matched + self.extra
        agreement = 2.0 * self.matched / total if total else 1.0
        mean = self.dense_sum / max(self.dense_count, 1)
        problems = []
        if not self.finite:
            problems.append("the file gives NaN or infinity")
        if self.box_px.told:
            problems.append(f"boxes move by {self.box_px.told} px")
        if self.score.told:
            problems.append(f"scores change by {self.score.told}")
        if self.dense.told:
            problems.append(f"outputs before suppression change, most {self.dense.told}")
        if (self.crowded or self.found_nothing) and mean > limits.mean_dense:
            problems.append(
                f"outputs before suppression change by {mean:.3g} on average "
                f"(limit {limits.mean_dense:g})"
            )
        # Where every anchor is the same up to rounding, detections can differ only by ties in
        # suppression, which is the host's and not the file's.
        proven = self.dense_count > 0 and np.isfinite(limits.dense)
        if agreement < limits.agreement and not proven:
            problems.append(
                f"{self.matched} of {self.reference} detections found, {self.extra} others "
                f"(agreement {agreement:.3f}, limit {limits.agreement:g})"
            )
        return ParityRecord(
            passed=not problems,
            images=images,
            image_source=image_source,
            reference=self.reference,
            matched=self.matched,
            extra=self.extra,
            max_box_error_px=self.box_px.largest,
            max_score_error=self.score.largest,
            mean_iou=self.iou_sum / self.matched if self.matched else 1.0,
            max_raw_error=self.dense.largest if self.dense_count else None,
            mean_raw_error=mean if self.dense_count else None,
            note="; ".join(problems or self._remarks(mean, agreement)),
        )

    @property
    def found_nothing(self) -> bool:
        """Whether no detection was compared because there was none on either side."""
        return not (self.reference or self.extra or self.crowded)

    def _remarks(self, mean: float, agreement: float) -> list[str]:
        remarks = []
        if agreement < self.limits.agreement:
            remarks.append("other boxes survive where scores tie, but each one is the same in both")
        if self.found_nothing:
            compared = (
                f"only outputs before suppression were compared: {mean:.2g} on average"
                if self.dense_count
                else "so no detection was compared"
            )
            remarks.append(
                f"the model finds nothing in these pictures, {compared}; give pictures of its "
                "objects (--images)"
            )
        elif self.crowded:
            remarks.append(
                f"{self.crowded} pictures with {MOST_OBJECTS} objects or more were compared before "
                f"suppression only: {mean:.2g} on average"
            )
        if self.widest > 1.0:
            remarks.append(
                f"limits were {self.widest:.1f} times wider where PyTorch's own float32 is that "
                "far from float64"
            )
        return remarks


def iou_matrix(a_xyxy: NDArray[np.float32], b_xyxy: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, 4) and (M, 4) corner boxes to (N, M) intersection over union, computed in float64."""
    return pairwise_iou(a_xyxy.astype(np.float64), b_xyxy.astype(np.float64))


def _nan_last(value: np.float32) -> float:
    return np.inf if np.isnan(value) else float(value)
