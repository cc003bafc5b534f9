"""The table of published networks, and the command that prints it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from edgeyolo.cli.models_command import command
from edgeyolo.models.flops import count_gflops, count_parameters
from edgeyolo.models.table import published_network, variant_rows
from edgeyolo.models.zoo import VARIANTS


@pytest.mark.parametrize("name", VARIANTS)
def test_counts_agree_with_the_published_figures_within_one_percent(name: str) -> None:
    variant = VARIANTS[name]
    model = published_network(variant)
    gflops = count_gflops(model, variant.published_hw)
    assert gflops == pytest.approx(variant.published_gflops, rel=0.01)
    parameters_m = count_parameters(model) / 1e6
    assert parameters_m == pytest.approx(variant.published_params_m, rel=0.01)


def test_only_d6_was_published_with_what_training_alone_uses() -> None:
    rows = variant_rows()
    assert [row.name for row in rows] == list(VARIANTS)
    assert [row.name for row in rows if row.note] == ["yolov7-d6"]


def test_command_prints_every_variant_as_text_and_as_one_json_object() -> None:
    printed = CliRunner().invoke(command)
    assert printed.exit_code == 0
    assert all(name in printed.stdout for name in VARIANTS)
    printed_l = next(line for line in printed.stdout.splitlines() if line.startswith("yolox-l"))
    words = "yolox-l 640x640 54.21M 155.65 54.2M / 155.6 49.7 50.1"
    assert " ".join(printed_l.split()) == words
    models = json.loads(CliRunner().invoke(command, ["--json"]).stdout)["models"]
    assert [model["name"] for model in models] == list(VARIANTS)
    assert models[0]["parameters"] == 912_159
