"""What is chosen before anything is quantised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from edgeyolo.calibration.ranges import RangeEstimator


class Batches(Protocol):
    """Calibration input, read again on every iteration so that memory stays bounded."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """(1, H, W, 3) uint8 BGR letterboxed pixels, one picture at a time."""

    def sample(self, count: int) -> Batches:
        """At most *count* of them, evenly spread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Settings:
    """How a graph is quantised.

    Attributes:
        estimator: How activation ranges are found.
        float_layers: Convolutions left in float beside those that a backend always leaves, named
            as in the source ONNX graph.
    """

    estimator: RangeEstimator = RangeEstimator.MEAN_MIN_MAX
    float_layers: frozenset[str] = frozenset()
