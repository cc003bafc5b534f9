"""The public table agrees with the zoo, which needs torch."""

from __future__ import annotations

from edgeyolo.benchmark.published import PUBLISHED
from edgeyolo.models.zoo import VARIANTS


def test_published_figures_are_those_of_the_zoo() -> None:
    for model in PUBLISHED:
        variant = VARIANTS[model.name]
        assert variant.published_hw == (model.side, model.side)
        assert variant.published_ap == model.ap
        assert variant.published_params_m == model.params_m
        assert variant.published_gflops == model.gflops


def test_all_networks_up_to_640_pixels_are_in_the_table() -> None:
    small = [name for name, variant in VARIANTS.items() if max(variant.input_hw) <= 640]
    assert [model.name for model in PUBLISHED] == small
