"""The budget leaves layers float until it is met, or refuses with what it found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgeyolo.calibration.budget import Kept, Score, ScoreKind, keep_within
from edgeyolo.errors import AccuracyError

LAYERS = [f"layer{index}" for index in range(20)]
FLOAT = Score(0.5, ScoreKind.AP, 100)


def keep(
    max_drop: float,
    drop_of: Callable[[int], float],
    asked: list[int] | None = None,
    order: Callable[[], list[str]] = lambda: LAYERS,
) -> Kept[int]:
    def quantize(float_layers: frozenset[str]) -> int:
        assert float_layers == set(LAYERS[: len(float_layers)])
        if asked is not None:
            asked.append(len(float_layers))
        return len(float_layers)

    return keep_within(
        max_drop=max_drop,
        float_score=FLOAT,
        order=order,
        quantize=quantize,
        measure=lambda count: Score(
            FLOAT.value - drop_of(count),
            ScoreKind.AP,
            100,
            # The machine is twice as slow for all but the first trial: only shares count.
            network_ms=(10.0 + count) * (2 if count else 1),
            float_ms=40.0 if count else 20.0,
        ),
        progress=lambda _: None,
    )


def test_nothing_stays_float_where_int8_is_within_the_budget() -> None:
    def never() -> list[str]:
        raise RuntimeError("sensitivity was measured for nothing")

    kept = keep(0.01, lambda count: 0.01, order=never)
    assert kept.chosen.float_layers == ()
    assert kept.cost_ms == 0.0


def test_a_gain_is_within_every_budget() -> None:
    assert keep(0.0, lambda count: -0.002).chosen.float_layers == ()


@pytest.mark.parametrize("needed", [1, 2, 3, 4, 7, 13, 20])
def test_about_as_few_layers_as_needed_stay_float(needed: int) -> None:
    kept = keep(0.01, lambda count: 0.005 if count >= needed else 0.02)
    count = len(kept.chosen.float_layers)
    assert needed <= count <= needed + max(1, needed // 3)
    assert kept.files == count
    assert kept.chosen.drop <= 0.01
    assert kept.cost_ms == pytest.approx(2 * count)


def test_the_first_trial_has_nothing_in_float_and_the_frontier_is_sorted() -> None:
    asked: list[int] = []
    kept = keep(0.01, lambda count: 0.03 - 0.003 * count, asked)
    assert asked[0] == 0
    counts = [len(point.float_layers) for point in kept.frontier]
    assert counts == sorted(asked)


def test_a_missed_budget_is_refused_with_the_frontier() -> None:
    with pytest.raises(AccuracyError) as refused:
        keep(0.001, lambda count: 0.03 - 0.001 * count)
    text = str(refused.value)
    assert "\n" not in text
    assert "AP may drop by 0.001 from 0.5000" in text
    assert "0 layers float: drop +0.0300, 0.50 of the float time" in text
    assert "20 layers float: drop +0.0100, 1.50 of the float time" in text
    assert "--max-drop" in text


def test_a_negative_budget_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"-0\.1"):
        keep(-0.1, lambda count: 0.0)
