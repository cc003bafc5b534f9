"""``edgeyolo scenes``: render labelled scenes, or the printable sheet of their symbols."""

from __future__ import annotations

from pathlib import Path

import click

from edgeyolo.cli import options
from edgeyolo.cli.val_command import show_progress


@click.group()
def command() -> None:
    """Pictures that the package renders itself, with exactly known objects."""


@command.command()
@click.option("--count", type=click.IntRange(1), required=True, help="Number of scenes.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="First scene.")
@click.option(
    "--size", type=options.InputSize(), default="320", show_default=True, help="Height x width."
)
@click.option(
    "--difficulty",
    type=click.Choice(["easy", "normal", "hard"]),
    default="normal",
    show_default=True,
    help="How small, turned, hidden and blurred the objects are.",
)
@click.option("--output", type=options.NEW_PATH, required=True, help="Folder to write.")
@options.json_option
@options.with_opencv
def render(
    *,
    count: int,
    seed: int,
    size: tuple[int, int],
    difficulty: str,
    output: Path,
    as_json: bool,
) -> None:
    """Write a COCO data set: images/ and instances.json. The same seed gives the same scenes."""
    from edgeyolo.scenes.folder import write_scenes
    from edgeyolo.scenes.rendering import Difficulty

    objects = write_scenes(output, count, seed, size, Difficulty(difficulty), show_progress)
    if as_json:
        options.print_json({"output": str(output), "scenes": count, "objects": objects})
    else:
        click.echo(f"{output}: {count} scenes with {objects} objects")


@command.command()
@click.option("--output", type=options.NEW_PATH, required=True, help="A .png file.")
@options.json_option
@options.with_opencv
def sheet(*, output: Path, as_json: bool) -> None:
    """Write an A4 page with all symbols: print it and hold it in front of a camera."""
    from edgeyolo.scenes.sheet import write_sheet

    write_sheet(output)
    if as_json:
        options.print_json({"output": str(output)})
    else:
        click.echo(f"{output}: print at 150 dpi on A4")
