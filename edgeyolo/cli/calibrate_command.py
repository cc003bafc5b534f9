"""``edgeyolo calibrate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeyolo.cli import options
from edgeyolo.cli.int8_options import ALGORITHMS, int8_options, int8_request
from edgeyolo.models.architecture import Activation
from edgeyolo.spec import Backend

if TYPE_CHECKING:
    from edgeyolo.int8_report import Int8Files


@click.command()
@click.argument("checkpoint", type=options.WeightsFile())
@click.option("--to", "backend", type=options.BackendName(), required=True, help="Runtime.")
@click.option("--compare", is_flag=True, help="Quantise with every algorithm and tabulate.")
@click.option("--input-size", type=options.InputSize(), help="Network input, height x width.")
@click.option("--names", type=options.FILE, help="Class names, where the checkpoint has none.")
@options.legacy_option
@options.activation_option
@int8_options
@options.json_option
@options.with_opencv
def command(
    *,
    checkpoint: Path,
    backend: Backend,
    compare: bool,
    input_size: tuple[int, int] | None,
    names: Path | None,
    legacy: bool,
    activation: Activation | None,
    as_json: bool,
    **int8: Any,
) -> None:
    """Report what calibration pictures show and what INT8 made with them is worth.

    Writes no artifact; results stay in the calibration cache, where export finds them.
    """
    from edgeyolo.calibration.ranges import RangeEstimator
    from edgeyolo.pipeline import try_int8

    request = int8_request(int8)
    if request is None:
        raise click.UsageError("--calibration is needed: the pictures to look at")
    tried = list(
        try_int8(
            checkpoint,
            backend,
            request,
            [RangeEstimator(name) for name in ALGORITHMS] if compare else [request.estimator],
            input_hw=input_size,
            names_file=names,
            legacy=legacy,
            activation=activation,
            progress=options.say,
        )
    )
    if as_json:
        options.print_json({"results": tried})
        return
    click.echo("\n".join(tried[0].coverage.lines()))
    if compare:
        click.echo("\n".join(_table(tried)))
    else:
        click.echo(f"{backend} INT8, algorithm {tried[0].record.algorithm}:")
        click.echo("\n".join(tried[0].lines()))
    if tried[0].sensitivity is not None:
        click.echo("\n".join(tried[0].sensitivity.lines()))


def _table(tried: Sequence[Int8Files]) -> list[str]:
    """One line per algorithm, the most accurate first."""
    first = tried[0]
    lines = [
        f"{first.score.kind} on {first.score.pictures} pictures of {first.dataset}; time of INT8 "
        f"over float on {first.device}",
        f"{'algorithm':<14}{'float':>8}{'INT8':>8}{'drop':>9}{'time':>7}",
    ]
    for one in sorted(tried, key=lambda one: -one.score.value):
        before, after = one.float_score.value, one.score.value
        share = "-"
        if one.score.network_ms is not None and one.float_ms is not None:
            share = f"{one.score.network_ms / one.float_ms:.2f}"
        lines.append(
            f"{one.record.algorithm:<14}{before:8.4f}{after:8.4f}{before - after:+9.4f}{share:>7}"
        )
    return lines
