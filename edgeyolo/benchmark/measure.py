"""Measures several artifacts in turns, so that all of them see the same machine."""

from __future__ import annotations

import importlib.metadata
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from edgeyolo.benchmark.link import WorkerProcess
from edgeyolo.benchmark.messages import (
    Draw,
    Look,
    Memory,
    Open,
    Opened,
    Picture,
    Pictures,
    Run,
    Streamed,
    Times,
    Turn,
)
from edgeyolo.benchmark.records import (
    STAGES,
    Accuracy,
    ArtifactFigures,
    BenchmarkReport,
    BenchmarkRequest,
    Percentiles,
)
from edgeyolo.benchmark.sensors import Sensors
from edgeyolo.machine import this_machine

Progress = Callable[[str], None]
AccuracyMeasure = Callable[[Path], Accuracy]
_PICTURE_SIDE = 640
_PACKAGES = (
    "edgeyolo",
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "ai-edge-litert",
    "tflite-runtime",
    "tensorrt",
    "tensorrt-rtx-cu13",
)


def measure(
    request: BenchmarkRequest, progress: Progress, accuracy: AccuracyMeasure | None = None
) -> BenchmarkReport:
    """Measure speed and memory in turns, then accuracy one after the other.

    Args:
        request: What and how long.
        progress: Told each step in a line.
        accuracy: Evaluates an artifact; given rather than imported, since a device has no use for
            what it needs. ``None`` measures no accuracy.

    Raises:
        EdgeYoloError: An artifact does not load or run here, or the frames or labels cannot be
            used; nothing is left out silently.
    """
    machine = this_machine()
    with ExitStack() as stack:
        records = []
        for path, name in zip(request.artifacts, names_of(request.artifacts), strict=True):
            progress(f"loading {name}")
            record = _Record(path, name, stack.enter_context(WorkerProcess(name)))
            record.open(request)
            records.append(record)
        gpus = [record.opened.gpu for record in records if record.opened.gpu is not None]
        with Sensors(gpus=gpus) as sensors:
            for round_number in range(request.rounds):
                progress(f"round {round_number + 1} of {request.rounds}")
                # Another one begins each time: nobody always comes first.
                start = round_number % len(records)
                for record in (*records[start:], *records[:start]):
                    record.take_turns(request.seconds, sensors)
            report = sensors.report()
        for record in records:
            record.finish(request.pictures)
    figures = []
    for record in records:
        if accuracy is not None:
            progress(f"accuracy of {record.name}")
        figures.append(record.figures(accuracy(record.path) if accuracy else None))
    return BenchmarkReport(
        request=request,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        machine=machine,
        sensors=report,
        versions=versions(),
        frame_hw=records[0].opened.frame_hw,
        frames=records[0].opened.frames,
        artifacts=tuple(figures),
    )


def names_of(paths: Sequence[Path]) -> list[str]:
    """Short names, or whole paths where short ones are equal."""
    short = [path.resolve().name for path in paths]
    return short if len(set(short)) == len(short) else [str(path) for path in paths]


@dataclass(slots=True)
class _Record:
    """One artifact with what was measured so far."""

    path: Path
    name: str
    worker: WorkerProcess
    _opened: Opened | None = None
    times_ms: dict[str, list[float]] = field(default_factory=dict)
    bare_per_s: list[float] = field(default_factory=list)
    sync_per_s: list[float] = field(default_factory=list)
    stream_per_s: list[float] = field(default_factory=list)
    watts: list[float] = field(default_factory=list)
    power_source: str | None = None
    memory: Memory = field(default_factory=lambda: Memory(0.0, 0.0))
    pictures: tuple[Picture, ...] = ()

    @property
    def opened(self) -> Opened:
        assert self._opened is not None
        return self._opened

    def open(self, request: BenchmarkRequest) -> None:
        self._opened = self.worker.ask(
            Open(
                artifact=str(self.path),
                source=request.source,
                frames=request.frames,
                device=request.device,
                threads=request.threads,
            ),
            Opened,
        )

    def take_turns(self, seconds: float, sensors: Sensors) -> None:
        # Stream next to bare: their ratio is what the application gets of the network.
        bare_ms = self._timed(Turn.BARE, seconds)["bare"]
        self.bare_per_s.append(self.opened.batch * _per_second(bare_ms))
        meter = sensors.power.meter(self.opened.gpu)
        intervals_ms = self.worker.ask(Run(Turn.STREAM, seconds), Streamed).intervals_ms
        watts = meter.watts()
        self._keep("stream", intervals_ms)
        self.stream_per_s.append(_per_second(intervals_ms))
        if watts is not None:
            self.watts.append(watts)
            self.power_source = sensors.power.source(self.opened.gpu)
        sync_ms = self._timed(Turn.SYNC, seconds)["sync"]
        self.sync_per_s.append(_per_second(sync_ms))
        self._timed(Turn.STAGES, seconds)

    def finish(self, pictures: int) -> None:
        # Before drawing, which is not part of detecting.
        self.memory = self.worker.ask(Look(), Memory)
        if pictures:
            answer = self.worker.ask(Draw(pictures, _PICTURE_SIDE), Pictures)
            self.pictures = answer.pictures

    def figures(self, accuracy: Accuracy | None) -> ArtifactFigures:
        opened = self.opened
        watts = statistics.median(self.watts) if self.watts else None
        stream_per_s = statistics.median(self.stream_per_s)
        return ArtifactFigures(
            name=self.name,
            path=str(self.path),
            contract=opened.contract,
            device=opened.device,
            sha256=opened.entry_sha256,
            file_bytes=opened.entry_bytes,
            load_ms=opened.load_ms,
            first_ms=opened.first_ms,
            bare=Percentiles.of(self.times_ms["bare"]),
            stages={name: Percentiles.of(self.times_ms[name]) for name in STAGES},
            sync=Percentiles.of(self.times_ms["sync"]),
            stream=Percentiles.of(self.times_ms["stream"]),
            bare_per_s=statistics.median(self.bare_per_s),
            sync_per_s=statistics.median(self.sync_per_s),
            stream_per_s=stream_per_s,
            sync_over_bare=_ratio(self.sync_per_s, self.bare_per_s),
            stream_over_bare=_ratio(self.stream_per_s, self.bare_per_s),
            resident_mb=self.memory.resident_mb,
            peak_mb=self.memory.peak_mb,
            before_mb=opened.before_mb,
            stream_watts=watts,
            power_source=self.power_source,
            joules_a_frame=None if watts is None else watts / stream_per_s,
            accuracy=accuracy,
            pictures=self.pictures,
        )

    def _timed(self, turn: Turn, seconds: float) -> dict[str, list[float]]:
        times_ms = self.worker.ask(Run(turn, seconds), Times).times_ms
        for name, values in times_ms.items():
            self._keep(name, values)
        return times_ms

    def _keep(self, name: str, values_ms: list[float]) -> None:
        self.times_ms.setdefault(name, []).extend(values_ms)


def versions() -> dict[str, str]:
    """Of what may take part and is installed."""
    found = {}
    for name in _PACKAGES:
        # Not a list of all names: packages write theirs with hyphens or underscores.
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _per_second(times_ms: list[float]) -> float:
    # Percentiles.of says in words what an empty turn means.
    Percentiles.of(times_ms)
    return len(times_ms) / (sum(times_ms) / 1e3)


def _ratio(upper: list[float], lower: list[float]) -> float:
    return statistics.median(over / under for over, under in zip(upper, lower, strict=True))
