"""``edgeyolo demo``."""

from __future__ import annotations

from pathlib import Path

import click

from edgeyolo.cli import options
from edgeyolo.spec import Backend


@click.command()
@click.option(
    "--output",
    type=options.NEW_PATH,
    default=Path("edgeyolo-demo"),
    show_default=True,
    help="Folder for everything.",
)
@click.option(
    "--to",
    "backends",
    type=options.BackendName(),
    multiple=True,
    help="Only these runtimes; every installed one where left out.",
)
@click.option(
    "--scenes",
    type=click.IntRange(8),
    default=100,
    show_default=True,
    help="Held-out scenes to measure accuracy on.",
)
@options.json_option
@options.with_opencv
def command(*, output: Path, backends: tuple[Backend, ...], scenes: int, as_json: bool) -> int:
    """Export the embedded detector for every runtime, prove it, measure it, show it. Offline.

    FP32, FP16 and INT8; each compared with PyTorch, its accuracy measured on scenes the detector
    has never seen, all of them benchmarked side by side. Exits with 1 where an artifact is less
    accurate than its precision allows.
    """
    from edgeyolo.demo.records import DemoRequest
    from edgeyolo.demo.run import run_demo
    from edgeyolo.demo.summary import as_dict, as_text

    result = run_demo(
        DemoRequest(output=output, backends=backends, scenes=scenes),
        options.say,
    )
    if as_json:
        options.print_json(as_dict(result))
    else:
        click.echo("\n" + as_text(result))
    return 1 if result.failures() else 0
