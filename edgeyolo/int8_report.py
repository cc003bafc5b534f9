"""What came of quantising: files and everything measured on the way."""

from __future__ import annotations

from dataclasses import dataclass

from edgeyolo.calibration.budget import FrontierPoint, Score, ScoreKind
from edgeyolo.calibration.coverage import Coverage
from edgeyolo.calibration.sensitivity import Sensitivity
from edgeyolo.contract import AccuracyRecord, CalibrationRecord, LatencyRecord
from edgeyolo.data.bad_labels import NOTHING, LeftOut
from edgeyolo.exporters.vendor import VendorFiles


@dataclass(frozen=True, slots=True)
class Int8Files:
    """INT8 files in a folder, and everything measured on the way.

    Attributes:
        files: As an exporter describes them.
        record: For the contract.
        coverage: Of the calibration set.
        float_score: Of the float model on the same backend.
        score: Of the INT8 files.
        float_ms: Median time of a float call, ``None`` where the backend does not run here.
        frontier: All trials of the budget.
        cost_ms: What the budget's float layers cost.
        sensitivity: Where it was measured.
        device: What the time was measured on.
        dataset: What the score was measured on.
        compared: Detections of the float model that agreement was counted on; ``None`` for AP.
        left_out: What the labels have and the measured pictures have not.
    """

    files: VendorFiles
    record: CalibrationRecord
    coverage: Coverage
    float_score: Score
    score: Score
    float_ms: float | None
    frontier: tuple[FrontierPoint, ...]
    cost_ms: float | None
    sensitivity: Sensitivity | None
    device: str
    dataset: str
    compared: int | None = None
    left_out: LeftOut = NOTHING

    def accuracy(self) -> AccuracyRecord | None:
        """For the contract, where AP was measured."""
        if self.score.kind is not ScoreKind.AP:
            return None
        return AccuracyRecord(
            ap=self.score.value,
            ap50=self.score.ap50 or 0.0,
            images=self.score.pictures,
            dataset=self.dataset,
            float_ap=self.float_score.value,
        )

    def latency(self) -> LatencyRecord | None:
        """For the contract, where the backend runs on this machine."""
        if self.score.network_ms is None or self.float_ms is None:
            return None
        return LatencyRecord(
            network_ms=self.score.network_ms,
            batch=1,
            device=self.device,
            threads=None,
            float_network_ms=self.float_ms,
        )

    def lines(self) -> list[str]:
        """Float and INT8 side by side, for people."""
        before, after = self.float_score.value, self.score.value
        lines = [
            f"{self.score.kind} on {self.score.pictures} pictures of {self.dataset}: "
            f"float {before:.4f}, INT8 {after:.4f} (drop {before - after:+.4f})"
        ]
        if self.left_out:
            lines.append(f"left out of the labels: {self.left_out}; see: edgeyolo data check")
        if self.compared is not None:
            lines.append(f"agreement was counted on {self.compared} detections of the float model")
        int8_ms, float_ms = self.score.network_ms, self.float_ms
        if int8_ms is not None and float_ms is not None:
            lines.append(
                f"network on this machine ({self.device}): float {float_ms:.2f} ms, "
                f"INT8 {int8_ms:.2f} ms ({int8_ms / float_ms:.2f} of the time)"
            )
            if int8_ms >= float_ms:
                lines.append(
                    "INT8 is SLOWER than float on this machine; export fp32 or fp16 for it"
                )
        if len(self.frontier) > 1:
            lines.append("budget: " + "; ".join(point.text() for point in self.frontier))
        if self.cost_ms is not None and self.record.float_layers:
            lines.append(
                f"{len(self.record.float_layers)} layers stay float, which costs "
                f"{self.cost_ms:+.2f} ms against INT8 throughout"
            )
        return lines
