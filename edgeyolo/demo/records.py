"""What the demo is asked for, and what it found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeyolo.benchmark.records import ArtifactFigures, BenchmarkReport
from edgeyolo.contract import ParityRecord
from edgeyolo.spec import Backend, Precision

# The largest loss of AP that passes.
TOLERANCES = {Precision.FP32: 0.005, Precision.FP16: 0.005, Precision.INT8: 0.02}


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRequest:
    """How much of it.

    Attributes:
        output: Folder for everything; made if need be.
        backends: Which runtimes; every one that runs here where empty.
        scenes: Held-out scenes that accuracy is measured on.
        calibration: Scenes that INT8 is calibrated on.
        rounds: Turns of the benchmark.
        seconds: Length of one turn.
    """

    output: Path
    backends: tuple[Backend, ...] = ()
    scenes: int = 100
    calibration: int = 64
    rounds: int = 3
    seconds: float = 0.2


@dataclass(frozen=True, slots=True)
class DemoArtifact:
    """One exported artifact.

    Attributes:
        folder: On disk.
        parity: Against PyTorch.
        export_s: Time of the whole export, its proof included.
        notes: What a user should know.
    """

    folder: Path
    backend: Backend
    precision: Precision
    parity: ParityRecord
    export_s: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """Everything the demo made.

    Attributes:
        torch_ap: AP of the checkpoint in PyTorch on the same scenes.
        left_out: Runtime -> why it took no part.
        elapsed_s: All of it.
    """

    request: DemoRequest
    torch_ap: float
    artifacts: tuple[DemoArtifact, ...]
    report: BenchmarkReport
    left_out: dict[Backend, str]
    elapsed_s: float

    def ap(self, artifact: DemoArtifact) -> float:
        """As the benchmark measured it on the held-out scenes."""
        accuracy = self._figures(artifact).accuracy
        assert accuracy is not None
        return accuracy.ap

    def network_ms(self, artifact: DemoArtifact) -> float:
        """Median of the bare network."""
        return self._figures(artifact).bare.p50

    def frames_per_s(self, artifact: DemoArtifact) -> float:
        """From picture to detections, streamed."""
        return self._figures(artifact).stream_per_s

    def failures(self) -> list[str]:
        """Every artifact whose AP is further from PyTorch's than its precision may be."""
        return [
            f"{artifact.folder.name}: AP {self.ap(artifact):.4f}, PyTorch {self.torch_ap:.4f}; "
            f"allowed is a drop of {TOLERANCES[artifact.precision]}"
            for artifact in self.artifacts
            if self.torch_ap - self.ap(artifact) > TOLERANCES[artifact.precision]
        ]

    def _figures(self, artifact: DemoArtifact) -> ArtifactFigures:
        index = self.artifacts.index(artifact)
        return self.report.artifacts[index]
