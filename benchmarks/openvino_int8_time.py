"""Where the time of an INT8 network goes on OpenVINO, as a Markdown table.

    python benchmarks/openvino_int8_time.py FLOAT_ARTIFACT INT8_ARTIFACT [--calibration DIR]
        [--threads 1 2]

Both are artifacts for OpenVINO of one detector. Beside them stand the INT8 network with its
activation replaced, whose results mean nothing and whose time shows what SiLU costs, and, with
``--calibration``, what ``nncf.quantize`` makes of the float network when it may do as it likes:
nothing kept float. All are called in turns; medians of the bare network.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino
from openvino import opset13

from edgeyolo.artifact import load_artifact
from edgeyolo.calibration.pictures import choose_pictures
from edgeyolo.openvino_core import kept_signal_stack, new_core

CALLS = 100
REPLACEMENTS = {"ReLU": opset13.relu, "HardSwish": opset13.hswish, "GELU": opset13.gelu}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("float_artifact", type=Path)
    parser.add_argument("int8_artifact", type=Path)
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args(arguments)
    core = new_core()
    contract = load_artifact(options.float_artifact).contract
    networks = {
        "FP32": core.read_model(options.float_artifact / "model.xml"),
        "INT8": core.read_model(options.int8_artifact / "model.xml"),
    }
    for name, make in REPLACEMENTS.items():
        model = core.read_model(options.int8_artifact / "model.xml")
        networks[f"INT8, {name} for SiLU"] = _with_activation(model, make)
    if options.calibration is not None:
        pictures = choose_pictures(options.calibration, contract.model.preprocess)
        with kept_signal_stack():
            networks["nncf.quantize, all defaults"] = nncf.quantize(
                networks["FP32"].clone(),
                nncf.Dataset(pictures, lambda pixels: pixels),
                subset_size=len(pictures),
            )
    height, width = contract.model.input_hw
    pixels = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)
    print(f"OpenVINO {openvino.__version__.split('-')[0]}")
    print("| network | threads | ms | of FP32 |\n| --- | --- | --- | --- |")
    for threads in options.threads:
        times = _times(core, networks, pixels, threads)
        for name, spent in times.items():
            print(f"| {name} | {threads} | {1e3 * spent:.2f} | {spent / times['FP32']:.2f} |")


def _with_activation(model: Any, make: Any) -> Any:
    for operator in model.get_ops():
        if operator.get_type_name() == "Swish":
            source = operator.input_value(0)
            new = make(source, "ERF") if make is opset13.gelu else make(source)
            operator.output(0).replace(new.output(0))
    return model


def _times(
    core: Any, networks: dict[str, Any], pixels: np.ndarray[Any, Any], threads: int
) -> dict[str, float]:
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    requests = {
        name: core.compile_model(model, "CPU", settings).create_infer_request()
        for name, model in networks.items()
    }
    spent: dict[str, list[float]] = {name: [] for name in requests}
    for _ in range(CALLS):
        for name, request in requests.items():
            begin = time.perf_counter()
            request.infer([pixels], share_inputs=True)
            spent[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in spent.items()}


if __name__ == "__main__":
    sys.exit(main())
