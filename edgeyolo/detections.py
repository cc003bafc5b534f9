"""What a detector found in one frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Detection(NamedTuple):
    """One object: corners in pixels of the frame, score 0..1, class."""

    box_xyxy: tuple[float, float, float, float]
    score: float
    class_id: int
    class_name: str


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Objects of one frame, highest score first.

    Attributes:
        boxes_xyxy: (N, 4) float32, x1 y1 x2 y2 in pixels of the original frame.
        scores: (N,) float32, 0..1.
        class_ids: (N,) int64, indices into *class_names*.
        class_names: Names of all classes that the model knows.
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.boxes_xyxy.shape != (count, 4) or self.class_ids.shape != (count,):
            raise ValueError(
                f"boxes {self.boxes_xyxy.shape}, scores {self.scores.shape} and class ids "
                f"{self.class_ids.shape} do not describe the same objects"
            )

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Detection]:
        for box, score, class_id in zip(
            self.boxes_xyxy.tolist(), self.scores.tolist(), self.class_ids.tolist(), strict=True
        ):
            yield Detection(
                (box[0], box[1], box[2], box[3]), score, class_id, self.class_names[class_id]
            )

    @property
    def names(self) -> list[str]:
        """Class name of every object, in order."""
        return [self.class_names[class_id] for class_id in self.class_ids.tolist()]

    def as_dicts(self) -> list[dict[str, Any]]:
        """For JSON: boxes rounded to 0.01 pixels, scores to 0.00001."""
        return [
            {
                "box_xyxy": [round(side, 2) for side in found.box_xyxy],
                "score": round(found.score, 5),
                "class_id": found.class_id,
                "class_name": found.class_name,
            }
            for found in self
        ]

    @classmethod
    def empty(cls, class_names: tuple[str, ...]) -> Detections:
        return cls(
            np.zeros((0, 4), np.float32),
            np.zeros((0,), np.float32),
            np.zeros((0,), np.int64),
            class_names,
        )
