"""Accuracy and time of INT8 files, beside the float files of the same backend."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.calibration.block_sensitivity import Network
from edgeyolo.calibration.budget import Score, ScoreKind
from edgeyolo.contract import Contract, Provenance, Thresholds
from edgeyolo.data.bad_labels import NOTHING, LeftOut
from edgeyolo.data.dataset import DetectionDataset
from edgeyolo.detections import Detections
from edgeyolo.evaluation.coco import evaluate
from edgeyolo.evaluation.parity import MIN_SCORE
from edgeyolo.evaluation.parity_tally import iou_matrix
from edgeyolo.exporters.vendor import VendorFiles
from edgeyolo.families import FAMILIES
from edgeyolo.predictor import Predictor, open_session
from edgeyolo.runtimes.session import Session, SessionOptions
from edgeyolo.spec import Backend, ModelSpec, Precision

_TIMED_CALLS = 30
_SAME_IOU = 0.5


@dataclass(slots=True)
class Int8Meter:
    """Measures INT8 files against an open float session; use it in a ``with`` block.

    Attributes:
        float_file: Vendor file of the float model.
        contract: Of the INT8 file as a runtime on this machine opens it.
        float_contract: Of *float_file*.
        dataset: Labelled pictures, for AP; else agreement on *frames*.
        frames: (H, W, 3) uint8 BGR pictures, iterated anew for every measurement.
        threads: CPU threads of both networks.
        float_ms: Median time of one float call, measured beside the last INT8 file.
        left_out: What the labels have and *dataset* has not.
    """

    float_file: Path
    contract: Contract
    float_contract: Contract
    dataset: DetectionDataset | None
    frames: Iterable[NDArray[np.uint8]]
    threads: int | None = None
    float_ms: float | None = None
    left_out: LeftOut = NOTHING
    _stack: ExitStack = field(default_factory=ExitStack)
    _float: Predictor | None = None
    _expected: list[Detections] = field(default_factory=list)
    _min_score: float = MIN_SCORE

    def __enter__(self) -> Int8Meter:
        self._float = self._open(self.float_file, self.float_contract)
        self._stack.callback(self._float.close)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def float_score(self) -> Score:
        """Of the float model itself: its AP, or 1 for agreement with itself."""
        if self.dataset is None:
            self._expected = self._detections(self.reference())
            if not self.float_objects():
                # Sure of nothing: then what it holds for possible must agree.
                self._min_score = FAMILIES[self.contract.model.family].evaluation.min_score
                self._expected = self._detections(self.reference())
            return Score(1.0, ScoreKind.AGREEMENT, len(self._expected))
        return self._ap(self.reference(), self.dataset)

    def float_objects(self) -> int:
        """Detections of the float model that agreement is counted on."""
        return sum(len(one) for one in self._expected)

    def __call__(self, files: Mapping[str, bytes]) -> Score:
        """Score and time of INT8 files."""
        with tempfile.TemporaryDirectory(prefix="edgeyolo-int8-") as name:
            for file, data in files.items():
                (Path(name) / file).write_bytes(data)
            candidate = self._open(Path(name) / self.contract.entry, self.contract)
            try:
                score = self._score(candidate)
                int8_ms, self.float_ms = interleaved_ms([candidate, self.reference()])
            finally:
                candidate.close()
        return replace(score, network_ms=int8_ms, float_ms=self.float_ms)

    def of_network(self, network: Network) -> Score:
        """Score of anything with the inputs and outputs of the float model."""
        return self._score(_predictor(_NetworkSession(network), self.float_contract))

    @property
    def device(self) -> str:
        """Where the networks ran."""
        return self.reference().session.device

    def _score(self, candidate: Predictor) -> Score:
        if self.dataset is not None:
            return self._ap(candidate, self.dataset)
        found = self._detections(candidate)
        return Score(agreement(self._expected, found), ScoreKind.AGREEMENT, len(found))

    def _ap(self, predictor: Predictor, dataset: DetectionDataset) -> Score:
        report = evaluate(predictor.evaluate, dataset)
        return Score(report.ap, ScoreKind.AP, report.pictures, ap50=report.ap50)

    def _detections(self, predictor: Predictor) -> list[Detections]:
        settings = replace(
            FAMILIES[predictor.model.family].evaluation,
            min_score=self._min_score,
            iou_threshold=predictor.thresholds.iou_threshold,
            multi_label=False,
            max_detections=300,
        )
        return [predictor.detect([frame], settings)[0] for frame in self.frames]

    def reference(self) -> Predictor:
        """The float model."""
        if self._float is None:
            raise ValueError("the meter is used outside its with block")
        return self._float

    def _open(self, file: Path, contract: Contract) -> Predictor:
        session = open_session(file, contract, SessionOptions(device="cpu", threads=self.threads))
        return _predictor(session, contract)


@dataclass(frozen=True, slots=True)
class _NetworkSession:
    """A function with decoded outputs as a session."""

    network: Network
    device: str = "CPU"

    def run(self, batch: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        return tuple(self.network(batch))

    def close(self) -> None:
        """Nothing is held."""


def _predictor(session: Session, contract: Contract) -> Predictor:
    return Predictor(
        session,
        model=contract.model,
        input=contract.input,
        output=contract.output,
        thresholds=contract.thresholds,
    )


def agreement(expected: Sequence[Detections], found: Sequence[Detections]) -> float:
    """Detections in common over all: 2 m / (a + b), where m pairs are of one class and IoU > .5.

    1 where neither has any.
    """
    matched = total = 0
    for a, b in zip(expected, found, strict=True):
        total += len(a) + len(b)
        overlaps = iou_matrix(a.boxes_xyxy, b.boxes_xyxy)
        overlaps[a.class_ids[:, None] != b.class_ids[None, :]] = 0.0
        for row in range(len(a)):
            best = int(overlaps[row].argmax()) if len(b) else -1
            if best >= 0 and overlaps[row, best] > _SAME_IOU:
                matched += 1
                overlaps[:, best] = 0.0
    return 2.0 * matched / total if total else 1.0


def interleaved_ms(predictors: Sequence[Predictor], calls: int = _TIMED_CALLS) -> list[float]:
    """Median time of one network call each, called in turn so that all meet the same load."""
    frame = np.full((*predictors[0].model.input_hw, 3), 114, np.uint8)
    batches = [predictor.prepare([frame])[0] for predictor in predictors]
    times: list[list[float]] = [[] for _ in predictors]
    for call in range(calls + 3):
        for predictor, batch, elapsed in zip(predictors, batches, times, strict=True):
            started = time.perf_counter()
            predictor.session.run(batch)
            if call >= 3:  # the first calls allocate
                elapsed.append((time.perf_counter() - started) * 1e3)
    return [float(np.median(elapsed)) for elapsed in times]


def measuring_contract(
    spec: ModelSpec,
    backend: Backend,
    files: VendorFiles,
    thresholds: Thresholds,
    precision: Precision,
) -> Contract:
    """A contract to open files with that are not an artifact yet."""
    return Contract(
        model=spec,
        backend=backend,
        precision=precision,
        input=files.input,
        output=files.output,
        entry=files.entry,
        provenance=Provenance(source_name="", source_sha256="", created="", tools={}),
        thresholds=thresholds,
    )
