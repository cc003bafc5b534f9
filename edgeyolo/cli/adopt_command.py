"""``edgeyolo adopt``."""

from __future__ import annotations

from pathlib import Path

import click

from edgeyolo.cli import options
from edgeyolo.spec import Family


@click.command()
@click.argument("file", type=options.FILE)
@click.option(
    "--family",
    type=click.Choice([f.value for f in Family]),
    required=True,
    help="Which detector it is; decides preprocessing and decode.",
)
@click.option(
    "--names",
    type=options.FILE,
    help="Class names: a text file, data-set YAML or COCO JSON; COCO's 80 where left out.",
)
@click.option(
    "--columns",
    type=click.Choice(["logits", "pixels"]),
    help="First four output columns: undecoded (YOLOX default) or cx cy w h pixels.",
)
@options.legacy_option
@click.option(
    "--images",
    type=options.FOLDER,
    help="Pictures to check preprocessing and boxes on; rendered scenes where left out.",
)
@click.option("--output", type=options.NEW_PATH, help="Artifact folder.")
@click.option("--force", is_flag=True, help="Write it although the check finds it implausible.")
@options.json_option
@options.with_opencv
def command(
    *,
    file: Path,
    family: str,
    names: Path | None,
    columns: str | None,
    legacy: bool,
    images: Path | None,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Turn FILE, an ONNX export of YOLOX or YOLOv7 by another tool, into an artifact.

    You say what the file itself does not: family, class names, how its output is coded. The
    result is checked on your pictures, or on rendered scenes.
    """
    from edgeyolo.adoption import adopt_file
    from edgeyolo.cli.export_command import usage

    result = adopt_file(
        file,
        Family(family),
        names_file=names,
        columns=columns,
        legacy=legacy,
        images=images,
        output=output,
        force=force,
    )
    for warning in result.warnings:
        options.say(f"warning: {warning}")
    if as_json:
        options.print_json(
            {
                "artifact": str(result.artifact.folder),
                "contract": result.artifact.contract,
                "warnings": list(result.warnings),
            }
        )
        return
    click.echo(f"wrote {result.artifact.folder}; use it like this:\n")
    click.echo(usage(result.artifact.folder))
