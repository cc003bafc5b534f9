"""Option types and decorators that several commands share."""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from edgeyolo.errors import DatasetError
from edgeyolo.models.architecture import Activation
from edgeyolo.sources.redact import redact
from edgeyolo.spec import MAX_THREADS, Backend, Precision, check_input_hw

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class _ExistingPath(click.Path):
    """A path that may be an address by mistake, with a password that no message shows."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        try:
            return Path(os.fsdecode(super().convert(value, param, ctx)))
        except click.BadParameter as error:
            raise click.BadParameter(redact(error.message), ctx, param) from None


EXISTING = _ExistingPath(exists=True, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
NEW_PATH = click.Path(path_type=Path)


class InputSize(click.ParamType[tuple[int, int]]):
    """``416`` or ``320x640`` (height x width), multiples of 32."""

    name = "SIZE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        sides = str(value).lower().split("x")
        try:
            height, width = int(sides[0]), int(sides[-1])
            if len(sides) > 2:
                raise ValueError(f"{value} has more than two sides")
            check_input_hw((height, width))
        except ValueError as error:
            self.fail(f"{error}; give 416 or 320x640 (height x width)", param, ctx)
        return height, width


class BackendName(click.Choice[str]):
    """``onnx|openvino|tflite|tensorrt`` as a :class:`Backend`."""

    def __init__(self) -> None:
        super().__init__([backend.value for backend in Backend])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return Backend(super().convert(value, param, ctx))


class PrecisionName(click.Choice[str]):
    """``fp32|fp16|int8`` as a :class:`Precision`."""

    def __init__(self) -> None:
        super().__init__([precision.value for precision in Precision])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return Precision(super().convert(value, param, ctx))


device_option = click.option(
    "--device", default="auto", show_default=True, help="cpu, gpu, or a vendor's own device name."
)
threads_option = click.option(
    "--threads", type=click.IntRange(1, MAX_THREADS), help="CPU threads for the network."
)
min_score_option = click.option(
    "--min-score",
    type=click.FloatRange(0, 1),
    help="Least score; the artifact's own where left out.",
)
iou_threshold_option = click.option(
    "--iou-threshold",
    type=click.FloatRange(0, 1),
    help="Of two boxes of one class that overlap by more, the lower-scored one is dropped; the "
    "artifact's own where left out.",
)
legacy_option = click.option(
    "--legacy", is_flag=True, help="YOLOX weights of the first release (0.1.0)."
)


class ActivationName(click.Choice[str]):
    """``silu|relu|lrelu`` as an :class:`~edgeyolo.models.architecture.Activation`."""

    def __init__(self) -> None:
        super().__init__([activation.value for activation in Activation])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return Activation(super().convert(value, param, ctx))


activation_option = click.option(
    "--activation",
    type=ActivationName(),
    help="What a checkpoint that does not tell was trained with; the published one where left out.",
)
match_classes_option = click.option(
    "--match-classes",
    type=click.Choice(["strict", "names", "order"]),
    default="strict",
    show_default=True,
    help="By names, all of them; by common names only; or by position.",
)
skip_bad_labels_option = click.option(
    "--skip-bad-labels",
    is_flag=True,
    help="Measure accuracy without the labels and pictures that cannot be used; else an error.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


def say(text: str) -> None:
    """Progress: one line on stderr."""
    print(text, file=sys.stderr, flush=True)


def say_doubts(artifact: Path, doubts: str | None) -> None:
    """One line on stderr where an artifact was written although a check failed."""
    if doubts is not None:
        say(f"warning: {artifact} {doubts}")


def read_class_names(names: Path | None) -> tuple[str, ...] | None:
    """What a ``--names`` file holds."""
    if names is None:
        return None
    from edgeyolo.checkpoints.names import read_names

    found = read_names(names)
    if not found:
        raise DatasetError(f"{names} holds no class names")
    return found


def print_json(data: object) -> None:
    """One JSON object on stdout; not-a-number becomes null."""
    import msgspec

    # Locale C has no letters but ASCII; what stands in for the others in text would be no JSON.
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    ascii_only = not encoding.lower().startswith("utf")
    plain = msgspec.to_builtins(data)
    print(json.dumps(plain, ensure_ascii=ascii_only, indent=2, allow_nan=False))


class WeightsFile(click.ParamType[Path]):
    """A checkpoint file, or the name of official weights, which are fetched if need be.

    With *folders*, folders are accepted as well: commands that take artifacts, too.
    """

    name = "WEIGHTS"

    def __init__(self, *, folders: bool = False) -> None:
        self._folders = folders

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        from edgeyolo.weights import resolve_weights

        path = Path(value)
        if path.is_file() or (self._folders and path.is_dir()):
            return path
        return resolve_weights(value, progress=ByteProgress(str(value)), say=say)


class ByteProgress:
    """A line on stderr that counts megabytes; silent where stderr is no terminal."""

    def __init__(self, name: str, interval_s: float = 0.2) -> None:
        self._name = name
        self._interval_s = interval_s
        self._next_s = 0.0

    def __call__(self, done_bytes: int, total_bytes: int | None) -> None:
        finished = done_bytes == total_bytes
        if not sys.stderr.isatty() or (time.monotonic() < self._next_s and not finished):
            return
        self._next_s = time.monotonic() + self._interval_s
        total = f" of {total_bytes / 1e6:.1f}" if total_bytes else ""
        end = "\n" if finished else ""
        print(f"\r{self._name}: {done_bytes / 1e6:.1f}{total} MB", end=end, file=sys.stderr)


def with_opencv(command: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """Say in one line why OpenCV does not load, before modules that import it do."""

    @functools.wraps(command)
    def checked(*given: _Given.args, **named: _Given.kwargs) -> _Result:
        from edgeyolo.opencv import load_opencv

        load_opencv()
        return command(*given, **named)

    return checked
