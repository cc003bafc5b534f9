"""``edgeyolo export``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from edgeyolo.cli import options
from edgeyolo.cli.int8_options import int8_options, int8_request
from edgeyolo.contract import MAX_BATCH, FoldingRecord, ParityRecord, Thresholds
from edgeyolo.models.architecture import Activation
from edgeyolo.spec import Backend, Precision


@click.command()
@click.argument("checkpoint", type=options.WeightsFile())
@click.option("--to", "backend", type=options.BackendName(), required=True, help="Runtime.")
@click.option(
    "--precision",
    type=options.PrecisionName(),
    default=Precision.FP32.value,
    show_default=True,
    help="Numbers that the bulk of the network is computed with; int8 needs --calibration.",
)
@click.option(
    "--input-size",
    type=options.InputSize(),
    help="Network input, height x width; the model's own where left out.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, MAX_BATCH),
    show_default="1",
    help="Pictures per call.",
)
@click.option("--dynamic-batch", is_flag=True, help="Accept any number of pictures per call.")
@click.option("--float-input", is_flag=True, help="float32 NCHW input, preprocessed on the host.")
@click.option(
    "--images",
    type=options.FOLDER,
    help="Pictures for the parity check; for float artifacts rendered scenes where left out.",
)
@click.option(
    "--names",
    type=options.FILE,
    help="Class names of a checkpoint without them: a text file, data-set YAML or COCO JSON.",
)
@options.legacy_option
@options.activation_option
@click.option(
    "--min-score",
    type=click.FloatRange(0, 1),
    default=0.25,
    show_default=True,
    help="Least score, where a call of predict gives none.",
)
@click.option(
    "--iou-threshold",
    type=click.FloatRange(0, 1),
    default=0.45,
    show_default=True,
    help="Of two boxes of one class that overlap by more, the lower-scored one is dropped.",
)
@click.option(
    "--max-detections",
    type=click.IntRange(1),
    default=300,
    show_default=True,
    help="Most objects a picture.",
)
@click.option(
    "--nms", is_flag=True, help="Suppress inside the graph, by these thresholds (onnx, tensorrt)."
)
@click.option("--allow-mismatch", is_flag=True, help="Write the artifact although parity fails.")
@click.option(
    "--output",
    type=options.NEW_PATH,
    help="Artifact folder; named after model, precision and runtime where left out.",
)
@int8_options
@options.json_option
@options.with_opencv
def command(
    *,
    checkpoint: Path,
    backend: Backend,
    precision: Precision,
    input_size: tuple[int, int] | None,
    batch: int | None,
    dynamic_batch: bool,
    float_input: bool,
    images: Path | None,
    names: Path | None,
    legacy: bool,
    activation: Activation | None,
    min_score: float,
    iou_threshold: float,
    max_detections: int,
    nms: bool,
    allow_mismatch: bool,
    output: Path | None,
    as_json: bool,
    **int8: Any,
) -> None:
    """Turn CHECKPOINT into an artifact and prove that it detects what PyTorch detects.

    CHECKPOINT is a file, or a name of edgeyolo weights list: demo, yolox-s, yolov7-tiny, ...
    """
    from edgeyolo.pipeline import ExportRequest, export

    if dynamic_batch and batch is not None:
        raise click.UsageError("--batch and --dynamic-batch contradict each other; give one")
    started = time.perf_counter()
    result = export(
        ExportRequest(
            checkpoint=checkpoint,
            backend=backend,
            precision=precision,
            output=output,
            input_hw=input_size,
            batch=None if dynamic_batch else batch or 1,
            pixels=not float_input,
            names_file=names,
            legacy=legacy,
            activation=activation,
            images=images,
            thresholds=Thresholds(
                min_score=min_score, iou_threshold=iou_threshold, max_detections=max_detections
            ),
            suppress_in_graph=nms,
            waive_parity=allow_mismatch,
            int8=int8_request(int8),
        ),
        options.say,
    )
    elapsed_s = time.perf_counter() - started
    for note in result.notes:
        options.say(f"note: {note}")
    if as_json:
        options.print_json(
            {
                "artifact": str(result.artifact.folder),
                "contract": result.artifact.contract,
                "parity": result.parity,
                "notes": list(result.notes),
                "int8": result.int8,
                "elapsed_s": round(elapsed_s, 3),
            }
        )
        return
    folding = result.artifact.contract.measured.folding
    if folding is not None:
        click.echo(folding_line(folding))
    click.echo(parity_line(result.parity))
    if result.int8 is not None:
        for line in result.int8.lines():
            click.echo(line)
        if result.int8.sensitivity is not None:
            click.echo("\n".join(result.int8.sensitivity.lines()))
    click.echo(f"wrote {result.artifact.folder} in {elapsed_s:.1f} s")
    if backend is Backend.TENSORRT:
        click.echo(f"on the device run: edgeyolo build {result.artifact.folder}")
    click.echo("use it like this:\n")
    click.echo(usage(result.artifact.folder))


def folding_line(folding: FoldingRecord) -> str:
    """A re-parameterisation for people."""
    counted = (
        (folding.batch_norms, "batch norms folded"),
        (folding.repconv_blocks, "RepConv blocks merged"),
        (folding.implicit_heads, "implicit heads folded"),
        (folding.auxiliary_heads, "auxiliary heads dropped"),
    )
    done = [f"{count} {words}" for count, words in counted if count]
    return (
        f"re-parameterised: {', '.join(done) or 'nothing left to fold'}; logits of a random "
        f"picture differ by {folding.max_logit_difference:.2g} at most"
    )


def parity_line(parity: ParityRecord) -> str:
    """A parity record for people."""
    verdict = "passed" if parity.passed else f"FAILED ({parity.note})"
    remark = f"; {parity.note}" if parity.passed and parity.note else ""
    return (
        f"parity {verdict}: {parity.matched} of {parity.reference} detections on "
        f"{parity.images} pictures ({parity.image_source}), boxes within "
        f"{parity.max_box_error_px:.3g} px, scores within {parity.max_score_error:.2g}{remark}"
    )


def usage(folder: Path) -> str:
    """Python for using an artifact, ready to paste."""
    return (
        "    import cv2, edgeyolo\n\n"
        f"    predictor = edgeyolo.load({str(folder)!r})\n"
        '    for found in predictor.predict(cv2.imread("picture.jpg")):\n'
        "        print(found.class_name, found.score, found.box_xyxy)\n"
    )
