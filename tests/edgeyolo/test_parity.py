"""Parity says what differs, and where."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeyolo.coco_names import COCO_CATEGORY_IDS, COCO_NAMES
from edgeyolo.contract import InputSpec, OutputSpec, ParityRecord
from edgeyolo.evaluation.parity import LIMITS, chunks, compare
from edgeyolo.evaluation.parity_tally import iou_matrix
from edgeyolo.families import FAMILIES
from edgeyolo.predictor import Predictor
from edgeyolo.spec import Family, Layout, ModelSpec, OutputKind, Precision

HW = (64, 64)
SPEC = ModelSpec(
    family=Family.YOLOX,
    variant="custom",
    class_names=("cat", "dog"),
    strides=(8, 16, 32),
    anchors_px=None,
    preprocess=FAMILIES[Family.YOLOX].preprocess(HW),
)
CELLS = 64 + 16 + 4


class Canned:
    """A session whose outputs depend on the pixels, and may be spoilt on purpose."""

    device = "CPU"

    def __init__(self, row: int = 0, box_px: float = 0.0, score: float = 0.0) -> None:
        self.change = (row, box_px, score)
        self.batches: list[int] = []

    def run(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        self.batches.append(len(batch))
        boxes = np.zeros((len(batch), CELLS, 4), np.float32)
        boxes[..., 2:] = 6.0
        boxes += np.arange(CELLS, dtype=np.float32)[None, :, None] * 7
        scores = np.zeros((len(batch), CELLS, 2), np.float32)
        scores[..., 0] = 0.5 + batch.mean(axis=(1, 2, 3))[:, None] / 1000
        row, box_px, score = self.change
        boxes[:, row] += box_px
        scores[:, row] += score
        return boxes, scores

    def close(self) -> None:
        pass


def predictor(session: Canned, batch: int | None = 1) -> Predictor:
    return Predictor(
        session,
        model=SPEC,
        input=InputSpec(
            name="images",
            layout=Layout.NHWC,
            dtype="uint8",
            preprocessed_in_graph=True,
            batch=batch,
        ),
        output=OutputSpec(kind=OutputKind.DECODED, names=("boxes", "scores")),
    )


FRAMES = [np.full((60, 50, 3), 20 * number, np.uint8) for number in range(9)]


def test_equal_outputs_pass() -> None:
    record = compare(
        predictor(Canned()),
        predictor(Canned()),
        FRAMES,
        precision=Precision.FP32,
        image_source="grey",
    )
    assert record.passed
    assert record.images == 9
    assert record.matched == record.reference == 9 * CELLS
    assert record.extra == 0
    assert record.max_raw_error == 0.0


@pytest.mark.parametrize(
    ("row", "change", "words"),
    [
        (3, {"box_px": 0.5}, ("boxes", "stride 8")),
        (70, {"box_px": 0.5}, ("boxes", "stride 16")),
        (83, {"score": 0.01}, ("scores", "stride 32")),
        (0, {"score": np.nan}, ("NaN",)),
    ],
)
def test_a_difference_is_named_with_its_head(
    row: int, change: dict[str, float], words: tuple[str, ...]
) -> None:
    record = compare(
        predictor(Canned()),
        predictor(Canned(row, **change)),
        FRAMES[:2],
        precision=Precision.FP32,
        image_source="grey",
    )
    assert not record.passed
    assert all(word in record.note for word in words)


class Tied(Canned):
    """All boxes are the same; which one survives is decided by scores a hair apart."""

    def __init__(self, best: int, box_px: float = 0.0) -> None:
        super().__init__()
        self.best, self.box_px = best, box_px

    def run(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        boxes, scores = super().run(batch)
        # Overlapping by more than half, but corners are 20 px apart.
        boxes[:] = (10, 10, 80, 80)
        boxes[:, 1::2] += np.array((0, 0, 20, 20), np.float32)
        scores[:, self.best] += 1e-5
        return boxes + np.float32(self.box_px), scores


def test_ties_in_suppression_are_not_the_files_fault() -> None:
    record = compare(
        predictor(Tied(best=4)),
        predictor(Tied(best=7)),
        FRAMES[:2],
        precision=Precision.FP32,
        image_source="grey",
    )
    assert record.passed
    assert record.max_box_error_px == 0.0
    moved = compare(
        predictor(Tied(best=4)),
        predictor(Tied(best=7, box_px=0.2)),
        FRAMES[:2],
        precision=Precision.FP32,
        image_source="grey",
    )
    assert not moved.passed
    assert "boxes move by 0.2 (limit 0.1) px" in moved.note


def test_limits_widen_with_the_rounding_of_the_reference_itself() -> None:
    def against(box_px: float, own_px: float) -> ParityRecord:
        return compare(
            predictor(Canned()),
            predictor(Canned(slice(None), box_px=box_px)),  # type: ignore[arg-type]
            FRAMES[:2],
            precision=Precision.FP32,
            image_source="grey",
            exact=lambda: Canned(slice(None), box_px=own_px),  # type: ignore[arg-type]
        )

    assert not against(0.2, own_px=0.0).passed
    rounded = against(0.2, own_px=0.1)
    assert rounded.passed
    assert "PyTorch's own float32" in rounded.note
    assert not against(2.0, own_px=0.1).passed


def test_lost_objects_fail_int8_too() -> None:
    record = compare(
        predictor(Canned()),
        predictor(Canned(slice(0, 60), score=-0.5)),  # type: ignore[arg-type]
        FRAMES[:2],
        precision=Precision.INT8,
        image_source="grey",
    )
    assert not record.passed
    assert "detections found" in record.note


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.INT8])
def test_where_nothing_is_found_outputs_before_suppression_decide(precision: Precision) -> None:
    def against(changed: Canned) -> ParityRecord:
        # Scores of 0.05 are below what counts as an object.
        reference = Canned(slice(None), score=-0.47)  # type: ignore[arg-type]
        return compare(
            predictor(reference),
            predictor(changed),
            FRAMES[:2],
            precision=precision,
            image_source="grey",
        )

    same = against(Canned(slice(None), score=-0.47))  # type: ignore[arg-type]
    assert same.passed
    assert same.reference == same.extra == 0
    assert "finds nothing in these pictures" in same.note
    broken = against(Canned(slice(None), box_px=90.0, score=-0.47))  # type: ignore[arg-type]
    assert not broken.passed
    assert "outputs before suppression change by" in broken.note


def test_a_file_for_any_number_of_pictures_is_called_with_several() -> None:
    candidate = Canned()
    compare(
        predictor(Canned(), batch=None),
        predictor(candidate, batch=None),
        FRAMES,
        precision=Precision.FP32,
        image_source="grey",
    )
    assert candidate.batches == [1, 2, 4, 1, 1]


def test_chunks_keep_every_frame_in_order() -> None:
    sizes = [len(chunk) for chunk in chunks(iter(FRAMES), (4,))]
    assert sizes == [4, 4, 1]


def test_overlap_of_boxes() -> None:
    a = np.array([[0, 0, 2, 2], [5, 5, 5, 5]], np.float32)
    b = np.array([[1, 0, 3, 2], [5, 5, 5, 5]], np.float32)
    expected = np.array([[1 / 3, 0], [0, 0]])
    np.testing.assert_allclose(iou_matrix(a, b), expected)


def test_limits_grow_with_coarser_numbers() -> None:
    fp32, fp16, int8 = (LIMITS[p] for p in (Precision.FP32, Precision.FP16, Precision.INT8))
    assert fp32.box_px < fp16.box_px < int8.box_px
    assert fp32.agreement > fp16.agreement > int8.agreement


def test_coco_category_ids_are_the_official_ones() -> None:
    assert len(COCO_CATEGORY_IDS) == len(COCO_NAMES) == 80
    official = dict(zip(COCO_NAMES, COCO_CATEGORY_IDS, strict=True))
    assert (official["person"], official["stop sign"], official["toothbrush"]) == (1, 13, 90)
