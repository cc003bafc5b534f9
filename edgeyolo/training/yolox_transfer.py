"""Taking over YOLOX's weights with other classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor


class YoloxTransfer:
    """See :class:`~edgeyolo.training.family_rules.Transfer`."""

    # Prediction tensors whose first axis counts classes.
    class_tensors = re.compile(r"^head\.cls_preds\.\d+\.(weight|bias)$")

    def aligned(
        self, source: Mapping[str, Tensor], state: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        return source

    def copy_classes(
        self,
        given: Tensor,
        value: Tensor,
        pairs: Iterable[tuple[int, int]],
        source_classes: int,
        num_classes: int,
    ) -> None:
        for own, other in pairs:
            value[own] = given[other]
