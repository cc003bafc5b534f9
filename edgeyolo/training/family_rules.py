"""What the trainer asks a family, beside its loss, recipe and batches."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from edgeyolo.spec import Family
from edgeyolo.training.recipe import Recipe, YoloV7Recipe, YoloxRecipe
from edgeyolo.training.yolov7_transfer import YoloV7Transfer
from edgeyolo.training.yolox_transfer import YoloxTransfer


class Transfer(Protocol):
    """How trained weights are taken over.

    Attributes:
        class_tensors: Names of the tensors that depend on the classes.
    """

    class_tensors: re.Pattern[str]

    def aligned(
        self, source: Mapping[str, Tensor], state: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """*source* under the names that *state* has."""

    def copy_classes(
        self,
        given: Tensor,
        value: Tensor,
        pairs: Iterable[tuple[int, int]],
        source_classes: int,
        num_classes: int,
    ) -> None:
        """Copy the rows of common classes, and those that are no class's, into *value*.

        Args:
            given: Tensor for *source_classes* classes.
            value: The same one for *num_classes*, written in place.
            pairs: (class id in *value*, class id in *given*).
        """


@dataclass(frozen=True, slots=True)
class TrainingRules:
    """A family as the trainer sees it.

    Attributes:
        recipe: Type of its recipes.
        fitness: COCO AP and AP50, 0..1, to what "best" means.
        transfer: How trained weights are taken over.
    """

    recipe: type[Recipe]
    fitness: Callable[[float, float], float]
    transfer: Transfer


TRAINING: Mapping[Family, TrainingRules] = {
    Family.YOLOX: TrainingRules(YoloxRecipe, lambda ap, _: ap, YoloxTransfer()),
    Family.YOLOV7: TrainingRules(
        YoloV7Recipe, lambda ap, ap50: 0.1 * ap50 + 0.9 * ap, YoloV7Transfer()
    ),
}
