"""Does an exported file detect what the PyTorch model detects? Measured on pictures."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeyolo.contract import ParityRecord
from edgeyolo.detections import Detections
from edgeyolo.evaluation.overlap import pairwise_iou
from edgeyolo.families.rules import EvaluationSettings
from edgeyolo.predictor import Predictor
from edgeyolo.spec import ModelSpec, OutputKind, Precision

# Detections are compared from this score on: lower ones nobody looks at.
MIN_SCORE = 0.1
# A picture with this many objects is crowded: which of them survive is decided by ties.
_MOST_OBJECTS = 300
# Two detections are the same object if of one class and overlapping by more than this.
_SAME_IOU = 0.5


@dataclass(frozen=True, slots=True)
class ParityLimits:
    """What an exported file may differ by.

    Attributes:
        box_px: Corner difference of a matched box, in network-input pixels; boxes larger than
            1000 px may differ by that fraction of a thousandth of their size.
        score: Score difference of a matched box.
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


# FP32: rounding only. FP16: 10 bits of mantissa in weights and activations; single boxes with
# extreme aspect move most. INT8: that the file sees the same scene; its accuracy has a budget
# of its own (edgeyolo.calibration).
LIMITS: dict[Precision, ParityLimits] = {
    Precision.FP32: ParityLimits(
        box_px=0.1, score=1e-3, agreement=0.99, mean_dense=1e-3, dense=1e-3
    ),
    Precision.FP16: ParityLimits(box_px=8.0, score=0.05, agreement=0.97, mean_dense=1e-2),
    Precision.INT8: ParityLimits(box_px=np.inf, score=np.inf, agreement=0.60, mean_dense=1e-1),
}


def compare(
    reference: Predictor,
    candidate: Predictor,
    frames_bgr: Iterable[NDArray[np.uint8]],
    *,
    precision: Precision,
    image_source: str,
) -> ParityRecord:
    """Run both predictors on the same frames and compare.

    Dense outputs are compared anchor by anchor where the file offers them, and detections after
    suppression, except of crowded pictures: more than 300 objects above a score of 0.1 is what
    untrained networks see, whose saturated scores are ties. Both must be within :data:`LIMITS`.
    Where neither finds an object in any picture, the record says so.

    Args:
        reference: The PyTorch model.
        candidate: The exported file.
        frames_bgr: (H, W, 3) uint8 pictures; read one batch at a time.
        precision: Decides the limits.
        image_source: Where the pictures come from, for the record.
    """
    limits = LIMITS[precision]
    tally = _Tally(candidate.model)
    settings = EvaluationSettings(
        min_score=max(MIN_SCORE, candidate.thresholds.min_score)
        if candidate.output.kind is OutputKind.SUPPRESSED
        else MIN_SCORE,
        score_inclusive=True,
        iou_threshold=candidate.thresholds.iou_threshold,
        multi_label=False,
        max_detections=_MOST_OBJECTS,
        clip_boxes=False,
    )
    # A file for any number of pictures is called with several: a decode that bakes the batch in
    # would show only there.
    sizes = (candidate.input.batch,) if candidate.input.batch else (1, 2, 4)
    images = 0
    for frames in chunks(frames_bgr, sizes):
        images += len(frames)
        batch, placements = reference.prepare(frames)
        expected = [array.copy() for array in reference.session.run(batch)]
        batch, placements = candidate.prepare(frames)
        actual = candidate.session.run(batch)
        for index, placement in enumerate(placements):
            a = reference.finish(expected, index, placement, settings)
            b = candidate.finish(actual, index, placement, settings)
            dense = candidate.output.kind is OutputKind.DECODED
            if dense and len(a) == _MOST_OBJECTS:
                tally.crowded += 1
            else:
                tally.add(a, b, _gain(placement.scale_xy))
            if dense:
                tally.add_dense(
                    expected[0][index], expected[1][index], actual[0][index], actual[1][index]
                )
    return tally.record(limits, images=images, image_source=image_source)


def chunks(
    frames_bgr: Iterable[NDArray[np.uint8]], sizes: Sequence[int]
) -> Iterator[list[NDArray[np.uint8]]]:
    """Lists of frames whose lengths go round *sizes*; the last one may be shorter."""
    iterator = iter(frames_bgr)
    for size in itertools.cycle(sizes):
        chunk = list(itertools.islice(iterator, size))
        if not chunk:
            return
        yield chunk


def row_strides(model: ModelSpec) -> NDArray[np.float32]:
    """(N,) stride of the head level that each row of the outputs belongs to."""
    height, width = model.input_hw
    counts = [
        (1 if model.anchors_px is None else len(model.anchors_px[level]))
        * (height // stride)
        * (width // stride)
        for level, stride in enumerate(model.strides)
    ]
    return np.repeat(np.asarray(model.strides, np.float32), counts)


def _gain(scale_xy: tuple[float, float]) -> NDArray[np.float32]:
    """Network pixels per frame pixel, for x1 y1 x2 y2."""
    return np.asarray((*scale_xy, *scale_xy), np.float32)


class _Tally:
    """Running worst cases over pictures."""

    def __init__(self, model: ModelSpec) -> None:
        self.strides = row_strides(model)
        self.crowded = 0
        self.dense_sum = 0.0
        self.dense_count = 0
        self.reference = self.matched = self.extra = 0
        self.box_px = self.score = 0.0
        self.excess_px = 0.0
        self.iou_sum = 0.0
        self.dense: float | None = None
        self.dense_place = ("boxes", 0)
        self.finite = True

    def add(self, a: Detections, b: Detections, gain: NDArray[np.float32]) -> None:
        """Match detections of one picture one to one, best scores first."""
        self.finite &= bool(np.isfinite(b.boxes_xyxy).all() and np.isfinite(b.scores).all())
        taken = np.zeros(len(b), bool)
        overlaps = iou_matrix(a.boxes_xyxy, b.boxes_xyxy)
        overlaps[a.class_ids[:, None] != b.class_ids[None, :]] = 0.0
        for row in range(len(a)):
            candidates = np.where(taken, 0.0, overlaps[row])
            best = int(candidates.argmax()) if len(b) else -1
            if best < 0 or candidates[best] <= _SAME_IOU:
                continue
            taken[best] = True
            self.matched += 1
            self.iou_sum += float(candidates[best])
            self._worst(a.boxes_xyxy[row] * gain, b.boxes_xyxy[best] * gain)
            self.score = max(self.score, abs(float(a.scores[row] - b.scores[best])))
        self.reference += len(a)
        self.extra += int((~taken).sum())

    def add_dense(
        self,
        boxes_a: NDArray[np.float32],
        scores_a: NDArray[np.float32],
        boxes_b: NDArray[np.float32],
        scores_b: NDArray[np.float32],
    ) -> None:
        """Compare outputs before suppression: (N, 4) and (N, C) of one picture."""
        self.finite &= bool(np.isfinite(boxes_b).all() and np.isfinite(scores_b).all())
        # Corners are centre plus or minus half the size: their rounding grows with the box and
        # with the cell that the centre is told in, also where a corner happens to lie near 0.
        side = self.strides + (boxes_a[:, 2:] - boxes_a[:, :2]).max(axis=1)
        for name, errors in (
            ("boxes", np.abs(boxes_a - boxes_b).max(axis=1) / side),
            ("scores", np.abs(scores_a - scores_b).max(axis=1)),
        ):
            self.dense_sum += float(errors.sum(dtype=np.float64))
            self.dense_count += errors.size
            worst = int(errors.argmax())
            if self.dense is None or float(errors[worst]) > self.dense:
                self.dense = float(errors[worst])
                self.dense_place = (name, worst)

    def record(self, limits: ParityLimits, *, images: int, image_source: str) -> ParityRecord:
        total = self.reference + self.matched + self.extra
        agreement = 2.0 * self.matched / total if total else 1.0
        problems = []
        if not self.finite:
            problems.append("the file gives NaN or infinity")
        if self.excess_px > limits.box_px:
            problems.append(f"boxes move by {self.box_px:.3g} px (limit {limits.box_px:g})")
        if self.score > limits.score:
            problems.append(f"scores change by {self.score:.3g} (limit {limits.score:g})")
        if (self.dense or 0.0) > limits.dense:
            name, anchor = self.dense_place
            problems.append(
                f"{name} before suppression change by {self.dense:.3g} (limit {limits.dense:g}), "
                f"most on the head of stride {self.strides[anchor]:.0f}"
            )
        mean = self.dense_sum / max(self.dense_count, 1)
        if (self.crowded or self.found_nothing) and mean > limits.mean_dense:
            problems.append(
                f"outputs before suppression change by {mean:.3g} on average "
                f"(limit {limits.mean_dense:g})"
            )
        # Where every anchor is the same up to rounding, detections can differ only by ties in
        # suppression, which is the host's and not the file's.
        proven = self.dense is not None and np.isfinite(limits.dense)
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
            max_box_error_px=self.box_px,
            max_score_error=self.score,
            mean_iou=self.iou_sum / self.matched if self.matched else 1.0,
            max_raw_error=self.dense,
            mean_raw_error=mean if self.dense_count else None,
            note="; ".join(problems) or self._remark(mean),
        )

    @property
    def found_nothing(self) -> bool:
        """Whether no detection was compared because there was none on either side."""
        return not (self.reference or self.extra or self.crowded)

    def _remark(self, mean: float) -> str:
        if self.found_nothing:
            compared = (
                f"only outputs before suppression were compared: {mean:.2g} on average"
                if self.dense_count
                else "so no detection was compared"
            )
            return (
                f"the model finds nothing in these pictures, {compared}; give pictures of its "
                "objects (--images)"
            )
        if not self.crowded:
            return ""
        return (
            f"{self.crowded} pictures with {_MOST_OBJECTS} objects or more were compared before "
            f"suppression only: {mean:.2g} on average"
        )

    def _worst(self, box_a: NDArray[np.float32], box_b: NDArray[np.float32]) -> None:
        error = float(np.abs(box_a - box_b).max())
        # exp() in YOLOX's decode makes the error of a huge box proportional to its size.
        side = float(max(box_a[2] - box_a[0], box_a[3] - box_a[1]))
        self.box_px = max(self.box_px, error)
        self.excess_px = max(self.excess_px, error / max(1.0, side / 1000.0))


def iou_matrix(a_xyxy: NDArray[np.float32], b_xyxy: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, 4) and (M, 4) corner boxes to (N, M) intersection over union, computed in float64."""
    return pairwise_iou(a_xyxy.astype(np.float64), b_xyxy.astype(np.float64))
