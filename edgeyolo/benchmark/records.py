"""What a benchmark is asked, and what it found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgeyolo.benchmark.messages import Picture
from edgeyolo.benchmark.sensors import SensorReport
from edgeyolo.contract import Contract
from edgeyolo.errors import UnsupportedError
from edgeyolo.machine import Machine
from edgeyolo.sources.redact import redact

STAGES = ("prepare", "network", "finish")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkRequest:
    """What is measured, and how long.

    Attributes:
        artifacts: Folders or vendor files, each once.
        source: Frames that every artifact sees: a folder, picture, video or test pattern.
        frames: So many of them, from the start.
        rounds: Times that every artifact has its turns.
        seconds: Length of one turn; an artifact has four in a round.
        device, threads: As for ``edgeyolo.load``.
        pictures: Frames to return with detections drawn.
    """

    artifacts: tuple[Path, ...]
    source: str
    frames: int = 16
    rounds: int = 5
    seconds: float = 1.0
    device: str = "auto"
    threads: int | None = None
    pictures: int = 0

    def __post_init__(self) -> None:
        if len({path.resolve() for path in self.artifacts}) != len(self.artifacts):
            raise ValueError("an artifact is named twice; name each once")
        if min(self.frames, self.rounds) < 1 or self.seconds <= 0:
            raise ValueError("frames, rounds and seconds must be positive")


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of many times, in milliseconds."""

    p50: float
    p95: float
    p99: float
    mean: float
    calls: int

    @classmethod
    def of(cls, times_ms: list[float]) -> Percentiles:
        if not times_ms:
            raise UnsupportedError("no call fitted into a turn; use longer ones (--seconds)")
        p50, p95, p99 = (float(value) for value in np.percentile(times_ms, (50, 95, 99)))
        return cls(p50, p95, p99, float(np.mean(times_ms)), len(times_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """COCO accuracy of the very file whose speed was measured, 0..1.

    Attributes:
        left_out: In words, what the labels have and the evaluation has not; else empty.
    """

    ap: float
    ap50: float
    pictures: int
    dataset: str
    left_out: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactFigures:
    """One artifact, measured.

    Attributes:
        name: Its folder's or file's name.
        device: Where the network really ran.
        sha256: Of the model file that was measured.
        file_bytes: The model's files together.
        load_ms: ``edgeyolo.load``, with the vendor's import.
        first_ms: The first ``predict``.
        bare: The vendor's call on a resident tensor, a whole batch.
        stages: Letterbox (``prepare``), ``network`` and decode with suppression (``finish``).
        sync: ``Predictor.predict``.
        stream: From one result of ``Predictor.stream`` to the next.
        bare_per_s, sync_per_s, stream_per_s: Pictures a second, medians of the rounds.
        sync_over_bare, stream_over_bare: Medians of the ratios within each round.
        resident_mb: Memory of the process after all turns.
        peak_mb: The most it ever took.
        before_mb: What it took before the model was loaded, frames included.
        stream_watts: Mean power while streaming, where the platform shows it.
        power_source: What draws it and who says so, ``"processor (RAPL)"``.
        joules_a_frame: Energy of a streamed frame.
    """

    name: str
    path: str
    contract: Contract
    device: str
    sha256: str
    file_bytes: int
    load_ms: float
    first_ms: float
    bare: Percentiles
    stages: dict[str, Percentiles]
    sync: Percentiles
    stream: Percentiles
    bare_per_s: float
    sync_per_s: float
    stream_per_s: float
    sync_over_bare: float
    stream_over_bare: float
    resident_mb: float
    peak_mb: float
    before_mb: float
    stream_watts: float | None
    power_source: str | None
    joules_a_frame: float | None
    accuracy: Accuracy | None
    pictures: tuple[Picture, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: medians first, then all percentiles."""
        model = self.contract.model
        named = {"bare": self.bare, **self.stages, "sync": self.sync, "stream": self.stream}
        return {
            "name": self.name,
            "artifact": self.path,
            "model": model.name,
            "backend": str(self.contract.backend),
            "precision": str(self.contract.precision),
            "input_hw": model.input_hw,
            "batch": self.contract.input.batch,
            "device": self.device,
            "sha256": self.sha256,
            "file_bytes": self.file_bytes,
            "load_ms": self.load_ms,
            "first_ms": self.first_ms,
            "bare_ms": self.bare.p50,
            "stages_ms": {name: times.p50 for name, times in self.stages.items()},
            "sync_ms": self.sync.p50,
            "stream_ms": self.stream.p50,
            "percentiles_ms": {name: msgspec.to_builtins(times) for name, times in named.items()},
            "bare_per_s": self.bare_per_s,
            "sync_per_s": self.sync_per_s,
            "stream_per_s": self.stream_per_s,
            "sync_over_bare": self.sync_over_bare,
            "stream_over_bare": self.stream_over_bare,
            "resident_mb": self.resident_mb,
            "peak_mb": self.peak_mb,
            "before_mb": self.before_mb,
            "stream_watts": self.stream_watts,
            "power_source": self.power_source,
            "joules_a_frame": self.joules_a_frame,
            "ap": self.accuracy.ap if self.accuracy else None,
            "ap50": self.accuracy.ap50 if self.accuracy else None,
            "ap_pictures": self.accuracy.pictures if self.accuracy else None,
            "ap_left_out": (self.accuracy.left_out or None) if self.accuracy else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkReport:
    """All artifacts, and the circumstances.

    Attributes:
        created: UTC time, ISO 8601.
        versions: Package name -> version, of what took part.
    """

    request: BenchmarkRequest
    created: str
    machine: Machine
    sensors: SensorReport
    versions: dict[str, str]
    frame_hw: tuple[int, int]
    frames: int
    artifacts: tuple[ArtifactFigures, ...]

    @property
    def with_power(self) -> bool:
        """Whether the platform showed the power of any artifact."""
        return any(figures.stream_watts is not None for figures in self.artifacts)

    @property
    def source(self) -> str:
        """What the frames are from, without credentials."""
        return redact(self.request.source)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why the figures may be less than this machine can do."""
        sensors, found = self.sensors, list(self.sensors.throttled)
        if sensors.load is not None and sensors.load > self.machine.cpus + 1:
            found.append(
                f"{sensors.load:.1f} processes wanted {self.machine.cpus} CPUs: other programs "
                "were at work; trust ratios, not times"
            )
        if sensors.stolen is not None and sensors.stolen > 0.02:
            found.append(
                f"the hypervisor gave {sensors.stolen:.0%} of the CPU to others; trust ratios"
            )
        return tuple(found)
