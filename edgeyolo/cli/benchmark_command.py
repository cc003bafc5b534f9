"""``edgeyolo benchmark``."""

from __future__ import annotations

from pathlib import Path

import click

from edgeyolo.cli import options

_PATTERN = "pattern:1280x720"


@click.command()
@click.argument("artifacts", nargs=-1, required=True, type=options.EXISTING)
@click.option(
    "--source",
    help=f"Frames: picture, folder, video or test pattern. [default: --images, or {_PATTERN}]",
)
@click.option(
    "--frames",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Frames to measure on, from the start of the source.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Times that every artifact has its turns.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Length of a turn; an artifact has four in a round.",
)
@click.option("--annotations", type=options.EXISTING, help="Labels: measures AP of the same files.")
@click.option("--images", type=options.FOLDER, help="Pictures, where not beside the labels.")
@click.option("--limit", type=click.IntRange(1), help="AP of the first so many pictures.")
@options.match_classes_option
@options.skip_bad_labels_option
@click.option(
    "--csv", "csv_file", type=options.NEW_PATH, help="Write a table, one line for each artifact."
)
@click.option("--html", "html_file", type=options.NEW_PATH, help="Write a report in one file.")
@options.device_option
@options.threads_option
@options.json_option
@options.with_opencv
def command(
    *,
    artifacts: tuple[Path, ...],
    source: str | None,
    frames: int,
    rounds: int,
    seconds: float,
    annotations: Path | None,
    images: Path | None,
    limit: int | None,
    match_classes: str,
    skip_bad_labels: bool,
    csv_file: Path | None,
    html_file: Path | None,
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Measure ARTIFACTS side by side on the same frames, in turns.

    Each runs in a process of its own; times are of the bare network, of every stage, and from frame
    to detections one by one and streamed. With --annotations, accuracy of the very same files.
    """
    from edgeyolo.atomic import check_file_target, write_text
    from edgeyolo.benchmark import tables
    from edgeyolo.benchmark.measure import measure
    from edgeyolo.benchmark.records import BenchmarkRequest
    from edgeyolo.errors import needs

    if len({path.resolve() for path in artifacts}) != len(artifacts):
        raise click.UsageError("an artifact is named twice; name each once")
    for target in (csv_file, html_file):
        if target is not None:
            check_file_target(target)
    accuracy = None
    if annotations is not None:
        # The one part that needs more than a device has.
        with needs("PyYAML", extra="eval"):
            from edgeyolo.benchmark.accuracy import CocoAccuracy
            from edgeyolo.evaluation.coco import ClassMatching
            from edgeyolo.validation import ValidationRequest

        accuracy = CocoAccuracy(
            ValidationRequest(
                model=artifacts[0],
                annotations=annotations,
                images=images,
                matching=ClassMatching(match_classes),
                limit=limit,
                skip_bad_labels=skip_bad_labels,
                device=device,
                threads=threads,
            ),
            artifacts,
        )
    report = measure(
        BenchmarkRequest(
            artifacts=artifacts,
            source=source or (str(images) if images else _PATTERN),
            frames=frames,
            rounds=rounds,
            seconds=seconds,
            device=device,
            threads=threads,
            pictures=3 if html_file else 0,
        ),
        options.say,
        accuracy,
    )
    for figures in report.artifacts:
        if figures.accuracy is not None and figures.accuracy.left_out:
            options.say(
                f"AP of {figures.name}: left out of the labels: {figures.accuracy.left_out}; see: "
                f"edgeyolo data check {annotations}"
            )
    if csv_file is not None:
        write_text(csv_file, tables.as_csv(report))
    if html_file is not None:
        from edgeyolo.benchmark.html_report import as_html

        write_text(html_file, as_html(report))
    if as_json:
        options.print_json(tables.as_dict(report))
    else:
        click.echo(tables.as_text(report))
