"""``edgeyolo val``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeyolo.atomic import check_file_target
from edgeyolo.cli import options
from edgeyolo.models.architecture import Activation

if TYPE_CHECKING:
    from edgeyolo.validation import Validation


@click.command()
@click.argument("model", type=options.WeightsFile(folders=True))
@click.option(
    "--annotations",
    type=options.EXISTING,
    required=True,
    help="COCO JSON, data-set YAML, or a folder of YOLO or VOC label files.",
)
@click.option("--images", type=options.FOLDER, help="Pictures, where not beside the labels.")
@click.option("--split", default="val", show_default=True, help="Part of a data-set YAML.")
@options.match_classes_option
@click.option(
    "--max-detections",
    type=click.IntRange(1),
    help="Best so many of each picture; 100 (YOLOX, COCO's limit) or 300 (YOLOv7) if left out.",
)
@click.option("--limit", type=click.IntRange(1), help="Only the first so many pictures.")
@click.option("--per-class", is_flag=True, help="One line for every class.")
@click.option("--results", type=options.NEW_PATH, help="Write detections as COCO results.")
@click.option(
    "--diagnostics",
    type=options.NEW_PATH,
    help="Folder for confusion matrix, precision-recall curves and worst pictures.",
)
@click.option(
    "--names",
    type=options.FILE,
    help="Class names of a checkpoint without them: a text file, data-set YAML or COCO JSON.",
)
@click.option(
    "--input-size",
    type=options.InputSize(),
    help="Network input of a checkpoint, height x width; its own where left out.",
)
@click.option(
    "--rectangular",
    is_flag=True,
    help="Rectangular canvases, as published numbers of YOLOv7 checkpoints were made.",
)
@options.skip_bad_labels_option
@options.legacy_option
@options.activation_option
@options.device_option
@options.threads_option
@options.json_option
@options.with_opencv
def command(
    *,
    model: Path,
    annotations: Path,
    images: Path | None,
    split: str,
    match_classes: str,
    max_detections: int | None,
    limit: int | None,
    per_class: bool,
    results: Path | None,
    diagnostics: Path | None,
    names: Path | None,
    input_size: tuple[int, int] | None,
    rectangular: bool,
    skip_bad_labels: bool,
    legacy: bool,
    activation: Activation | None,
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Measure COCO accuracy of MODEL, an artifact or a checkpoint.

    Detections are made with the official evaluation settings of the model's family.
    """
    from edgeyolo.evaluation.coco import ClassMatching
    from edgeyolo.validation import ValidationRequest, validate

    _check_targets(results, diagnostics)
    started = time.perf_counter()
    found = validate(
        ValidationRequest(
            model=model,
            annotations=annotations,
            images=images,
            split=split,
            matching=ClassMatching(match_classes),
            max_detections=max_detections,
            limit=limit,
            device=device,
            threads=threads,
            names_file=names,
            input_hw=input_size,
            legacy=legacy,
            activation=activation,
            rectangular=rectangular,
            skip_bad_labels=skip_bad_labels,
        ),
        show_progress,
    )
    elapsed_s = time.perf_counter() - started
    options.say_doubts(model, found.doubts)
    _write(found, results, diagnostics)
    if as_json:
        options.print_json(_as_dict(found, elapsed_s))
    else:
        click.echo(_as_text(found, per_class=per_class))
    if found.left_out:
        options.say(f"left out: {found.left_out}; see: edgeyolo data check {annotations}")
    elif found.dataset.problems:
        count = len(found.dataset.problems)
        options.say(f"{count} remarks on the labels; see: edgeyolo data check {annotations}")


def _check_targets(results: Path | None, diagnostics: Path | None) -> None:
    """Before minutes of work, not after them."""
    if results is not None:
        check_file_target(results)
    if diagnostics is not None:
        from edgeyolo.evaluation.diagnostics_folder import check_diagnostics_target

        check_diagnostics_target(diagnostics)


def _write(found: Validation, results: Path | None, diagnostics: Path | None) -> None:
    if results is not None:
        from edgeyolo.evaluation.result_files import write_coco_results

        write_coco_results(results, found.results, found.dataset)
    if diagnostics is not None:
        from edgeyolo.evaluation.diagnostics_folder import write_diagnostics

        write_diagnostics(diagnostics, found.results, found.dataset)


def _as_dict(found: Validation, elapsed_s: float) -> dict[str, object]:
    return {
        "model": found.model_name,
        "runs_on": found.runs_on,
        "input_hw": found.input_hw,
        "dataset": found.dataset.name,
        "label_problems": len(found.dataset.problems),
        "left_out": found.left_out,
        "elapsed_s": round(elapsed_s, 3),
        "recorded": found.recorded,
        **found.report.as_dict(),
    }


def _as_text(found: Validation, *, per_class: bool) -> str:
    height, width = found.input_hw
    lines = [
        f"{found.model_name}, {found.runs_on}, input {height}x{width}",
        found.report.text(per_class=per_class),
    ]
    if found.recorded is not None and found.recorded.float_ap is not None:
        lines.append(
            f"AP at export, on {found.recorded.images} pictures of {found.recorded.dataset}: "
            f"float {found.recorded.float_ap:.4f}, INT8 {found.recorded.ap:.4f}"
        )
    return "\n".join(lines)


def show_progress(done: int, total: int) -> None:
    """A counter on stderr: rewritten in a terminal, ten lines in a log."""
    if sys.stderr.isatty():
        print(f"\r{done}/{total} pictures", end="\n" if done == total else "", file=sys.stderr)
    elif done == total or done % max(total // 10, 1) == 0:
        options.say(f"{done}/{total} pictures")
