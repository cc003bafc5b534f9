"""Processes that write one thing over and over until they are killed.

``python -m tests.hardening.crash_writers NAME FOLDER``; its first line on stdout says that
one is written. Each writing differs from the one before in every file, so that a mixture of two
would show.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edgeyolo.calibration.cache import CacheKey
    from edgeyolo.contract import Contract

PART_BYTES = 200_000
PARTS = ("model.onnx", "a/part", "b/part")


def content(number: int) -> bytes:
    """What every part of writing *number* holds."""
    return hashlib.sha256(str(number).encode()).digest() * (PART_BYTES // 32)


def artifacts(folder: Path) -> Iterator[None]:
    from edgeyolo.artifact import save_artifact

    contract = _contract()
    for number in itertools.count():
        source = folder / "source"
        source.write_bytes(content(number))
        described = dataclasses.replace(
            contract,
            provenance=dataclasses.replace(contract.provenance, source_name=str(number)),
        )
        save_artifact(folder / "artifact", described, dict.fromkeys(PARTS, source))
        yield


def checkpoints(folder: Path) -> Iterator[None]:
    import torch

    from edgeyolo.checkpoints.own import save_checkpoint

    spec = _contract().model
    for number in itertools.count():
        state = {f"part{part}": torch.full((20_000,), float(number)) for part in range(4)}
        save_checkpoint(folder / "last.pt", state, spec)
        yield


def packages(folder: Path) -> Iterator[None]:
    from edgeyolo.artifact import save_artifact
    from edgeyolo.packaging.package import package

    source = folder / "source"
    source.write_bytes(content(0))
    save_artifact(folder / "artifact", _contract(), dict.fromkeys(PARTS, source))
    for _ in itertools.count():
        package(folder / "artifact", folder / "packed", zipped=False)
        package(folder / "artifact", folder / "packed.zip", zipped=True)
        yield


def calibrations(folder: Path) -> Iterator[None]:
    from edgeyolo.calibration.cache import CalibrationCache

    cache = CalibrationCache(folder / "cache")
    for number in itertools.count():
        # Twice the same key: the entry is there already, and is replaced.
        for _ in range(2):
            cache.put(calibration_key(number % 3), dict.fromkeys(("x", "y"), content(number)))
        yield


def pictures(folder: Path) -> Iterator[None]:
    from edgeyolo.prediction import _write_picture

    for number in itertools.count():
        _write_picture(folder / "shown.png", np.full((300, 300, 3), number % 256, np.uint8))
        yield


def calibration_key(number: int) -> CacheKey:
    """A key that names nothing but *number*."""
    from edgeyolo.calibration.cache import CacheKey
    from edgeyolo.calibration.ranges import RangeEstimator
    from edgeyolo.calibration.settings import Int8Settings
    from edgeyolo.spec import Backend

    return CacheKey(
        backend=Backend.ONNX,
        graph_sha256=str(number),
        pictures_sha256="",
        preprocess=_contract().model.preprocess,
        settings=Int8Settings(estimator=RangeEstimator.MIN_MAX),
    )


def _contract() -> Contract:
    from edgeyolo.spec import Backend
    from tests.doubles.tiny_detector import tiny_contract

    return dataclasses.replace(tiny_contract("model.onnx"), backend=Backend.ONNX)


WRITERS: Mapping[str, Callable[[Path], Iterator[None]]] = {
    "artifact": artifacts,
    "checkpoint": checkpoints,
    "package": packages,
    "calibration": calibrations,
    "picture": pictures,
}

if __name__ == "__main__":
    for written, _ in enumerate(WRITERS[sys.argv[1]](Path(sys.argv[2]))):
        if written == 0:
            print("writing", flush=True)
