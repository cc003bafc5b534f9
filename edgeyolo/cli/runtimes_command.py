"""``edgeyolo runtimes``."""

from __future__ import annotations

import click

from edgeyolo.cli import options


@click.command()
@options.json_option
def command(*, as_json: bool) -> None:
    """List runtimes: what is installed, on which devices, at which precisions."""
    from edgeyolo.runtimes.catalog import RUNTIMES

    reports = [runtime.report() for runtime in RUNTIMES.values()]
    if as_json:
        options.print_json({"runtimes": reports})
        return
    for report in reports:
        version = report.version or "not installed"
        precisions = ", ".join(report.precisions) or "-"
        devices = ", ".join(report.devices) or "-"
        installed = f"{report.package} {version}"
        click.echo(f"{report.backend:<10}{installed:<28}{precisions:<18}{devices}")
        if report.note:
            click.echo(f"{'':<10}{report.note}")
