"""``edgeyolo camera``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from edgeyolo.cli import options
from edgeyolo.sources.frame import MAX_DECODE_THREADS


@click.command()
@click.argument("artifact", type=options.EXISTING)
@click.option(
    "--source",
    default="0",
    show_default=True,
    help="Camera number, /dev/video0, rtsp:// or http:// stream, GStreamer pipeline, video, "
    "picture, folder, glob, list.txt, or pattern:1280x720@30.",
)
@click.option(
    "--mode",
    type=click.Choice(["latency", "throughput"]),
    help="Newest frame only, or every frame; by default as the source is.",
)
@click.option("--headless", is_flag=True, help="No window.")
@click.option("--record", type=options.NEW_PATH, help="Write the annotated frames to a video.")
@click.option("--log", type=options.NEW_PATH, help="Write detections as JSON lines.")
@click.option("--snapshots", type=options.NEW_PATH, default=".", help="Folder for the s key.")
@click.option("--frames", type=click.IntRange(1), help="End after so many frames.")
@options.min_score_option
@options.iou_threshold_option
@click.option(
    "--timeout",
    type=click.FloatRange(0.1),
    default=10.0,
    show_default=True,
    help="Seconds to wait for the source, at its start and when it falls silent.",
)
@click.option(
    "--decode-threads",
    type=click.IntRange(1, MAX_DECODE_THREADS),
    default=2,
    show_default=True,
    help="For rtsp and the like; each beyond the first makes frames one frame older.",
)
@click.option("--size", type=str, help="Width and height to ask a camera for, as 1280x720.")
@options.device_option
@options.threads_option
@options.json_option
@options.with_opencv
def command(
    *,
    artifact: Path,
    source: str,
    mode: str | None,
    headless: bool,
    record: Path | None,
    log: Path | None,
    snapshots: Path,
    frames: int | None,
    min_score: float | None,
    iou_threshold: float | None,
    timeout: float,
    decode_threads: int,
    size: str | None,
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Find objects in what a camera sees, with a window, a recording or a log."""
    from edgeyolo.camera import CameraSettings, run_camera
    from edgeyolo.predictor import load
    from edgeyolo.sources import SourceOptions
    from edgeyolo.stream import StreamMode

    settings = CameraSettings(
        mode=None if mode is None else StreamMode(mode),
        options=SourceOptions(
            timeout_s=timeout, size_wh=_size_wh(size), decode_threads=decode_threads
        ),
        min_score=min_score,
        iou_threshold=iou_threshold,
        window=not headless,
        record=record,
        log=log,
        snapshots=snapshots,
        max_frames=frames,
    )
    with load(artifact, device=device, threads=threads) as predictor:
        try:
            summary = run_camera(predictor, source, settings, options.say)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
    if as_json:
        options.print_json({**dataclasses.asdict(summary), "fps": summary.fps})
    else:
        click.echo(
            f"{summary.frames} frames in {summary.seconds:.1f} s ({summary.fps:.1f} fps), "
            f"{summary.dropped} dropped, {summary.objects} objects, "
            f"median frame age {summary.median_age_ms:.0f} ms"
        )


def _size_wh(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise click.UsageError(f"--size is WIDTHxHEIGHT, as 1280x720, not {text!r}")
    return int(sides[0]), int(sides[1])
