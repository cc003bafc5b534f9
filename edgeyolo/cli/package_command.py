"""``edgeyolo package``."""

from __future__ import annotations

from pathlib import Path

import click

from edgeyolo.cli import options


@click.command()
@click.argument("artifact", type=options.EXISTING)
@click.option("--output", type=options.NEW_PATH, help="Folder or zip. [default: NAME-LAYOUT]")
@click.option(
    "--layout",
    type=click.Choice(["plain", "triton", "ovms"]),
    default="plain",
    show_default=True,
    help="For a device, NVIDIA Triton, or OpenVINO Model Server.",
)
@click.option("--zip", "zipped", is_flag=True, help="One zip file instead of a folder.")
@options.json_option
def command(
    *, artifact: Path, output: Path | None, layout: str, zipped: bool, as_json: bool
) -> None:
    """Pack ARTIFACT for a device or an inference server.

    The plain package has the artifact, a requirements file and run.py for a camera or a folder.
    """
    from edgeyolo.packaging import PackageLayout, package
    from edgeyolo.packaging.package import model_name

    if output is None:
        output = Path(f"{model_name(artifact)}-{layout}{'.zip' if zipped else ''}")
    package(artifact, output, layout=PackageLayout(layout), zipped=zipped)
    if as_json:
        options.print_json({"artifact": str(artifact), "layout": layout, "package": str(output)})
    else:
        click.echo(output)
