"""Algorithms x backends: accuracy and time of INT8 beside float, as a Markdown table.

    python benchmarks/int8_table.py CHECKPOINT --calibration DIR --annotations FILE [--images DIR]

The table in docs/int8.md was printed by it for the official YOLOX-Nano.
"""

from __future__ import annotations

import argparse
import platform
import sys
from pathlib import Path

from edgeyolo.calibration.ranges import RangeEstimator
from edgeyolo.errors import EdgeYoloError, one_line
from edgeyolo.pipeline import try_int8
from edgeyolo.quantization import Int8Files, Int8Request
from edgeyolo.spec import Backend
from edgeyolo.weights import cache_folder


def main() -> None:
    """Print the table, one row as soon as it is measured."""
    arguments = _arguments()
    print(
        f"machine: {platform.machine()}, {platform.system()}; float is the same runtime in FP32\n"
    )
    print("| backend | algorithm | float | INT8 | drop | time INT8 / float |")
    print("| --- | --- | --- | --- | --- | --- |")
    for backend in arguments.backend:
        for estimator in arguments.algorithm:
            request = Int8Request(
                calibration=arguments.calibration,
                estimator=estimator,
                val_annotations=arguments.annotations,
                val_images=arguments.images,
                cache_folder=cache_folder() / "calibration",
            )
            try:
                (found,) = try_int8(arguments.checkpoint, backend, [request], progress=_say)
            except EdgeYoloError as error:
                print(f"| {backend} | {estimator} | - | {one_line(error)} | | |", flush=True)
                continue
            print(_row(backend, found), flush=True)


def _row(backend: Backend, found: Int8Files) -> str:
    before, after = found.float_score.value, found.score.value
    share = "-"
    if found.score.network_ms is not None and found.float_ms is not None:
        share = f"{found.score.network_ms / found.float_ms:.2f}"
    return (
        f"| {backend} | {found.record.algorithm} | {before:.4f} | {after:.4f} | "
        f"{before - after:+.4f} | {share} |"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--backend", type=Backend, nargs="+", default=list(Backend))
    parser.add_argument("--algorithm", type=RangeEstimator, nargs="+", default=list(RangeEstimator))
    return parser.parse_args()


if __name__ == "__main__":
    main()
