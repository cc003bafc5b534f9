"""The questions that every family answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgeyolo.spec import ModelSpec, Preprocess


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """How a family's official COCO numbers are made.

    Attributes:
        min_score: Candidates below are dropped.
        score_inclusive: Whether a score equal to the threshold is kept.
        iou_threshold: Suppression is per class, where IoU is greater.
        multi_label: Whether a box may carry several classes.
        max_detections: Kept per picture; ``None`` keeps all.
        clip_boxes: Whether boxes are clipped to the picture.
    """

    min_score: float
    score_inclusive: bool
    iou_threshold: float
    multi_label: bool
    max_detections: int | None
    clip_boxes: bool


@dataclass(frozen=True, slots=True)
class KnownPreprocess:
    """A preprocessing that released weights of a family were trained with.

    Attributes:
        words: What it is, for people; follows "with".
    """

    preprocess: Preprocess
    words: str


class FamilyRules(Protocol):
    """A family on the host side.

    Attributes:
        evaluation: How official COCO numbers are made.
        objectness_alone: Whether with a single class the objectness is the score; else it is
            multiplied by the class's probability as with many.
        rectangular: Whether published numbers were made on rectangular canvases.
    """

    evaluation: EvaluationSettings
    objectness_alone: bool
    rectangular: bool

    def preprocess(self, input_hw: tuple[int, int]) -> Preprocess:
        """The official preprocessing at a network input size."""

    def legacy_preprocess(self, input_hw: tuple[int, int]) -> Preprocess | None:
        """That of the family's first release; ``None`` where it never changed."""

    def known_preprocesses(self, input_hw: tuple[int, int]) -> tuple[KnownPreprocess, ...]:
        """All that released weights were trained with, the official one first."""

    def decode(
        self,
        heads: Sequence[NDArray[np.float32]],
        spec: ModelSpec,
        *,
        activated: bool = False,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Decode raw heads.

        Args:
            heads: Box, objectness, class per level, fine to coarse: (B, H, W, A*4),
                (B, H, W, A), (B, H, W, A*C); A = anchors per cell, anchor-major.
            spec: Strides, anchors, number of classes.
            activated: Whether objectness and class already went through sigmoid.

        Returns:
            boxes (B, N, 4) float32 xyxy in network-input pixels, and scores (B, N, C) with
            objectness multiplied in. Order of N: level, anchor, row, column.
        """

    def candidates(
        self,
        heads: Sequence[NDArray[np.float32]],
        spec: ModelSpec,
        *,
        picture: int,
        min_score: float,
        activated: bool = False,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Decode only what can pass *min_score*, for one picture of the batch.

        Args:
            heads: As for :meth:`decode`.
            spec: As for :meth:`decode`.
            picture: Index in the batch.
            min_score: Cells whose objectness alone is below are left out.
            activated: As for :meth:`decode`.

        Returns:
            boxes (M, 4) and scores (M, C): the rows of :meth:`decode` that are left, in order.
        """
