"""What values a setting may have, checked when the record of settings is made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Range:
    """The finite numbers from *low* to *high*; a pair in it that is *ordered* rises.

    Attributes:
        low: Smallest.
        high: Largest; ``None`` for any finite number.
        open_low: Whether *low* itself is too small.
        open_high: Whether *high* itself is too large.
        ordered: Whether a tuple is (smallest, largest) of something.
    """

    low: float
    high: float | None = None
    open_low: bool = False
    open_high: bool = False
    ordered: bool = False

    def __contains__(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        above = value > self.low if self.open_low else value >= self.low
        if self.high is None:
            return above
        return above and (value < self.high if self.open_high else value <= self.high)

    def __str__(self) -> str:
        if self.high is None:
            return f"finite and {'above' if self.open_low else 'at least'} {self.low:g}"
        text = (
            f"{'above ' if self.open_low else ''}{self.low:g} to "
            f"{'below ' if self.open_high else ''}{self.high:g}"
        )
        return f"{text}, the first not above the second" if self.ordered else text


PART = Range(0, 1)
NOT_NEGATIVE = Range(0)
# Room for any rate that makes sense, and none for one whose product with a batch overflows.
RATE = Range(0, 1e30)


def check_ranges(record: Any, ranges: Mapping[str, Range], prefix: str = "") -> None:
    """Raise ``ValueError`` for the first field of *record* that leaves its range.

    Args:
        record: A dataclass instance.
        ranges: By field; numbers and tuples of numbers.
        prefix: What stands before the field where it is set (``augmentation.``).
    """
    for name, allowed in ranges.items():
        value = getattr(record, name)
        values = value if isinstance(value, tuple) else (value,)
        rising = not allowed.ordered or values[0] <= values[-1]
        if not (rising and all(number in allowed for number in values)):
            shown = ",".join(f"{number:g}" for number in values)
            raise ValueError(f"{prefix}{name} must be {allowed}; got {shown}")
