"""``edgeyolo data``: check a data set, and look at augmented batches."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from edgeyolo.cli import options
from edgeyolo.cli.val_command import show_progress
from edgeyolo.errors import OutputError


@click.group()
def command() -> None:
    """Check data sets and see what training makes of them."""


_images = click.option(
    "--images", type=options.FOLDER, help="Pictures, where not beside the labels."
)
_split = click.option("--split", default="train", show_default=True, help="Part of a YAML or VOC.")
_names = click.option("--names", type=options.FILE, help="Class names of bare YOLO labels.")


@command.command()
@click.argument("dataset", type=options.EXISTING)
@_images
@_split
@_names
@click.option(
    "--fast", is_flag=True, help="Do not decode the pictures: damage inside them is not seen."
)
@click.option(
    "--examples",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Most that are listed of each problem.",
)
@options.json_option
@options.with_opencv
def check(
    *,
    dataset: Path,
    images: Path | None,
    split: str,
    names: Path | None,
    fast: bool,
    examples: int,
    as_json: bool,
) -> None:
    """Report everything that is wrong with DATASET.

    DATASET is a COCO JSON, a data-set YAML, or a folder (COCO, VOC, YOLO). Exits with 1 where a
    label or a picture cannot be used.
    """
    from edgeyolo.data.checking import check_dataset
    from edgeyolo.data.labels import read_dataset

    class_names = options.read_class_names(names)
    found = read_dataset(dataset, images=images, class_names=class_names, split=split)
    report = check_dataset(found, decode=not fast, progress=show_progress)
    if as_json:
        options.print_json(report.as_dict())
    else:
        click.echo(report.text(examples))
    if report.errors:
        sys.exit(1)


@command.command()
@click.argument("dataset", type=options.EXISTING)
@click.argument("variant", metavar="MODEL")
@_images
@_split
@_names
@click.option(
    "--input-size",
    type=options.InputSize(),
    default="640",
    show_default=True,
    help="Network input, height x width.",
)
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Pictures of the batch.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="As of edgeyolo train."
)
@click.option(
    "--epoch",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Whose first batch is drawn, from 0.",
)
@click.option("--closing", is_flag=True, help="As in the last epochs, without mosaics.")
@click.option("--output", type=options.NEW_PATH, required=True, help="A .png or .jpg file.")
@options.with_opencv
def preview(
    *,
    dataset: Path,
    variant: str,
    images: Path | None,
    split: str,
    names: Path | None,
    input_size: tuple[int, int],
    batch: int,
    seed: int,
    epoch: int,
    closing: bool,
    output: Path,
) -> None:
    """Draw a batch of DATASET as training MODEL (yolox-s, yolov7-tiny, ...) would see it."""
    from edgeyolo.atomic import write_bytes
    from edgeyolo.data.batches import TrainingBatches
    from edgeyolo.data.checking import usable_dataset
    from edgeyolo.data.labels import read_dataset
    from edgeyolo.data.presets import augmentation_of, family_of
    from edgeyolo.data.preview import preview as draw
    from edgeyolo.data.sample_source import DatasetSource
    from edgeyolo.pictures import encode_picture

    if output.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise OutputError(f"{output} must end in .png or .jpg")
    family = family_of(variant)
    class_names = options.read_class_names(names)
    found = read_dataset(dataset, images=images, class_names=class_names, split=split)
    usable = usable_dataset(found, decode=False).dataset
    batches = TrainingBatches(
        DatasetSource(usable, input_size),
        augmentation_of(variant),
        family=family,
        input_hw=input_size,
        batch_size=batch,
        seed=seed,
    )
    first = next(batches.epoch(epoch, closing=closing))
    page = draw(first, family, usable.class_names)
    write_bytes(output, encode_picture(page, output.suffix.lower()))
    for message in first.unreadable:
        options.say(f"warning: {message}")
    click.echo(f"{output}: {batch} pictures, {input_size[0]}x{input_size[1]}")
