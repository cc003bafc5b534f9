"""Algorithms x backends: accuracy and time of INT8 beside float, as a Markdown table.

    python benchmarks/int8_table.py CHECKPOINT --calibration DIR --annotations FILE
        [--images DIR] [--output FILE]

With ``--output``, rows are added to a file as soon as they are measured, and those that it has
already are not measured again: the whole table takes half an hour. The one in docs/int8.md was
printed by it for the official YOLOX-Nano.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from edgeyolo.calibration.ranges import RangeEstimator
from edgeyolo.errors import EdgeYoloError, one_line
from edgeyolo.int8_report import Int8Files
from edgeyolo.int8_request import Int8Request
from edgeyolo.pipeline import try_int8
from edgeyolo.spec import Backend
from edgeyolo.weights import cache_folder

_HEAD = """\
| backend | algorithm | float | INT8 | drop | time INT8 / float |
| --- | --- | --- | --- | --- | --- |
"""
# Full-integer files for integer-only accelerators, as a backend of its own.
FULL_INTEGER = "tflite, full integer"


def main() -> None:
    """Measure what is missing, then print the table."""
    arguments = _arguments()
    output: Path | None = arguments.output
    _say(f"machine: {platform.machine()}, {platform.system()}; float is the same runtime in FP32")
    known = output.read_text(encoding="utf-8") if output and output.is_file() else _HEAD
    rows: list[str] = known.splitlines()
    for name in arguments.backend:
        missing = [
            one
            for one in arguments.algorithm
            if not any(row.startswith(_row_head(name, one)) for row in rows)
        ]
        for row in _measured(name, missing, arguments):
            rows.append(row)
            if output is not None:
                output.write_text("\n".join(rows) + "\n", encoding="utf-8")
    print("\n".join(rows))


def _measured(
    name: str, estimators: list[RangeEstimator], arguments: argparse.Namespace
) -> Iterator[str]:
    if not estimators:
        return
    full_integer = name == FULL_INTEGER
    request = Int8Request(
        calibration=arguments.calibration,
        val_annotations=arguments.annotations,
        val_images=arguments.images,
        full_integer=full_integer,
        cache_folder=cache_folder() / "calibration",
    )
    backend = Backend.TFLITE if full_integer else Backend(name)
    left = list(estimators)
    try:
        for found in try_int8(arguments.checkpoint, backend, request, estimators, progress=_say):
            yield _row(name, left.pop(0), found)
    except EdgeYoloError as error:
        for estimator in left:
            yield f"{_row_head(name, estimator)} - | {one_line(error)} | | |"


def _row_head(name: str, estimator: RangeEstimator) -> str:
    return f"| {name} | {estimator} |"


def _row(name: str, estimator: RangeEstimator, found: Int8Files) -> str:
    before, after = found.float_score.value, found.score.value
    share = "-"
    if found.score.network_ms is not None and found.float_ms is not None:
        share = f"{found.score.network_ms / found.float_ms:.2f}"
    return (
        f"{_row_head(name, estimator)} {before:.4f} | {after:.4f} | {before - after:+.4f} | "
        f"{share} |"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    names = [*(backend.value for backend in Backend), FULL_INTEGER]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--backend", choices=names, nargs="+", default=names)
    parser.add_argument("--algorithm", type=RangeEstimator, nargs="+", default=list(RangeEstimator))
    return parser.parse_args()


if __name__ == "__main__":
    main()
