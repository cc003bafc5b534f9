"""``run_demo``: from the embedded checkpoint to measured artifacts, pictures and a report."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from edgeyolo.atomic import write_text
from edgeyolo.benchmark.accuracy import CocoAccuracy
from edgeyolo.benchmark.html_report import as_html
from edgeyolo.benchmark.measure import measure
from edgeyolo.benchmark.records import BenchmarkReport, BenchmarkRequest
from edgeyolo.demo.gallery import write_gallery
from edgeyolo.demo.records import DemoArtifact, DemoRequest, DemoResult
from edgeyolo.embedded import checkpoint_path, detector_card
from edgeyolo.errors import BackendError, OutputError, one_line
from edgeyolo.int8_request import Int8Request
from edgeyolo.pipeline import ExportRequest, export
from edgeyolo.runtimes.catalog import RUNTIMES
from edgeyolo.scenes.folder import write_scenes
from edgeyolo.scenes.sheet import write_sheet
from edgeyolo.spec import Backend, Precision
from edgeyolo.validation import ValidationRequest, validate

Progress = Callable[[str], None]
HELD_OUT_SEED = 2_000_001
"""First of the scenes that neither training nor the choice of the best epoch has seen."""
SHOWN_SEED, SHOWN, SHOWN_HW = 4_000_002, 6, (480, 640)
"""Scenes to look at and to measure speed on, larger than the network's input."""
_MARKER = ".edgeyolo-demo"
_PICTURES_IN_REPORT = 3


def run_demo(request: DemoRequest, progress: Progress = lambda _: None) -> DemoResult:
    """Export the embedded detector for every runtime, prove, measure and show it.

    Written into ``request.output``: an artifact folder for each runtime and precision, the
    rendered ``scenes`` and ``pictures``, ``report.html``, ``detections.jpg`` and ``symbols.png``.

    Args:
        progress: Called with one line per step.

    Raises:
        BackendError: No runtime is installed that could run anything here.
        OutputError: The folder cannot be written, or holds something else.
        EdgeYoloError: A step failed; nothing is passed over.
    """
    started = time.perf_counter()
    backends, left_out = _backends(request.backends)
    output = _claimed(request.output)
    card = detector_card()
    held_out, calibration = output / "scenes", output / "calibration-scenes"
    shown = output / "pictures"
    progress(f"rendering {request.scenes} held-out and {request.calibration} calibration scenes")
    write_scenes(held_out, request.scenes, HELD_OUT_SEED, card.input_hw)
    write_scenes(calibration, request.calibration, card.first_seed, card.input_hw)
    write_scenes(shown, SHOWN, SHOWN_SEED, SHOWN_HW)
    labels = held_out / "instances.json"
    progress(f"accuracy of the checkpoint in PyTorch on {request.scenes} scenes")
    torch_ap = validate(ValidationRequest(model=checkpoint_path(), annotations=labels)).report.ap
    artifacts = tuple(
        _export(output, backend, precision, held_out / "images", calibration / "images", progress)
        for backend in backends
        for precision in Precision
    )
    report = _benchmark(request, artifacts, shown / "images", labels, progress)
    progress("drawing detections")
    write_gallery(output / "detections.jpg", artifacts[0].folder, shown / "images")
    write_sheet(output / "symbols.png")
    write_text(output / "report.html", as_html(report))
    return DemoResult(
        request=request,
        torch_ap=torch_ap,
        artifacts=artifacts,
        report=report,
        left_out=left_out,
        elapsed_s=time.perf_counter() - started,
    )


def _backends(wanted: tuple[Backend, ...]) -> tuple[list[Backend], dict[Backend, str]]:
    """The runtimes that run here, and why others do not."""
    usable: list[Backend] = []
    left_out: dict[Backend, str] = {}
    for backend, runtime in RUNTIMES.items():
        if wanted and backend not in wanted:
            continue
        report = runtime.report()
        if backend is Backend.TENSORRT:
            left_out[backend] = (
                "made for the device that builds it: edgeyolo export demo --to tensorrt, "
                "and edgeyolo build there"
            )
        elif report.version is None or not report.devices:
            left_out[backend] = report.note or f"{report.package} is not installed"
        else:
            usable.append(backend)
    if not usable:
        reasons = "; ".join(f"{backend}: {reason}" for backend, reason in left_out.items())
        raise BackendError(f"no runtime can run here ({one_line(reasons, limit=300)})")
    return usable, left_out


def _claimed(output: Path) -> Path:
    """The folder, marked as ours; another demo's is used again."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        if not (output / _MARKER).exists():
            if any(output.iterdir()):
                raise OutputError(
                    f"{output} holds something else than a demo; choose another --output"
                )
            (output / _MARKER).touch()
    except OSError as error:
        raise OutputError(f"cannot write {output}: {one_line(error.strerror or error)}") from error
    return output


def _export(
    output: Path,
    backend: Backend,
    precision: Precision,
    pictures: Path,
    calibration: Path,
    progress: Progress,
) -> DemoArtifact:
    started = time.perf_counter()
    int8 = None
    if precision is Precision.INT8:
        int8 = Int8Request(calibration=calibration, val_images=pictures)
    result = export(
        ExportRequest(
            checkpoint=checkpoint_path(),
            backend=backend,
            precision=precision,
            output=output / f"{backend}-{precision}",
            images=pictures,
            int8=int8,
        )
    )
    elapsed_s = time.perf_counter() - started
    parity = result.parity
    progress(
        f"{backend} {precision}: {parity.matched} of {parity.reference} detections as in PyTorch, "
        f"{elapsed_s:.1f} s"
    )
    return DemoArtifact(result.artifact.folder, backend, precision, parity, elapsed_s, result.notes)


def _benchmark(
    request: DemoRequest,
    artifacts: tuple[DemoArtifact, ...],
    frames: Path,
    labels: Path,
    progress: Progress,
) -> BenchmarkReport:
    folders = tuple(artifact.folder for artifact in artifacts)
    return measure(
        BenchmarkRequest(
            artifacts=folders,
            source=str(frames),
            frames=SHOWN,
            rounds=request.rounds,
            seconds=request.seconds,
            pictures=_PICTURES_IN_REPORT,
        ),
        progress,
        CocoAccuracy(ValidationRequest(model=folders[0], annotations=labels), folders),
    )
