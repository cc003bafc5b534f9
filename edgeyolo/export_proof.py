"""Runs what an exporter wrote before it becomes an artifact."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeyolo.checkpoints.load import LoadedModel
from edgeyolo.contract import Contract, ParityRecord
from edgeyolo.evaluation.parity import chunks, compare
from edgeyolo.evaluation.suppression_check import TOLERANCE, suppression_fault
from edgeyolo.evaluation.torch_session import exact_session, torch_predictor
from edgeyolo.exporters.vendor import VendorFiles
from edgeyolo.predictor import Predictor, open_session
from edgeyolo.runtimes.session import SessionOptions
from edgeyolo.spec import Precision


def prove(
    loaded: LoadedModel,
    folder: Path,
    contract: Contract,
    files: VendorFiles,
    frames: Sequence[NDArray[np.uint8]],
    image_source: str,
) -> ParityRecord:
    """Compare what was written with the PyTorch model.

    Args:
        folder: Where *files* are.
        contract: Of the entry; parity may be checked on another file, which computes the same.
        frames: (H, W, 3) uint8 BGR.
        image_source: What to call them.
    """
    reference = torch_predictor(loaded.model, loaded.spec, thresholds=contract.thresholds)
    candidate = _opened(folder, _checked_contract(contract, files))
    try:
        return compare(
            reference,
            candidate,
            frames,
            precision=contract.precision,
            image_source=image_source,
            exact=lambda: exact_session(loaded.model, loaded.spec),
        )
    finally:
        candidate.close()


def wrong_suppression(
    folder: Path, contract: Contract, files: VendorFiles, frames: Sequence[NDArray[np.uint8]]
) -> str | None:
    """What is wrong with suppression inside a file.

    ``None`` where there is none, or all is well. Parity is checked before suppression, which
    leaves the operators that come after it.
    """
    if files.proof is None:
        return None
    with _opened(folder, _checked_contract(contract, files)) as outside:
        for name in files.proof.suppressed:
            inside = dataclasses.replace(contract, backend=files.proof.backend, entry=name)
            with _opened(folder, inside) as suppressing:
                fault = _fault(outside, suppressing, frames, contract.precision)
            if fault is not None:
                return f"suppression inside {name} is wrong: {fault}"
    return None


def _fault(
    outside: Predictor,
    suppressing: Predictor,
    frames: Sequence[NDArray[np.uint8]],
    precision: Precision,
) -> str | None:
    sizes = (suppressing.input.batch,) if suppressing.input.batch else (1, 2, 4)
    for chunk in chunks(frames, sizes):
        batch, placements = suppressing.prepare(chunk)
        boxes_xyxy, scores = outside.session.run(batch)
        (rows,) = suppressing.session.run(batch)
        for index in range(len(placements)):
            fault = suppression_fault(
                boxes_xyxy[index],
                scores[index],
                rows[rows[:, 0] == index],
                suppressing.thresholds,
                TOLERANCE[precision],
            )
            if fault is not None:
                return fault
    return None


def _checked_contract(contract: Contract, files: VendorFiles) -> Contract:
    """The contract of the file that parity is checked on."""
    if files.proof is None:
        return contract
    return dataclasses.replace(
        contract,
        backend=files.proof.backend,
        entry=files.proof.file,
        output=files.proof.output,
    )


def _opened(folder: Path, contract: Contract) -> Predictor:
    session = open_session(folder / contract.entry, contract, SessionOptions())
    return Predictor(
        session,
        model=contract.model,
        input=contract.input,
        output=contract.output,
        thresholds=contract.thresholds,
    )
