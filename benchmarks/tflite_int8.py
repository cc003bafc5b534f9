"""What each measure of TFLite INT8 buys and costs, as a Markdown table.

    python benchmarks/tflite_int8.py CHECKPOINT --calibration DIR --images DIR --annotations FILE

``far`` is the number of convolutions behind a tensor from which on a multiplication is spent on
equalising it (0: every tensor; 1000: none). Times are the median of one network call beside that
of the float file in the same run, one thread.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeyolo.calibration.pictures import choose_pictures
from edgeyolo.calibration.tflite_equalize import FAR
from edgeyolo.calibration.tflite_int8 import DEFAULT_ESTIMATOR, TfliteCalibration
from edgeyolo.checkpoints.load import load_model
from edgeyolo.contract import Contract, Provenance, encode
from edgeyolo.exporters.tflite_exporter import TfliteModel, export_tflite
from edgeyolo.exporters.vendor import ExportSource
from edgeyolo.models.deploy import deploy
from edgeyolo.predictor import open_session
from edgeyolo.runtimes.session import Session, SessionOptions
from edgeyolo.spec import Backend, ModelSpec, OutputKind, Precision
from edgeyolo.tflite.graph import Graph
from edgeyolo.tflite.writer import to_bytes
from edgeyolo.validation import ValidationRequest, validate

FARS = (1000, 50, 20, FAR, 0)
CALLS = 60


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--far", type=int, nargs="+", default=list(FARS))
    options = parser.parse_args(arguments)
    loaded = load_model(options.checkpoint)
    deployed, _ = deploy(loaded.model)
    source = ExportSource(deployed, loaded.spec)
    raw_onnx = source.graph(OutputKind.RAW)
    pictures = choose_pictures(options.calibration, loaded.spec.preprocess)
    forms = {
        form: export_tflite(raw_onnx, loaded.spec, form=form)
        for form in (OutputKind.DECODED, OutputKind.RAW)
    }
    print("| form | far | equalised | AP | time / FP32 |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        float_file = Path(name, "float.tflite")
        plain = forms[OutputKind.DECODED]
        _write(plain, plain.graph, loaded.spec, Precision.FP32, float_file)
        print(f"| float | | | {_ap(float_file, options):.4f} | 1 |", flush=True)
        for form, model in forms.items():
            samples = None
            for far in options.far:
                calibration = TfliteCalibration(
                    model.graph,
                    pictures,
                    DEFAULT_ESTIMATOR,
                    far=far,
                    samples=samples,
                )
                samples = calibration.samples
                graph = calibration.quantize(full_integer=form is OutputKind.RAW)
                file = Path(name, "int8.tflite")
                contract = _write(model, graph, loaded.spec, Precision.INT8, file)
                ratio = _ratio(
                    (file, contract), (float_file, _contract(plain, loaded.spec, Precision.FP32))
                )
                print(
                    f"| {'full integer' if form is OutputKind.RAW else 'default'} "
                    f"| {far} | {len(calibration.equalized.factors)} "
                    f"| {_ap(file, options):.4f} | {ratio:.2f} |",
                    flush=True,
                )


def _contract(model: TfliteModel, spec: ModelSpec, precision: Precision) -> Contract:
    return Contract(
        model=spec,
        backend=Backend.TFLITE,
        precision=precision,
        input=model.input,
        output=model.output,
        entry="model.tflite",
        provenance=Provenance(
            source_name="benchmark", source_sha256="0" * 64, created="", tools={}
        ),
    )


def _write(
    model: TfliteModel, graph: Graph, spec: ModelSpec, precision: Precision, file: Path
) -> Contract:
    contract = _contract(model, spec, precision)
    graph.metadata["edgeyolo_contract"] = encode(contract).encode()
    file.write_bytes(to_bytes(graph))
    return contract


def _ap(file: Path, options: argparse.Namespace) -> float:
    request = ValidationRequest(
        model=file,
        annotations=options.annotations,
        images=options.images,
        max_detections=100,
        threads=1,
    )
    return float(validate(request).report.ap)


def _ratio(*files: tuple[Path, Contract]) -> float:
    sessions: list[Session] = [
        open_session(file, contract, SessionOptions(threads=1)) for file, contract in files
    ]
    height, width = files[0][1].model.input_hw
    pixels = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)
    times: list[list[float]] = [[] for _ in sessions]
    for _ in range(CALLS):
        for session, spent in zip(sessions, times, strict=True):
            begin = time.perf_counter()
            session.run(pixels)
            spent.append(time.perf_counter() - begin)
    first, second = (statistics.median(spent) for spent in times)
    return first / second


if __name__ == "__main__":
    sys.exit(main())
