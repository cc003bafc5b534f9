"""Decoding raw heads on the host.

Golden numbers: YOLOX 6ddff48 and YOLOv7 a207844, recorded in ``reference/forward``.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from edgeyolo.families import FAMILIES
from edgeyolo.families.numerics import sigmoid
from edgeyolo.spec import Family, ModelSpec
from edgeyolo.suppression import suppress

COCO_LIKE = tuple(f"class {index}" for index in range(80))


def official(shared: Path, family: Family, variant: str) -> tuple[ModelSpec, list[Any], Any]:
    """Spec, raw maps and decoded rows of the case 128 x 128."""
    folder, name = shared / "reference", f"{family}_{variant}"
    model = json.loads(gzip.decompress((folder / "models" / f"{name}.json.gz").read_bytes()))
    form = model.get("training", model)
    anchors = form.get("anchors_px")
    spec = ModelSpec(
        family=family,
        variant=variant,
        class_names=COCO_LIKE,
        strides=tuple(int(stride) for stride in form["strides"]),
        anchors_px=None
        if anchors is None
        else tuple(
            tuple((w, h) for w, h in np.reshape(level, (-1, 2)).tolist()) for level in anchors
        ),
        preprocess=FAMILIES[family].preprocess((128, 128)),
    )
    stored = np.load(folder / "forward" / f"{name}.npz")
    raw = [stored[f"full/raw{level}"] for level in range(len(spec.strides))]
    return spec, raw, stored["full/decoded"]


def as_heads(raw: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Official maps (B, 5+C, H, W) or (B, A, H, W, 5+C) as box, objectness, class, NHWC."""
    heads = []
    for level in raw:
        cells = level[:, None].transpose(0, 1, 3, 4, 2) if level.ndim == 4 else level
        cells = cells.transpose(0, 2, 3, 1, 4)
        heads += [
            np.ascontiguousarray(part.reshape(*part.shape[:3], -1))
            for part in (cells[..., :4], cells[..., 4:5], cells[..., 5:])
        ]
    return heads


@pytest.mark.parametrize(
    ("family", "variant"),
    [
        (Family.YOLOX, "nano"),
        (Family.YOLOX, "s"),
        (Family.YOLOV7, "tiny"),
        (Family.YOLOV7, "l"),
        (Family.YOLOV7, "w6"),
    ],
)
def test_decoding_equals_the_official_decoding(shared: Path, family: Family, variant: str) -> None:
    spec, raw, decoded = official(shared, family, variant)
    boxes, scores = FAMILIES[family].decode(as_heads(raw), spec)
    half = decoded[..., 2:4] / 2
    expected = np.concatenate((decoded[..., :2] - half, decoded[..., :2] + half), axis=-1)
    assert_allclose(boxes, expected, rtol=2e-5, atol=2e-4)  # corners of float32 centres, sizes
    assert_allclose(scores, decoded[..., 4:5] * decoded[..., 5:], rtol=2e-5, atol=1e-7)


def toy_spec(family: Family, num_classes: int) -> ModelSpec:
    anchors = tuple(((4.0 * s, 6.0 * s), (9.0 * s, 5.0 * s)) for s in (1, 2, 4))
    return ModelSpec(
        family=family,
        variant="custom",
        class_names=COCO_LIKE[:num_classes],
        strides=(8, 16, 32),
        anchors_px=anchors if family is Family.YOLOV7 else None,
        preprocess=FAMILIES[family].preprocess((64, 96)),
    )


def toy_heads(spec: ModelSpec, seed: int, activated: bool, nchw: bool) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    anchors = 1 if spec.anchors_px is None else len(spec.anchors_px[0])
    heads = []
    for stride in spec.strides:
        for part, width in enumerate((4, 1, spec.num_classes)):
            shape = (2, 64 // stride, 96 // stride, anchors * width)
            values = rng.normal(0, 2, shape).astype(np.float32)
            if activated and part > 0:
                values = sigmoid(values)
            if nchw:  # what a transposed view of an NCHW output looks like
                values = np.ascontiguousarray(values.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
            heads.append(values)
    return heads


@given(
    family=st.sampled_from(list(Family)),
    num_classes=st.integers(2, 5) | st.just(1),
    seed=st.integers(0, 2**32 - 1),
    picture=st.integers(0, 1),
    min_score=st.sampled_from([0.0, 0.001, 0.25, 0.7, 1.0]),
    activated=st.booleans(),
    nchw=st.booleans(),
)
def test_candidates_are_the_rows_of_the_decoding_that_can_pass(
    family: Family,
    num_classes: int,
    seed: int,
    picture: int,
    min_score: float,
    activated: bool,
    nchw: bool,
) -> None:
    spec = toy_spec(family, num_classes)
    heads = toy_heads(spec, seed, activated, nchw)
    rules = FAMILIES[family]
    boxes, scores = rules.decode(heads, spec, activated=activated)
    few_boxes, few_scores = rules.candidates(
        heads, spec, picture=picture, min_score=min_score, activated=activated
    )
    assert few_boxes.dtype == few_scores.dtype == np.float32
    assert len(few_boxes) <= boxes.shape[1]
    if min_score == 0.0:
        assert_allclose(few_boxes, boxes[picture], rtol=1e-6)
        assert_allclose(few_scores, scores[picture], rtol=1e-6)
    found, expected = (
        suppress(b, s, min_score=min_score, iou_threshold=0.45, multi_label=True)
        for b, s in ((few_boxes, few_scores), (boxes[picture], scores[picture]))
    )
    assert found.class_ids.tolist() == expected.class_ids.tolist()
    assert_allclose(found.boxes_xyxy, expected.boxes_xyxy, rtol=1e-6, atol=1e-5)
    assert_allclose(found.scores, expected.scores, rtol=1e-6)


def test_extreme_logits_overflow_nothing() -> None:
    with np.errstate(all="raise", under="ignore"):
        values = sigmoid(np.array([-1e4, -88.0, 0.0, 88.0, 1e4], np.float32))
    assert values.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_yolov7_without_anchors_is_refused() -> None:
    spec = replace(toy_spec(Family.YOLOV7, 3), anchors_px=None)
    heads = toy_heads(spec, 0, activated=False, nchw=False)
    with pytest.raises(ValueError, match="no anchors"):
        FAMILIES[Family.YOLOV7].decode(heads, spec)
