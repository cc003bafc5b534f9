"""YOLOv7 on the host: preprocessing, decode and official evaluation settings.

Sources: arXiv 2207.02696 and the published behaviour of the official tools.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeyolo.families.numerics import cell_grid, corners, sigmoid
from edgeyolo.families.rules import EvaluationSettings
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

    def decode(
        self,
        heads: Sequence[NDArray[np.float32]],
        spec: ModelSpec,
        *,
        activated: bool = False,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if spec.anchors_px is None:
            raise ValueError(f"{spec.name} has no anchors; YOLOv7 heads cannot be decoded without")
        boxes, scores = [], []
        for level, stride in enumerate(spec.strides):
            anchors_wh = np.asarray(spec.anchors_px[level], np.float32)
            count = len(anchors_wh)
            box, objectness, classes = heads[3 * level : 3 * level + 3]
            batch, height, width, _ = box.shape
            # (B, H, W, A, 4); the order of N is anchor, row, column, so A goes in front.
            place = sigmoid(box).reshape(batch, height, width, count, 4)
            grid = cell_grid(height, width)[:, :, None, :]
            centre_xy = (place[..., :2] * np.float32(2) - np.float32(0.5) + grid) * np.float32(
                stride
            )
            size_wh = (place[..., 2:] * np.float32(2)) ** 2 * anchors_wh
            if not activated:
                objectness, classes = sigmoid(objectness), sigmoid(classes)
            objectness = objectness.reshape(batch, height, width, count, 1)
            classes = classes.reshape(batch, height, width, count, spec.num_classes)
            # With one class the official tools take the objectness as the score.
            score = objectness if spec.num_classes == 1 else objectness * classes
            boxes.append(_anchor_first(corners(centre_xy, size_wh)))
            scores.append(_anchor_first(score))
        return np.concatenate(boxes, axis=1), np.concatenate(scores, axis=1)


def _anchor_first(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(B, H, W, A, c) to (B, A*H*W, c)."""
    batch, _, _, _, width = values.shape
    return values.transpose(0, 3, 1, 2, 4).reshape(batch, -1, width)


YOLOV7 = YoloV7Rules()
