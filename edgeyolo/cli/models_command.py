"""``edgeyolo models``."""

from __future__ import annotations

import click

from edgeyolo.cli import options


@click.command()
@options.json_option
def command(*, as_json: bool) -> None:
    """List the published networks: size, parameters, operations, accuracy.

    Parameters and operations are counted on our own networks; accuracy is what the authors
    published for COCO val2017 and test-dev.
    """
    from edgeyolo.models.table import variant_rows

    rows = variant_rows()
    if as_json:
        options.print_json({"models": rows})
        return
    click.echo(
        f"{'model':<13}{'input':>10}{'params':>10}{'GFLOPs':>9}"
        f"{'published':>18}{'AP val':>9}{'AP test':>9}"
    )
    for row in rows:
        height, width = row.input_hw
        published = f"{row.published_params_m}M / {row.published_gflops}"
        test_ap = "-" if row.published_test_ap is None else f"{row.published_test_ap:.1f}"
        mark = " *" if row.note else ""
        click.echo(
            f"{row.name:<13}{f'{height}x{width}':>10}{row.parameters / 1e6:>9.2f}M"
            f"{row.gflops:>9.2f}{published:>18}{row.published_ap:>9.1f}{test_ap:>9}{mark}"
        )
    for row in rows:
        if row.note:
            click.echo(f"* {row.name}: {row.note}")
