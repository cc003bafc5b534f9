"""Taking over YOLOv7's weights with other classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

_HEAD = re.compile(r"^model\.(\d+)\.m\.0\.weight$")


class YoloV7Transfer:
    """See :class:`~edgeyolo.training.family_rules.Transfer`."""

    # Prediction tensors whose first (or, for .im., second) axis counts anchors times (5 + classes).
    class_tensors = re.compile(r"^model\.\d+\.(m2?\.\d+\.(weight|bias)|im\.\d+\.implicit)$")

    def aligned(
        self, source: Mapping[str, Tensor], state: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """*source* with its detection layer under the number that *state* has.

        P6 training forms have auxiliary layers in front of it, deploy forms have not.
        """
        old, new = _head_index(source), _head_index(state)
        if old is None or new is None or old == new:
            return source
        prefix = f"model.{old}."
        return {
            f"model.{new}.{name[len(prefix) :]}" if name.startswith(prefix) else name: value
            for name, value in source.items()
        }

    def copy_classes(
        self,
        given: Tensor,
        value: Tensor,
        pairs: Iterable[tuple[int, int]],
        source_classes: int,
        num_classes: int,
    ) -> None:
        """Box and objectness are everybody's."""
        axis = 1 if value.ndim == 4 and value.shape[0] == 1 and value.shape[1] > 1 else 0
        rows = value.movedim(axis, 0)
        source = given.movedim(axis, 0)
        anchors = rows.shape[0] // (5 + num_classes)
        own_rows = rows.unflatten(0, (anchors, 5 + num_classes))
        source_rows = source.unflatten(0, (anchors, 5 + source_classes))
        own_rows[:, :5] = source_rows[:, :5]
        for own, other in pairs:
            own_rows[:, 5 + own] = source_rows[:, 5 + other]


def _head_index(state: Mapping[str, Tensor]) -> str | None:
    """Number of YOLOv7's detection layer, the only one with ``m.0``."""
    for name in state:
        found = _HEAD.match(name)
        if found:
            return found[1]
    return None
