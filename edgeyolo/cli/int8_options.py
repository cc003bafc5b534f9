"""Options of INT8, shared by ``export`` and ``calibrate``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeyolo.cli import options

if TYPE_CHECKING:
    from edgeyolo.int8_request import Int8Request

Command = TypeVar("Command", bound=Callable[..., Any])
# As in edgeyolo.calibration.ranges, which --help must not import.
ALGORITHMS = ("min-max", "mean-min-max", "percentile", "mse")


def int8_options(command: Command) -> Command:
    """Everything that makes an :class:`~edgeyolo.int8_request.Int8Request`."""
    for option in reversed(
        (
            click.option(
                "--calibration",
                type=options.EXISTING,
                help="INT8: folder of pictures, .txt list, video, COCO .json or data-set .yaml.",
            ),
            click.option(
                "--calibration-pictures",
                type=click.IntRange(1),
                default=128,
                show_default=True,
                help="Most pictures drawn from it.",
            ),
            click.option(
                "--calibration-seed",
                type=int,
                default=0,
                show_default=True,
                help="Another number draws other pictures.",
            ),
            click.option("--allow-few-pictures", is_flag=True, help="Accept fewer than 32."),
            click.option(
                "--calibration-algorithm",
                type=click.Choice(ALGORITHMS),
                help="How ranges are found; the backend's best where left out.",
            ),
            click.option(
                "--max-drop",
                type=click.FloatRange(0, 1),
                help="Most that AP (or agreement) may drop; layers stay float until it holds.",
            ),
            click.option("--val-images", type=options.FOLDER, help="Pictures to measure on."),
            click.option("--val-annotations", type=options.EXISTING, help="Their labels."),
            options.skip_bad_labels_option,
            click.option(
                "--float-layer", multiple=True, help="A convolution to leave in float; repeatable."
            ),
            click.option(
                "--sensitivity",
                is_flag=True,
                help="Measure every layer: noise of the outputs with only it in INT8.",
            ),
            click.option(
                "--sensitivity-ap",
                is_flag=True,
                help="And every block: AP (or agreement) with only it in INT8; takes minutes.",
            ),
            click.option(
                "--full-integer", is_flag=True, help="tflite: for integer-only accelerators."
            ),
            click.option(
                "--no-calibration-cache", is_flag=True, help="Neither read nor keep results."
            ),
        )
    ):
        command = option(command)
    return command


def int8_request(values: dict[str, Any]) -> Int8Request | None:
    """The request in a command's parameters; ``None`` without ``--calibration``."""
    from edgeyolo.calibration.ranges import RangeEstimator
    from edgeyolo.errors import UnsupportedError
    from edgeyolo.int8_request import Int8Request
    from edgeyolo.weights import cache_folder

    calibration: Path | None = values["calibration"]
    if calibration is None:
        if values["max_drop"] is not None:
            raise UnsupportedError("--max-drop is a budget of INT8 and needs --calibration")
        return None
    if values["val_annotations"] is not None and values["val_images"] is None:
        beside = values["val_annotations"].parent / "images"
        values["val_images"] = beside if beside.is_dir() else None
    algorithm = values["calibration_algorithm"]
    return Int8Request(
        calibration=calibration,
        most=values["calibration_pictures"],
        seed=values["calibration_seed"],
        allow_few=values["allow_few_pictures"],
        estimator=None if algorithm is None else RangeEstimator(algorithm),
        float_layers=tuple(values["float_layer"]),
        max_drop=values["max_drop"],
        val_images=values["val_images"],
        val_annotations=values["val_annotations"],
        skip_bad_labels=values["skip_bad_labels"],
        full_integer=values["full_integer"],
        with_sensitivity=values["sensitivity"],
        with_block_scores=values["sensitivity_ap"],
        cache_folder=None if values["no_calibration_cache"] else cache_folder() / "calibration",
    )
