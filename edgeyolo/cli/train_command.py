"""``edgeyolo train``."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from edgeyolo.cli import options

_PRECISIONS = click.Choice(["fp32", "bf16", "fp16"])
_CACHES = click.Choice(["none", "ram", "disk"])
# What may be given beside --resume.
_CHANGEABLE = {
    "settings": "--set",
    "precision": "--precision",
    "device": "--device",
    "workers": "--workers",
    "cache": "--cache",
    "checkpoint_interval": "--checkpoint-interval",
    "no_tensorboard": "--no-tensorboard",
}


@click.command()
@click.argument("model", required=False)
@click.option("--data", type=options.EXISTING, help="Data-set YAML, COCO JSON, or a folder.")
@click.option("--images", type=options.FOLDER, help="Pictures of --data, where not beside labels.")
@click.option("--names", type=options.FILE, help="Class names of bare YOLO labels.")
@click.option(
    "--split", default="train", show_default=True, help="Part of a YAML or VOC to train on."
)
@click.option(
    "--val", type=options.EXISTING, help="Data set to evaluate on, where it is not part of --data."
)
@click.option(
    "--val-images", type=options.FOLDER, help="Pictures of --val, where not beside labels."
)
@click.option(
    "--val-split", default="val", show_default=True, help="Part of a YAML or VOC to evaluate on."
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    default=300,
    show_default=True,
    help="Times that every picture is seen.",
)
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Pictures of a batch, over all processes.",
)
@click.option(
    "--input-size",
    "input_hw",
    type=options.InputSize(),
    help="Network input, height x width; the model's own where left out.",
)
@click.option("--weights", type=options.WeightsFile(), help="Checkpoint to start from.")
@click.option(
    "--freeze", multiple=True, help="Prefix of parameters that stay as they are; repeatable."
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a hyper-parameter; --help-config lists them; repeatable.",
)
@click.option("--output", type=options.NEW_PATH, help="Run folder; new, or without any checkpoint.")
@click.option(
    "--resume",
    "run",
    type=options.NEW_PATH,
    help="Continue the run in this folder; a few other options may change it.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default="0",
    help="All randomness derives from it.",
)
@click.option(
    "--precision",
    type=_PRECISIONS,
    default="fp32",
    show_default=True,
    help="Numbers of the forward pass.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1.")
@click.option(
    "--workers",
    type=click.IntRange(0, 256),
    default=2,
    show_default=True,
    help="Processes that prepare batches, for each training process.",
)
@click.option(
    "--cache",
    type=_CACHES,
    default="none",
    show_default=True,
    help="Where decoded pictures are kept.",
)
@click.option(
    "--checkpoint-interval",
    type=click.IntRange(0),
    default=0,
    help="Batches between checkpoints within an epoch.",
)
@click.option("--no-tensorboard", is_flag=True, help="Write no TensorBoard files.")
@options.skip_bad_labels_option
@click.option("--help-config", is_flag=True, help="List every hyper-parameter of MODEL and exit.")
@options.json_option
@options.with_opencv
def command(
    *,
    model: str | None,
    data: Path | None,
    images: Path | None,
    names: Path | None,
    split: str,
    val: Path | None,
    val_images: Path | None,
    val_split: str,
    epochs: int,
    batch: int,
    input_hw: tuple[int, int] | None,
    weights: Path | None,
    freeze: tuple[str, ...],
    settings: tuple[str, ...],
    output: Path | None,
    run: Path | None,
    seed: int,
    precision: str,
    device: str,
    workers: int,
    cache: str,
    checkpoint_interval: int,
    no_tensorboard: bool,
    skip_bad_labels: bool,
    help_config: bool,
    as_json: bool,
) -> None:
    """Train MODEL (yolox-nano ... yolov7-e6e) on your own pictures.

    Start it under torchrun to use several GPUs or machines. The result is a checkpoint for
    edgeyolo export.
    """
    from edgeyolo.data.sample_source import CacheMode
    from edgeyolo.training.continuation import Changes
    from edgeyolo.training.plan import MixedPrecision
    from edgeyolo.training.request import TrainingRequest
    from edgeyolo.training.session import resume, train

    if run is not None:
        given = _given_beside_resume()
        try:
            changes = Changes(
                settings=settings,
                precision=MixedPrecision(precision) if "precision" in given else None,
                device=device if "device" in given else None,
                workers=workers if "workers" in given else None,
                cache=CacheMode(cache) if "cache" in given else None,
                checkpoint_interval=checkpoint_interval if "checkpoint_interval" in given else None,
                tensorboard=False if no_tensorboard else None,
            )
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        _print(resume(run, changes), as_json)
        return
    if model is None:
        raise click.UsageError("name a MODEL, such as yolox-nano")
    if not help_config and (data is None or output is None):
        raise click.UsageError("--data and --output are needed")
    request = TrainingRequest(
        model=model,
        data=str(data and data.resolve()),
        images=None if images is None else str(images.resolve()),
        names=options.read_class_names(names),
        split=split,
        val=None if val is None else str(val.resolve()),
        val_images=None if val_images is None else str(val_images.resolve()),
        val_split=val_split,
        epochs=epochs,
        batch=batch,
        output=str(output),
        input_hw=input_hw,
        weights=None if weights is None else str(weights.resolve()),
        freeze=freeze,
        settings=settings,
        seed=seed,
        precision=MixedPrecision(precision),
        device=device,
        workers=workers,
        cache=CacheMode(cache),
        checkpoint_interval=checkpoint_interval,
        tensorboard=not no_tensorboard,
        skip_bad_labels=skip_bad_labels,
    )
    try:
        if help_config:
            _print_config(request.recipe(), as_json)
            return
        request.plan()
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    _print(train(request), as_json)


def _given_beside_resume() -> set[str]:
    """What else the command line names; nothing that a run cannot change is passed over."""
    context = click.get_current_context()
    given = {
        parameter.name or "": parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in ("run", "as_json")
        and context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    }
    kept = [option for name, option in given.items() if name not in _CHANGEABLE]
    if kept:
        raise click.UsageError(
            f"a run that is continued keeps {', '.join(kept)}: leave that out; what may change: "
            f"{', '.join(_CHANGEABLE.values())} (for anything else start a new run with "
            "--weights RUN/last.pt)"
        )
    return set(given)


def _print_config(recipe: object, as_json: bool) -> None:
    from edgeyolo.training.settings import as_plain, listed

    if as_json:
        options.print_json(as_plain(recipe))
        return
    for entry in listed(recipe):
        value = ",".join(map(str, entry.value)) if isinstance(entry.value, tuple) else entry.value
        click.echo(f"{entry.key + '=' + str(value):<44} {entry.kind:<14} {entry.help}")


def _print(result: object, as_json: bool) -> None:
    from edgeyolo.training.distributed import is_first_process
    from edgeyolo.training.session import TrainingResult

    assert isinstance(result, TrainingResult)
    if not is_first_process():
        return
    position = result.position
    if as_json:
        options.print_json(
            {
                "run": str(result.folder),
                "checkpoint": str(result.checkpoint),
                "epochs": position.epoch,
                "best_fitness": position.best_fitness if position.best_epoch >= 0 else None,
                "best_epoch": position.best_epoch + 1 if position.best_epoch >= 0 else None,
                "stopped_early": position.stopped_early,
            }
        )
        return
    if position.best_epoch >= 0:
        click.echo(f"best epoch {position.best_epoch + 1} of {position.epoch}", nl=False)
        click.echo(f", fitness {position.best_fitness:.4f}")
    click.echo(str(result.checkpoint))
