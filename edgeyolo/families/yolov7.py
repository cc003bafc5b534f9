"""YOLOv7 on the host: preprocessing, decode and official evaluation settings.

Sources: arXiv 2207.02696 and the published behaviour of the official tools.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeyolo.families.candidates import promising_cells, stacked
from edgeyolo.families.numerics import cell_grid, corners, sigmoid
from edgeyolo.families.rules import EvaluationSettings, KnownPreprocess
from edgeyolo.spec import Alignment, ColorOrder, ModelSpec, Preprocess, Rounding


class YoloV7Rules:
    """Three anchors per cell, sizes as squared sigmoids times the anchor."""

    evaluation = EvaluationSettings(
        min_score=0.001,
        score_inclusive=False,
        iou_threshold=0.65,
        multi_label=True,
        max_detections=300,
        clip_boxes=True,
    )
    objectness_alone = True
    rectangular = True

    def preprocess(self, input_hw: tuple[int, int]) -> Preprocess:
        return Preprocess(
            input_hw=input_hw,
            color_order=ColorOrder.RGB,
            scale=1.0 / 255.0,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            alignment=Alignment.CENTER,
            rounding=Rounding.HALF_EVEN,
        )

    def legacy_preprocess(self, input_hw: tuple[int, int]) -> Preprocess | None:
        return None

    def known_preprocesses(self, input_hw: tuple[int, int]) -> tuple[KnownPreprocess, ...]:
        return (KnownPreprocess(self.preprocess(input_hw), "the official one (RGB, 0..1)"),)

    def decode(
        self,
        heads: Sequence[NDArray[np.float32]],
        spec: ModelSpec,
        *,
        activated: bool = False,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        boxes, scores = [], []
        for level, (stride, anchors_wh) in enumerate(
            zip(spec.strides, _anchors(spec), strict=True)
        ):
            count = len(anchors_wh)
            box, objectness, classes = heads[3 * level : 3 * level + 3]
            batch, height, width, _ = box.shape
            # (B, H, W, A, 4); the order of N is anchor, row, column, so A goes in front.
            place = box.reshape(batch, height, width, count, 4)
            grid_xy = cell_grid(height, width)[:, :, None, :]
            if not activated:
                objectness, classes = sigmoid(objectness), sigmoid(classes)
            objectness = objectness.reshape(batch, height, width, count, 1)
            classes = classes.reshape(batch, height, width, count, spec.num_classes)
            boxes.append(_anchor_first(_boxes(place, grid_xy, stride, anchors_wh)))
            scores.append(_anchor_first(_scores(objectness, classes)))
        return np.concatenate(boxes, axis=1), np.concatenate(scores, axis=1)

    def candidates(
        self,
        heads: Sequence[NDArray[np.float32]],
        spec: ModelSpec,
        *,
        picture: int,
        min_score: float,
        activated: bool = False,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        boxes, scores = [], []
        for level, (stride, anchors_wh) in enumerate(
            zip(spec.strides, _anchors(spec), strict=True)
        ):
            cells = promising_cells(heads, level, picture, len(anchors_wh), min_score, activated)
            if cells is not None:
                boxes.append(_boxes(cells.box, cells.grid_xy, stride, anchors_wh[cells.anchor]))
                scores.append(_scores(cells.objectness, cells.classes))
        return stacked(boxes, 4), stacked(scores, spec.num_classes)


def _anchors(spec: ModelSpec) -> list[NDArray[np.float32]]:
    """Per level (A, 2) float32 of width, height in input pixels."""
    if spec.anchors_px is None:
        raise ValueError(f"{spec.name} has no anchors; YOLOv7 heads cannot be decoded without")
    return [np.asarray(level, np.float32) for level in spec.anchors_px]


def _boxes(
    box: NDArray[np.float32],
    grid_xy: NDArray[np.float32],
    stride: int,
    anchors_wh: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Corners (..., 4) of the box logits (..., 4) of the cells at *grid_xy* (..., 2)."""
    place = sigmoid(box)
    centre_xy = (place[..., :2] * np.float32(2) - np.float32(0.5) + grid_xy) * np.float32(stride)
    return corners(centre_xy, (place[..., 2:] * np.float32(2)) ** 2 * anchors_wh)


def _scores(objectness: NDArray[np.float32], classes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores (..., C) of objectness (..., 1) and class probabilities (..., C)."""
    # With one class the official tools take the objectness as the score.
    return objectness if classes.shape[-1] == 1 else objectness * classes


def _anchor_first(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(B, H, W, A, c) to (B, A*H*W, c)."""
    batch, _, _, _, width = values.shape
    return values.transpose(0, 3, 1, 2, 4).reshape(batch, -1, width)


YOLOV7 = YoloV7Rules()
