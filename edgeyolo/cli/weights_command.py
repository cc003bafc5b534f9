"""``edgeyolo weights list`` and ``edgeyolo weights pull``."""

from __future__ import annotations

import click

from edgeyolo.cli import options


@click.group()
def command() -> None:
    """Official weights by name: list them, fetch them into the cache."""


@command.command("list")
@options.json_option
def list_command(*, as_json: bool) -> None:
    """List the embedded detector and the official files: size, licence, whether cached."""
    from edgeyolo.embedded import DEMO_NAME, checkpoint_path
    from edgeyolo.weights import cache_folder, cached_path, is_cached
    from edgeyolo.weights_catalog import OFFICIAL_WEIGHTS

    embedded = checkpoint_path()
    if as_json:
        rows = [
            {
                "name": weights.name,
                "url": weights.url,
                "size_bytes": weights.size_bytes,
                "sha256": weights.sha256,
                "license": weights.license,
                "cached": str(cached_path(weights)) if is_cached(weights) else None,
            }
            for weights in OFFICIAL_WEIGHTS.values()
        ]
        options.print_json(
            {
                "cache": str(cache_folder()),
                "embedded": {"name": DEMO_NAME, "path": str(embedded)},
                "weights": rows,
            }
        )
        return
    click.echo(f"{'name':20} {'MB':>7}  {'licence':11} {'digest':9} in the cache")
    size_mb = embedded.stat().st_size / 1e6
    click.echo(f"{DEMO_NAME:20} {size_mb:>7.1f}  {'Apache-2.0':11} {'known':9} comes with edgeyolo")
    for weights in OFFICIAL_WEIGHTS.values():
        size = f"{weights.size_bytes / 1e6:.1f}" if weights.size_bytes else "?"
        digest = "known" if weights.sha256 else "unknown"
        cached = "yes" if is_cached(weights) else "no"
        click.echo(f"{weights.name:20} {size:>7}  {weights.license:11} {digest:9} {cached}")
    click.echo(f"cache: {cache_folder()}")


@command.command()
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--trust-first-use",
    is_flag=True,
    help="Accept a file without a known digest; later uses must have the same.",
)
@options.json_option
def pull(*, names: tuple[str, ...], trust_first_use: bool, as_json: bool) -> None:
    """Fetch the weights NAMES into the cache and print their paths."""
    from edgeyolo.embedded import DEMO_NAME, checkpoint_path
    from edgeyolo.errors import CheckpointError
    from edgeyolo.weights import fetch, find_weights
    from edgeyolo.weights_catalog import OFFICIAL_WEIGHTS

    # The embedded detector is listed with the others, and is there already.
    paths = {name: str(checkpoint_path()) for name in names if name == DEMO_NAME}
    entries = {name: find_weights(name) for name in names if name != DEMO_NAME}
    if unknown := [name for name, weights in entries.items() if weights is None]:
        raise CheckpointError(
            f"no official weights are named {unknown[0]!r}; known: {', '.join(OFFICIAL_WEIGHTS)}"
        )
    if paths and not as_json:
        click.echo(paths[DEMO_NAME])
    for name, weights in entries.items():
        assert weights is not None
        path = fetch(
            weights,
            trust_first_use=trust_first_use,
            progress=options.ByteProgress(weights.name),
            say=options.say,
        )
        paths[name] = str(path)
        if not as_json:
            click.echo(path)
    if as_json:
        options.print_json({"paths": paths})
