"""``edgeyolo predict``."""

from __future__ import annotations

from pathlib import Path

import click

from edgeyolo.cli import options


@click.command()
@click.argument("artifact", type=options.EXISTING)
@click.argument("source", type=options.EXISTING)
@click.option("--save", type=options.NEW_PATH, help="Folder for annotated pictures or the video.")
@click.option("--coco", type=options.NEW_PATH, help="Write results as a COCO results file.")
@options.min_score_option
@options.iou_threshold_option
@click.option(
    "--max-detections",
    type=click.IntRange(1),
    help="Most objects a frame; the artifact's own where left out.",
)
@options.device_option
@options.threads_option
@options.json_option
@options.with_opencv
def command(
    *,
    artifact: Path,
    source: Path,
    save: Path | None,
    coco: Path | None,
    min_score: float | None,
    iou_threshold: float | None,
    max_detections: int | None,
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Find objects in SOURCE: a picture, a folder of pictures, or a video.

    Where a picture cannot be read or a video breaks off, results of what came before it stay, and
    the exit status is 1.
    """
    from edgeyolo.atomic import check_file_target
    from edgeyolo.errors import SourceError
    from edgeyolo.prediction import predict_source, write_coco
    from edgeyolo.predictor import load

    if coco is not None:
        check_file_target(coco)
    with load(artifact, device=device, threads=threads) as predictor:
        options.say_doubts(artifact, predictor.contract.doubts if predictor.contract else None)
        frames = []
        found = predict_source(
            predictor,
            source,
            save=save,
            min_score=min_score,
            iou_threshold=iou_threshold,
            max_detections=max_detections,
            progress=options.say,
        )
        broken: SourceError | None = None
        try:
            for frame in found:
                frames.append(frame)
                if not as_json:
                    click.echo(frame.line())
        except SourceError as error:
            if not frames:
                raise
            broken = error  # what was found before is still worth having
    if coco is not None:
        write_coco(coco, frames)
    if as_json:
        options.print_json(
            {
                "artifact": str(artifact),
                "source": str(source),
                "frames": [frame.as_dict() for frame in frames],
                "error": None if broken is None else str(broken),
            }
        )
    if broken is not None:
        raise broken
