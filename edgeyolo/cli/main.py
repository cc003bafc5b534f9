"""The ``edgeyolo`` command: a group whose commands are imported when they are called."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Mapping

import click

from edgeyolo import __version__
from edgeyolo.errors import EdgeYoloError, one_line

# Command name -> (module with ``command``, line for --help). The line stands here too, so that
# --help imports no command, and with it no torch.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "export": ("export_command", "Turn a checkpoint into a proven artifact."),
    "train": ("train_command", "Train a detector on your own pictures."),
    "build": ("build_command", "Build the TensorRT engine of an artifact, on its device."),
    "calibrate": ("calibrate_command", "Look at calibration pictures and compare algorithms."),
    "predict": ("predict_command", "Find objects in pictures, folders and videos."),
    "val": ("val_command", "Measure COCO accuracy on labelled pictures."),
    "benchmark": ("benchmark_command", "Measure artifacts side by side: speed, memory, accuracy."),
    "camera": ("camera_command", "Find objects in what a camera sees."),
    "package": ("package_command", "Pack an artifact for a device or an inference server."),
    "verify": ("verify_command", "Compare an artifact with its checkpoint on pictures."),
    "adopt": ("adopt_command", "Give a foreign ONNX detector a contract."),
    "inspect": ("inspect_command", "Say what a file is and whether it is sound."),
    "models": ("models_command", "List the published networks and their sizes."),
    "data": ("data_command", "Check a data set; show augmented batches."),
    "scenes": ("scenes_command", "Render labelled scenes, or the sheet of their symbols."),
    "weights": ("weights_command", "List and fetch the official weights by name."),
    "runtimes": ("runtimes_command", "List runtimes, versions, devices and precisions."),
    "demo": ("demo_command", "See the whole chain work offline, on a detector that comes along."),
    "doctor": ("doctor_command", "Say what works on this machine, and how to fix what does not."),
}

# Import name -> name for people, and the extra that brings it. A device has only some of them.
PACKAGES: Mapping[str, tuple[str, str]] = {
    "cv2": ("OpenCV", "opencv"),
    "torch": ("PyTorch", "export"),
    "onnx": ("onnx", "export"),
    "onnxsim": ("onnxsim", "export"),
    "nncf": ("nncf", "quantize"),
    "ai_edge_quantizer": ("ai-edge-quantizer", "quantize"),
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino", "openvino"),
    "ai_edge_litert": ("ai-edge-litert", "tflite"),
    "yaml": ("PyYAML", "eval"),
    "faster_coco_eval": ("faster-coco-eval", "eval"),
    "matplotlib": ("matplotlib", "train"),
    "tensorboard": ("tensorboard", "train"),
}


class LazyGroup(click.Group):
    """Imports a command's module only when that command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"edgeyolo.cli.{COMMANDS[name][0]}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgeyolo")
def group() -> None:
    """Turn YOLOX and YOLOv7 checkpoints into the fastest correct detectors for edge devices."""


def main() -> None:
    """Run the command line; exit 0 done, 1 an error in one line, 2 wrong usage, 130 Ctrl-C.

    With ``EDGEYOLO_TRACEBACK`` set, a ``ValueError`` is shown with its traceback.
    """
    _prepare_streams()
    try:
        status = group.main(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted", 130)
    except BrokenPipeError:
        # The reader (head, less) is gone; Python would complain once more while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except EdgeYoloError as error:
        if error.told:
            sys.exit(1)
        _fail(one_line(error, limit=1000), 1)
    except ValueError as error:
        # An argument that only the library can judge: an input size that the network cannot
        # halve, a score below what suppression in the graph keeps.
        if os.environ.get("EDGEYOLO_TRACEBACK"):
            raise
        _fail(one_line(error, limit=1000), 1)
    except ModuleNotFoundError as error:
        known = PACKAGES.get((error.name or "").partition(".")[0])
        if known is None:
            raise
        _fail(
            f"{known[0]} is not installed, which this command needs; run: "
            f"pip install 'edgeyolo[{known[1]}]' (a whole workstation: 'edgeyolo[all]')",
            1,
        )
    except ImportError as error:
        broken = _broken_package(error)
        if broken is None:
            raise
        name, extra = broken
        _fail(
            f"{name} is installed but does not load ({one_line(error)}); reinstall it with: "
            f"pip install --force-reinstall 'edgeyolo[{extra}]'",
            1,
        )
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        _fail(f"{name}{one_line(error.strerror or error)}", 1)
    except MemoryError:
        _fail("out of memory; use a smaller model, input size or batch", 1)


def _broken_package(error: ImportError) -> tuple[str, str] | None:
    """Name and extra of the package in which an import failed, as far as it is one of ours."""
    found, trace = None, error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        found = PACKAGES.get(module.partition(".")[0], found)
        trace = trace.tb_next
    return found


def _prepare_streams() -> None:
    """Let no name stop a command at its output, and no file take the place of a closed stream."""
    for descriptor in range(3):
        if not _is_open(descriptor):
            # Opened in this order, the lowest free number is this one. Otherwise the first model
            # file would get it, and whatever a vendor prints would go there.
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        # Class names and paths may have letters that the terminal's encoding has not: locale C.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _fail(message: str, status: int) -> None:
    print(f"edgeyolo: {message}", file=sys.stderr)
    sys.exit(status)
