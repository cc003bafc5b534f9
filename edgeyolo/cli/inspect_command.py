"""``edgeyolo inspect``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from edgeyolo.cli import options


@click.command()
@click.argument("path", type=options.WeightsFile(folders=True))
@options.json_option
def command(*, path: Path, as_json: bool) -> None:
    """Say what PATH is and whether it is sound: artifact, checkpoint, ONNX, IR, TFLite, engine.

    The name of official weights, or "demo" for the detector that is built in, serves as well.
    Exits with 1 where it is not sound.
    """
    import msgspec

    from edgeyolo.inspection import inspect

    found = inspect(path)
    if as_json:
        options.print_json(
            {
                "path": str(found.path),
                "kind": found.kind,
                "sound": found.sound,
                "facts": dict(found.facts),
                "findings": list(found.findings),
            }
        )
    else:
        click.echo(f"{path}: {found.kind}, {'sound' if found.sound else 'NOT SOUND'}")
        width = max(14, *(len(name) + 2 for name in found.facts)) if found.facts else 14
        for name, value in found.facts.items():
            if value == []:
                continue
            click.echo(f"  {name:<{width}}{_short(msgspec.to_builtins(value))}")
        for finding in found.findings:
            click.echo(f"  ! {finding}")
    if not found.sound:
        sys.exit(1)


def _short(value: object) -> str:
    """A value on one line of a terminal."""
    text = _plain(value)
    return text if len(text) <= 160 else f"{text[:150]} … ({len(text)} characters)"


def _plain(value: object) -> str:
    """Without the brackets and quotes of Python; what is nested stands in parentheses."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if item not in (None, "")}
        return ", ".join(f"{key} {_nested(item)}" for key, item in kept.items())
    if isinstance(value, list | tuple):
        return ", ".join(_nested(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _nested(value: object) -> str:
    return (
        f"({_plain(value) or 'none'})" if isinstance(value, dict | list | tuple) else _plain(value)
    )
