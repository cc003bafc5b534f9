"""Parity of one checkpoint over every picture of a folder: sizes x batches x runtimes.

python benchmarks/parity_all_pictures.py CHECKPOINT PICTURES [--sizes 416,320x640,640]
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.checkpoints.load import load_model
from edgeyolo.contract import Contract, Provenance
from edgeyolo.evaluation.parity import compare
from edgeyolo.evaluation.torch_session import torch_predictor
from edgeyolo.exporters.catalog import EXPORTERS
from edgeyolo.exporters.vendor import ExportSource
from edgeyolo.models.deploy import deploy
from edgeyolo.pictures import list_pictures, read_picture
from edgeyolo.predictor import Predictor, open_session
from edgeyolo.runtimes.session import Session, SessionOptions
from edgeyolo.spec import Backend, Precision


class Remembered:
    """A session that runs each picture once: the reference is the same for every file."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[bytes, tuple[NDArray[np.float32], ...]] = {}

    @property
    def device(self) -> str:
        return self._session.device

    def run(self, batch: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        outputs = []
        for canvas in batch:
            key = hashlib.sha256(canvas).digest()
            if key not in self._known:
                self._known[key] = self._session.run(canvas[None])
            outputs.append(self._known[key])
        return tuple(np.concatenate(parts) for parts in zip(*outputs, strict=True))

    def close(self) -> None:
        self._known.clear()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--sizes", default="416,320x640,640", help="height x width, with commas")
    parser.add_argument("--batches", default="1,2,4")
    parser.add_argument("--backends", default="onnx,openvino,tflite")
    options = parser.parse_args()
    paths = list_pictures(options.pictures)
    failed = 0
    print("| input | batch | runtime | detections | boxes within | scores within | dense |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for size in options.sizes.split(","):
        sides = [int(side) for side in size.split("x")]
        loaded = load_model(options.checkpoint, input_hw=(sides[0], sides[-1]))
        reference = torch_predictor(loaded.model, loaded.spec)
        reference.session = Remembered(reference.session)
        deployed = deploy(loaded.model)[0]
        for batch in map(int, options.batches.split(",")):
            source = ExportSource(deployed, loaded.spec, batch=batch)
            for backend in map(Backend, options.backends.split(",")):
                with tempfile.TemporaryDirectory() as folder:
                    files = EXPORTERS[backend].write(source, Precision.FP32, Path(folder))
                    contract = Contract(
                        model=loaded.spec,
                        backend=backend,
                        precision=Precision.FP32,
                        input=files.input,
                        output=files.output,
                        entry=files.entry,
                        provenance=Provenance(
                            source_name=options.checkpoint.name,
                            source_sha256=loaded.checkpoint.sha256,
                            created="",
                            tools={},
                        ),
                    )
                    session = open_session(Path(folder, files.entry), contract, SessionOptions())
                    candidate = Predictor(
                        session, model=loaded.spec, input=files.input, output=files.output
                    )
                    record = compare(
                        reference,
                        candidate,
                        (read_picture(path) for path in paths),
                        precision=Precision.FP32,
                        image_source=options.pictures.name,
                    )
                    candidate.close()
                failed += not record.passed
                print(
                    f"| {size} | {batch} | {backend} | {record.matched} of {record.reference} "
                    f"(+{record.extra}) | {record.max_box_error_px:.2g} px | "
                    f"{record.max_score_error:.1e} | {record.max_raw_error:.1e} |",
                    flush=True,
                )
    print(f"{len(paths)} pictures, {failed} failed", file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
