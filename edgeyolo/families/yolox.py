"""YOLOX on the host: preprocessing, decode and official evaluation settings.

Sources: arXiv 2107.08430 and the official repository at 6ddff48.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeyolo.families.candidates import promising_cells, stacked
from edgeyolo.families.numerics import cell_grid, corners, sigmoid
from edgeyolo.families.rules import EvaluationSettings, KnownPreprocess
from edgeyolo.spec import Alignment, ColorOrder, ModelSpec, Preprocess, Rounding


class YoloxRules:
    """Anchor-free: one box per cell, size as the exponential of the logit."""

    evaluation = EvaluationSettings(
        min_score=0.001,
        score_inclusive=True,
        iou_threshold=0.65,
        multi_label=False,
        # COCO's limit. The official tool submits every detection above the threshold, of which
        # COCOeval still takes 100 of each class: official YOLOX-Nano on 198 pictures of val2017
        # has AP .2891 with the limit and .2902 without.
        max_detections=100,
        clip_boxes=False,
    )
    objectness_alone = False
    rectangular = False

    def preprocess(self, input_hw: tuple[int, int]) -> Preprocess:
        return Preprocess(
            input_hw=input_hw,
            color_order=ColorOrder.BGR,
            scale=1.0,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            alignment=Alignment.TOP_LEFT,
            rounding=Rounding.TRUNCATE,
        )

    def legacy_preprocess(self, input_hw: tuple[int, int]) -> Preprocess:
        """Preprocessing of the first release (0.1.0): RGB, /255, ImageNet mean and std."""
        return Preprocess(
            input_hw=input_hw,
            color_order=ColorOrder.RGB,
            scale=1.0 / 255.0,
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
            alignment=Alignment.TOP_LEFT,
            rounding=Rounding.TRUNCATE,
        )

    def known_preprocesses(self, input_hw: tuple[int, int]) -> tuple[KnownPreprocess, ...]:
        return (
            KnownPreprocess(self.preprocess(input_hw), "today's (BGR, 0..255)"),
            KnownPreprocess(
                self.legacy_preprocess(input_hw),
                "the first release's (--legacy: RGB, ImageNet mean and std)",
            ),
        )

    def decode(
        self,
        heads: Sequence[NDArray[np.float32]],
        spec: ModelSpec,
        *,
        activated: bool = False,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        boxes, scores = [], []
        for level, stride in enumerate(spec.strides):
            box, objectness, classes = heads[3 * level : 3 * level + 3]
            batch, height, width, _ = box.shape
            boxes.append(_boxes(box, cell_grid(height, width), stride).reshape(batch, -1, 4))
            if not activated:
                objectness, classes = sigmoid(objectness), sigmoid(classes)
            scores.append((objectness * classes).reshape(batch, -1, spec.num_classes))
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
        for level, stride in enumerate(spec.strides):
            cells = promising_cells(heads, level, picture, 1, min_score, activated)
            if cells is not None:
                boxes.append(_boxes(cells.box, cells.grid_xy, stride))
                scores.append(cells.objectness * cells.classes)
        return stacked(boxes, 4), stacked(scores, spec.num_classes)


def _boxes(
    box: NDArray[np.float32], grid_xy: NDArray[np.float32], stride: int
) -> NDArray[np.float32]:
    """Corners (..., 4) of the box logits (..., 4) of the cells at *grid_xy* (..., 2)."""
    centre_xy = (box[..., :2] + grid_xy) * np.float32(stride)
    return corners(centre_xy, np.exp(box[..., 2:]) * np.float32(stride))


YOLOX = YoloxRules()
