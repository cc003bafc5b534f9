"""``edgeyolo build``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from edgeyolo.cli import options


class Range(click.ParamType[tuple[int, int, int]]):
    """``1:4:8``: least, typical and most pictures per call."""

    name = "MIN:TYPICAL:MAX"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int, int]:
        if isinstance(value, tuple):
            return value
        try:
            smallest, typical, largest = (int(part) for part in str(value).split(":"))
        except ValueError:
            self.fail(f"{value!r} is not three numbers; give 1:4:8", param, ctx)
        if not 1 <= smallest <= typical <= largest:
            self.fail(f"{value!r} is not in rising order; give 1:4:8", param, ctx)
        return smallest, typical, largest


@click.command()
@click.argument("artifact", type=options.FOLDER)
@click.option(
    "--module",
    type=click.Choice(["tensorrt", "tensorrt_rtx"]),
    help="Which TensorRT; the first that is installed where left out.",
)
@click.option("--gpu", type=click.IntRange(0), help="Number of the GPU; the first where left out.")
@click.option("--batch", type=Range(), help="For a dynamic batch; the artifact's own if left out.")
@click.option("--workspace", type=click.IntRange(1), metavar="MIB", help="Limit of scratch memory.")
@click.option("--level", type=click.IntRange(0, 5), help="0 builds fast, 5 runs fastest.")
@click.option("--dla", type=click.IntRange(0), help="Core of the DLA to use (fp16).")
@click.option("--no-timing-cache", is_flag=True, help="Time every kernel again.")
@options.json_option
def command(
    *,
    artifact: Path,
    module: str | None,
    gpu: int | None,
    batch: tuple[int, int, int] | None,
    workspace: int | None,
    level: int | None,
    dla: int | None,
    no_timing_cache: bool,
    as_json: bool,
) -> None:
    """Build the TensorRT engine of ARTIFACT for this machine, in place."""
    from edgeyolo.exporters.tensorrt_build import BuildRequest, build
    from edgeyolo.exporters.tensorrt_builder import BatchRange

    result = build(
        BuildRequest(
            folder=artifact,
            module=module,
            gpu=gpu,
            batch=BatchRange(*batch) if batch else None,
            workspace_mib=workspace,
            optimization_level=level,
            dla_core=dla,
            timing_cache=None if no_timing_cache else _cache_folder(),
        ),
        options.say,
    )
    contract = result.artifact.contract
    for warning in result.engine.warnings:
        options.say(f"note: {warning}")
    if as_json:
        options.print_json(
            {
                "artifact": str(artifact),
                "engine": contract.entry,
                "build_target": contract.build_target,
                "typing": str(result.engine.typing),
                "layers": result.engine.layers,
                "engine_bytes": len(result.engine.plan),
                "elapsed_s": round(result.engine.elapsed_s, 3),
                "memory": result.memory,
                "warnings": list(result.engine.warnings),
            }
        )
        return
    click.echo(
        f"built {artifact / contract.entry} ({len(result.engine.plan) / 1e6:.1f} MB) in "
        f"{result.engine.elapsed_s:.1f} s"
    )


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "edgeyolo" / "tensorrt"
