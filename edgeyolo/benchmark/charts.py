"""Charts of the report: bars in HTML, accuracy against latency in SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from edgeyolo.benchmark.records import STAGES, ArtifactFigures

# A small view, so that its text keeps a legible size on a phone.
_WIDTH, _HEIGHT = 360, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 14, 24, 38
# Room of one number, in the units of the view.
_LABEL_WIDTH, _LABEL_HEIGHT = 14, 12
_STAGE_CLASSES = dict(zip(STAGES, ("one", "two", "three"), strict=True))
_STAGE_TEXTS = {"prepare": "letterbox", "network": "network", "finish": "decode and suppression"}


@dataclass(frozen=True, slots=True)
class Point:
    """An artifact in the accuracy-latency chart.

    Attributes:
        number: Its number in the tables.
        ap: COCO AP in percent.
        measured: False where *ap* is what the authors published for the float network.
    """

    number: int
    latency_ms: float
    ap: float
    measured: bool


def stage_bars(artifacts: Sequence[ArtifactFigures]) -> str:
    """One bar an artifact: median milliseconds of each stage, all on one scale."""
    longest_ms = max(sum(times.p50 for times in one.stages.values()) for one in artifacts)
    keys = "".join(
        f'<span class="key {name}"></span>{_STAGE_TEXTS[stage]}'
        for stage, name in _STAGE_CLASSES.items()
    )
    bars = []
    for number, figures in enumerate(artifacts, 1):
        parts = "".join(
            f'<span class="{_STAGE_CLASSES[stage]}" style="width:{_percent(times.p50, longest_ms)}"'
            f' title="{stage} {times.p50:.3f} ms"></span>'
            for stage, times in figures.stages.items()
        )
        values = " + ".join(f"{times.p50:.2f}" for times in figures.stages.values())
        bars.append(
            f'<div><span class="number">{number}</span> {escape(figures.name)} '
            f'<span class="soft">{values} ms</span><div class="bar">{parts}</div></div>'
        )
    return f'<p class="soft">{keys}</p><div class="bars">{"".join(bars)}</div>'


def accuracy_chart(points: Sequence[Point]) -> str:
    """SVG: milliseconds of the bare network (logarithmic) against AP; up and to the left is better.

    Args:
        points: At least one.
    """
    low_ms, high_ms = _time_range([point.latency_ms for point in points])
    low_ap, high_ap = _ap_range([point.ap for point in points])

    def x_of(latency_ms: float) -> float:
        share = math.log(latency_ms / low_ms) / math.log(high_ms / low_ms)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y_of(ap: float) -> float:
        return _HEIGHT - _BOTTOM - (ap - low_ap) / (high_ap - low_ap) * (_HEIGHT - _TOP - _BOTTOM)

    parts = []
    for tick in _round_times(low_ms, high_ms):
        x = x_of(tick)
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 14}" text-anchor="middle">{tick:g}</text>'
        )
    for step in range(5):
        ap = low_ap + (high_ap - low_ap) * step / 4
        y = y_of(ap)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{ap:.1f}</text>'
        )
    places = [(x_of(point.latency_ms), y_of(point.ap)) for point in points]
    for point, (x, y), label_y in zip(points, places, label_heights(places), strict=True):
        kind = "full" if point.measured else "hollow"
        parts.append(
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
            f'<text class="label" x="{x:.1f}" y="{label_y:.1f}" text-anchor="middle">'
            f"{point.number}</text>"
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text x="{middle:.1f}" y="{_HEIGHT - 6}" text-anchor="middle">'
        "bare network, ms (logarithmic)</text>"
        f'<text x="4" y="{_TOP - 12}">AP</text>'
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="accuracy against latency">{"".join(parts)}</svg>'
    )


def label_heights(places: Sequence[tuple[float, float]]) -> list[float]:
    """A base line for the number of each point, so that numbers of near points stand apart.

    Args:
        places: x and y of each point.
    """
    taken: list[tuple[float, float]] = []
    for x, y in places:
        # Above the point, higher and higher, and below it where the chart ends.
        above = [y - 8 - step * _LABEL_HEIGHT for step in range(2 * len(places))]
        below = [y + 18 + step * _LABEL_HEIGHT for step in range(2 * len(places))]
        candidates = [height for height in above if height > _TOP] + below
        free = [
            height
            for height in candidates
            if all(
                abs(x - other_x) >= _LABEL_WIDTH or abs(height - other_y) >= _LABEL_HEIGHT
                for other_x, other_y in taken
            )
        ]
        taken.append((x, free[0] if free else candidates[0]))
    return [height for _, height in taken]


def _time_range(times_ms: list[float]) -> tuple[float, float]:
    return min(times_ms) / 1.4, max(times_ms) * 1.4


def _ap_range(aps: list[float]) -> tuple[float, float]:
    margin = max(1.0, (max(aps) - min(aps)) * 0.15)
    return max(0.0, min(aps) - margin), min(100.0, max(aps) + margin)


def _round_times(low_ms: float, high_ms: float) -> list[float]:
    """1, 2, 5, 10, 20, ... within the range; more of them where it is narrow."""
    exponents = range(math.floor(math.log10(low_ms)), math.ceil(math.log10(high_ms)) + 1)
    digits = (1, 2, 5) if high_ms / low_ms > 6 else (1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    candidates = [digit * 10.0**exponent for exponent in exponents for digit in digits]
    return [tick for tick in candidates if low_ms <= tick <= high_ms]


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.2f}%"
