"""Does an exported file detect what the PyTorch model detects? Measured on pictures."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeyolo.contract import ParityRecord
from edgeyolo.detections import Detections
from edgeyolo.evaluation.parity_tally import (
    MOST_OBJECTS,
    DenseErrors,
    ParityLimits,
    Tally,
    dense_errors,
)
from edgeyolo.families.rules import EvaluationSettings
from edgeyolo.predictor import Predictor
from edgeyolo.runtimes.session import Session
from edgeyolo.spec import ModelSpec, OutputKind, Precision
from edgeyolo.suppression import suppress

# Detections are compared from this score on: lower ones nobody looks at.
MIN_SCORE = 0.1
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
# Sums in another order round differently: of 39 files of all thirteen networks with synthetic
# weights, the worst was 4.7 times as far from PyTorch as PyTorch is from float64.
_ROUNDING = 8.0


def compare(
    reference: Predictor,
    candidate: Predictor,
    frames_bgr: Iterable[NDArray[np.uint8]],
    *,
    precision: Precision,
    image_source: str,
    exact: Callable[[], Session] | None = None,
) -> ParityRecord:
    """Run both predictors on the same frames and compare.

    Files that offer outputs before suppression are compared anchor by anchor: all of them, and
    the reference's detections at their own anchors. Of others, detections that overlap are
    compared. Crowded pictures are compared before suppression only: more than 300 objects above
    a score of 0.1 is what untrained networks see, whose saturated scores are ties. Where a file
    suppresses itself, and keeps only so many, detections about as unsure as the last one kept
    need not be found. All must be
    within :data:`LIMITS`. Where neither finds an object in any picture, the record says so.

    Args:
        reference: The PyTorch model.
        candidate: The exported file.
        frames_bgr: (H, W, 3) uint8 pictures; read one batch at a time.
        precision: Decides the limits.
        image_source: Where the pictures come from, for the record.
        exact: Makes the reference in float64; asked where an FP32 file leaves the limits. They
            are widened to eight times the reference's own rounding error in that picture, which
            exceeds them only for networks with logits that no training gives.
    """
    tally = Tally(LIMITS[precision], row_strides(candidate.model))
    judge = _Judge(reference, tally, exact)
    suppressed = candidate.output.kind is OutputKind.SUPPRESSED
    inside = candidate.thresholds
    most = min(MOST_OBJECTS, inside.max_detections) if suppressed else MOST_OBJECTS
    settings = EvaluationSettings(
        min_score=max(MIN_SCORE, inside.min_score) if suppressed else MIN_SCORE,
        score_inclusive=True,
        iou_threshold=inside.iou_threshold,
        multi_label=False,
        max_detections=most,
        clip_boxes=False,
    )
    dense = candidate.output.kind is OutputKind.DECODED
    # A file for any number of pictures is called with several: a decode that bakes the batch in
    # would show only there.
    least, most_a_call = candidate.pictures_per_call
    several = [size for size in (1, 2, 4) if most_a_call is None or least <= size <= most_a_call]
    sizes = tuple(several) or (least,)
    images = 0
    for frames in chunks(frames_bgr, sizes):
        images += len(frames)
        pixels, placements = reference.prepare(frames)
        expected = [array.copy() for array in reference.session.run(pixels)]
        batch, placements = candidate.prepare(frames)
        actual = candidate.session.run(batch)
        for index, placement in enumerate(placements):
            a = reference.finish(expected, index, placement, settings)
            b = candidate.finish(actual, index, placement, settings)
            crowded = dense and len(a) == MOST_OBJECTS
            tally.crowded += crowded
            if not crowded:
                cut = _cut(a, b, most, LIMITS[precision]) if suppressed else -np.inf
                gain = _gain(placement.scale_xy)
                tally.add_matches(a, b, gain, compare=not dense, cut=cut)
            if dense:
                picture = pixels[index : index + 1]
                judge.look(_of(expected, index), _of(actual, index), picture, settings, crowded)
    return tally.record(images=images, image_source=image_source)


_Outputs = tuple[NDArray[np.float32], NDArray[np.float32]]


class _Judge:
    """Compares decoded outputs of one picture after the other."""

    def __init__(
        self, reference: Predictor, tally: Tally, exact: Callable[[], Session] | None
    ) -> None:
        self._strides = row_strides(reference.model)
        self._tally = tally
        self._make_exact = exact
        self._exact: Session | None = None

    def look(
        self,
        expected: _Outputs,
        actual: _Outputs,
        pixels: NDArray[np.uint8],
        settings: EvaluationSettings,
        crowded: bool,
    ) -> None:
        errors = dense_errors(expected, actual, self._strides)
        slack = self._slack(errors, expected, pixels)
        self._tally.add_dense(errors, slack)
        if crowded:
            return
        found = suppress(
            *expected,
            min_score=settings.min_score,
            iou_threshold=settings.iou_threshold,
            max_detections=settings.max_detections,
        )
        scores = actual[1][found.rows, found.class_ids]
        self._tally.add_boxes(
            (found.boxes_xyxy, found.scores), (actual[0][found.rows], scores), slack
        )

    def _slack(self, errors: DenseErrors, expected: _Outputs, pixels: NDArray[np.uint8]) -> float:
        """By how much the limits of a picture are widened, at least 1."""
        limit = self._tally.limits.dense
        if self._make_exact is None or not errors.largest > limit:
            return 1.0
        self._exact = self._exact or self._make_exact()
        own = dense_errors(_of(self._exact.run(pixels), 0), expected, self._strides).largest
        return max(1.0, _ROUNDING * own / limit)


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


def _cut(a: Detections, b: Detections, most: int, limits: ParityLimits) -> float:
    """Up to which score detections may lack a match: others took the last of *most* places."""
    last = [float(found.scores[-1]) for found in (a, b) if len(found) == most]
    return max(last) + min(limits.score, 0.05) if last else -np.inf


def _of(outputs: Sequence[NDArray[np.float32]], index: int) -> _Outputs:
    """Boxes (N, 4) and scores (N, C) of one picture."""
    return outputs[0][index], outputs[1][index]


def _gain(scale_xy: tuple[float, float]) -> NDArray[np.float32]:
    """Network pixels per frame pixel, for x1 y1 x2 y2."""
    return np.asarray((*scale_xy, *scale_xy), np.float32)
