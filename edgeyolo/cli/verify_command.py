"""``edgeyolo verify``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from edgeyolo.cli import options
from edgeyolo.cli.export_command import parity_line
from edgeyolo.models.architecture import Activation


@click.command()
@click.argument("artifact", type=options.EXISTING)
@click.option("--against", type=options.WeightsFile(), required=True, help="The checkpoint.")
@click.option("--images", type=options.FOLDER, required=True, help="Pictures to compare on.")
@click.option("--limit", type=click.IntRange(1), help="Compare on the first so many pictures.")
@click.option(
    "--names",
    type=options.FILE,
    help="Class names of a checkpoint without them; the artifact's where left out.",
)
@options.activation_option
@options.device_option
@options.threads_option
@options.json_option
@options.with_opencv
def command(
    *,
    artifact: Path,
    against: Path,
    images: Path,
    limit: int | None,
    names: Path | None,
    activation: Activation | None,
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Compare ARTIFACT with the checkpoint it was made from, on every picture of a folder.

    Exits with 1 where they do not detect the same, or where the pictures show that the artifact
    is fed with another preprocessing than the weights were trained with.
    """
    from edgeyolo.verification import verify

    result = verify(
        artifact,
        against,
        images,
        names_file=names,
        activation=activation,
        limit=limit,
        device=device,
        threads=threads,
    )
    if as_json:
        options.print_json(
            {
                "passed": result.passed,
                "same_weights": result.same_weights,
                "parity": result.parity,
                "preprocessing": result.preprocessing,
                "warnings": list(result.warnings),
            }
        )
    else:
        click.echo(parity_line(result.parity))
        if result.preprocessing is not None:
            click.echo(f"FAILED: {result.preprocessing}")
    for warning in result.warnings:
        options.say(f"warning: {warning}")
    if not result.passed:
        sys.exit(1)
