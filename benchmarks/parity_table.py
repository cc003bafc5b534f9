"""Parity of every network on every runtime, as a Markdown table.

    python benchmarks/parity_table.py --reference ../shared/reference [--only yolox-nano,...]

Networks have the synthetic weights of the reference data, so that all thirteen can be checked
without a download. Each file is compared with the PyTorch model in its training form. A cell has
the mean and the largest difference before suppression (of any corner, relative to the box's longer
side plus the stride, and of any score), then the share of detections that both find and how far
their boxes are apart. The last two are left out where every picture has 300 objects or more, as
untrained networks see them: which of them survive is decided by ties.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray

from edgeyolo.coco_names import COCO_NAMES
from edgeyolo.contract import Contract, ParityRecord, Provenance
from edgeyolo.evaluation.parity import compare
from edgeyolo.evaluation.torch_session import exact_session, torch_predictor
from edgeyolo.exporters.catalog import EXPORTERS
from edgeyolo.exporters.vendor import ExportSource
from edgeyolo.families import FAMILIES
from edgeyolo.letterbox import Letterboxer
from edgeyolo.models.deploy import deploy
from edgeyolo.models.detector import Detector
from edgeyolo.models.zoo import VARIANTS, build
from edgeyolo.predictor import Predictor, open_session
from edgeyolo.runtimes.session import SessionOptions
from edgeyolo.scenes import render_scene
from edgeyolo.spec import Backend, Family, ModelSpec, Precision

BACKENDS = (Backend.ONNX, Backend.OPENVINO, Backend.TFLITE)
PRECISIONS = (Precision.FP32, Precision.FP16)
# P6 networks are checked at 640 as well: the same operators, a quarter of the time.
LARGEST_SIDE = 640


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--only", default=",".join(VARIANTS), help="names, with commas")
    parser.add_argument("--pictures", type=int, default=2)
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    titles = [f"{backend} {precision}" for backend in BACKENDS for precision in PRECISIONS]
    print(f"| model | input | {' | '.join(titles)} |")
    print("| --- | --- |" + " --- |" * len(titles))
    failed = 0
    for name in options.only.split(","):
        started = time.perf_counter()
        cells = []
        input_hw = tuple(min(side, LARGEST_SIDE) for side in VARIANTS[name].input_hw)
        for record in parities(name, (input_hw[0], input_hw[1]), options):
            failed += not record.passed
            cells.append(cell(record))
        print(f"| {name} | {input_hw[0]}x{input_hw[1]} | {' | '.join(cells)} |")
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    sys.exit(1 if failed else 0)


def cell(record: ParityRecord) -> str:
    verdict = "" if record.passed else f" FAILED: {record.note}"
    figures = f"{record.mean_raw_error:.1e} / {record.max_raw_error:.1e}"
    total = record.reference + record.matched + record.extra
    if total:
        figures += f", {2 * record.matched / total:.3f}, {record.max_box_error_px:.1e} px"
    return figures + verdict


def parities(
    name: str, input_hw: tuple[int, int], options: argparse.Namespace
) -> Iterator[ParityRecord]:
    """One record per backend and precision."""
    model = synthetic(name, options.reference)
    spec = ModelSpec(
        family=model.family,
        variant=model.variant,
        class_names=COCO_NAMES,
        strides=model.strides,
        anchors_px=model.anchors_px,
        preprocess=FAMILIES[model.family].preprocess(input_hw),
    )
    frames = [
        render_scene(seed, (input_hw[0] - 40, input_hw[1] + 30)).frame_bgr
        for seed in range(options.pictures)
    ]
    source = ExportSource(deploy(model)[0], spec, canvases=canvases(frames, spec))
    reference = torch_predictor(model, spec)
    for backend in BACKENDS:
        for precision in PRECISIONS:
            with tempfile.TemporaryDirectory() as folder:
                files = EXPORTERS[backend].write(source, precision, Path(folder))
                contract = Contract(
                    model=spec,
                    backend=backend,
                    precision=precision,
                    input=files.input,
                    output=files.output,
                    entry=files.entry,
                    provenance=Provenance(
                        source_name=name, source_sha256="0" * 64, created="", tools={}
                    ),
                )
                session = open_session(Path(folder, files.entry), contract, SessionOptions())
                candidate = Predictor(session, model=spec, input=files.input, output=files.output)
                yield compare(
                    reference,
                    candidate,
                    frames,
                    precision=precision,
                    image_source="scenes",
                    exact=lambda: exact_session(model, spec),
                )
                candidate.close()


def canvases(frames: list[NDArray[np.uint8]], spec: ModelSpec) -> tuple[NDArray[np.uint8], ...]:
    letterboxer = Letterboxer(spec.preprocess)
    boards = np.empty((len(frames), *spec.input_hw, 3), np.uint8)
    for frame, board in zip(frames, boards, strict=True):
        letterboxer.place(frame, board)
    return tuple(boards)


def synthetic(name: str, reference: Path) -> Detector:
    """A published network with the reference's synthetic weights, in training form."""
    synth = load_module(reference / "synth_weights.py")
    variant = VARIANTS[name].architecture
    path = reference / "models" / f"{variant.family}_{variant.variant}.json.gz"
    listing = json.loads(gzip.decompress(path.read_bytes()))
    if variant.family is Family.YOLOV7:
        listing = listing["training"]
    model = build(name, 80)
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            values = synth.synth_tensor(key, tensor.shape, str(tensor.dtype), listing["bn_log2var"])
            if values is not None:
                tensor.copy_(torch.from_numpy(values))
            if "_preds." in key:
                # Drawn at random, YOLOX's logits have tails that no trained network has: boxes
                # of 1e8 pixels (exp) and hundreds of scores that round to 1.
                tensor.mul_(0.1)
    return model.eval()


def load_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
