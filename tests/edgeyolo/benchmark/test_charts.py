"""The accuracy-latency chart puts points where they belong, and their numbers apart."""

from __future__ import annotations

import re
from itertools import combinations

import pytest

from edgeyolo.benchmark.charts import Point, accuracy_chart, label_heights


def circles(chart: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', chart)]


def test_slower_is_to_the_right_and_better_is_up() -> None:
    points = [Point(1, 5.0, 30.0, True), Point(2, 10.0, 40.0, True), Point(3, 20.0, 35.0, False)]
    (x1, y1), (x2, y2), (x3, y3) = circles(accuracy_chart(points))
    assert x1 < x2 < x3
    # Twice the time is the same step everywhere: the axis is logarithmic.
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert y2 < y3 < y1
    assert accuracy_chart(points).count('class="hollow"') == 1


def test_one_artifact_alone_is_a_chart_too() -> None:
    ((x, y),) = circles(accuracy_chart([Point(1, 3.0, 100.0, True)]))
    assert 0 < x < 360
    assert 0 < y < 260


@pytest.mark.parametrize(("x", "y"), [(100.0, 130.0), (100.0, 26.0)])
def test_numbers_of_equal_points_stand_apart_inside_the_chart(x: float, y: float) -> None:
    heights = label_heights([(x, y), (x + 3, y), (x + 6, y + 1), (x, y)])
    for one, other in combinations(heights, 2):
        assert abs(one - other) >= 12
    assert all(24 < height < 222 for height in heights)
