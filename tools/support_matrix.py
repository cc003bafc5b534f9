"""Print the support matrix of the README: float cells are tried, INT8 ones declared.

    python tools/support_matrix.py [--model yolox-nano] [--input-size 64]

A small network with random weights is written for every runtime in every form; a form that its
exporter refuses is a dash. INT8 would take minutes a cell: it is what ``edgeyolo.quantization``
declares.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgeyolo.benchmark.tables import BACKEND_NAMES
from edgeyolo.coco_names import COCO_NAMES
from edgeyolo.contract import Thresholds
from edgeyolo.errors import UnsupportedError
from edgeyolo.exporters.catalog import EXPORTERS
from edgeyolo.exporters.vendor import ExportSource
from edgeyolo.families import FAMILIES
from edgeyolo.models.deploy import deploy
from edgeyolo.models.zoo import VARIANTS, build
from edgeyolo.pipeline import SUPPRESSING
from edgeyolo.quantization import DEFAULT_ESTIMATORS, FULL_INTEGER
from edgeyolo.spec import Backend, ModelSpec, Precision

FORMS: Mapping[str, tuple[Precision, dict[str, Any]]] = {
    "FP32": (Precision.FP32, {}),
    "FP16": (Precision.FP16, {}),
    "any number of pictures a call (`--dynamic-batch`)": (Precision.FP32, {"batch": None}),
    "float input, preprocessed on the host (`--float-input`)": (
        Precision.FP32,
        {"pixels": False},
    ),
    "suppression in the graph (`--nms`)": (Precision.FP32, {"suppression": Thresholds()}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="yolox-nano", choices=list(VARIANTS))
    parser.add_argument("--input-size", type=int, default=64)
    arguments = parser.parse_args()
    print("\n".join(matrix(arguments.model, (arguments.input_size, arguments.input_size))))


def matrix(model_name: str, input_hw: tuple[int, int]) -> list[str]:
    """Lines of the Markdown table."""
    source = _source(model_name, input_hw)
    backends = list(EXPORTERS)
    rows = [
        _row(name, [_writes(source, backend, precision, form) for backend in backends])
        for name, (precision, form) in FORMS.items()
    ]
    int8 = [
        _row(
            "INT8, with an accuracy budget", [backend in DEFAULT_ESTIMATORS for backend in backends]
        ),
        _row(
            "INT8 throughout, for integer-only accelerators (`--full-integer`)",
            [backend in FULL_INTEGER for backend in backends],
        ),
    ]
    names = " | ".join(BACKEND_NAMES[backend] for backend in backends)
    ruler = " | ".join([":---:"] * len(backends))
    return [f"| | {names} |", f"| --- | {ruler} |", *rows[:2], *int8, *rows[2:]]


def _source(model_name: str, input_hw: tuple[int, int]) -> ExportSource:
    torch.manual_seed(0)
    model, _ = deploy(build(model_name, len(COCO_NAMES)).eval())
    spec = ModelSpec(
        family=model.family,
        variant=model.variant,
        class_names=COCO_NAMES,
        strides=model.strides,
        anchors_px=model.anchors_px,
        preprocess=FAMILIES[model.family].preprocess(input_hw),
    )
    canvas = np.full((*input_hw, 3), 114, np.uint8)
    return ExportSource(model, spec, canvases=(canvas,))


def _writes(
    source: ExportSource, backend: Backend, precision: Precision, form: dict[str, Any]
) -> bool:
    if "suppression" in form and backend not in SUPPRESSING:
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            EXPORTERS[backend].write(replace(source, **form), precision, Path(folder))
        except UnsupportedError:
            return False
    return True


def _row(name: str, supported: list[bool]) -> str:
    return f"| {name} | {' | '.join('yes' if one else '–' for one in supported)} |"


if __name__ == "__main__":
    main()
