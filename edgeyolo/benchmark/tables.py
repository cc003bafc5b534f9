"""The report as a table for terminals, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import textwrap
from typing import Any

import msgspec

from edgeyolo.benchmark.published import NOTE, comparison
from edgeyolo.benchmark.records import STAGES, Accuracy, BenchmarkReport
from edgeyolo.spec import Backend

BACKEND_NAMES = {
    Backend.ONNX: "ONNX Runtime",
    Backend.OPENVINO: "OpenVINO",
    Backend.TFLITE: "LiteRT",
    Backend.TENSORRT: "TensorRT",
}


def as_text(report: BenchmarkReport) -> str:
    """Lines for a terminal."""
    height, width = report.frame_hw
    request = report.request
    lines = [
        report.machine.line(),
        f"{report.frames} frames of {report.source} ({width}x{height}), {request.rounds} rounds, "
        f"{request.seconds:g} s a turn, threads {request.threads or 'as the vendor likes'}",
        "",
        *_aligned(_speed_rows(report)),
        "",
        *_aligned(_other_rows(report)),
    ]
    if any(row.measured for row in comparison(report.artifacts)):
        lines += ["", *_aligned(published_rows(report)), *textwrap.wrap(NOTE, 110)]
    lines += ["", *(f"warning: {warning}" for warning in report.warnings)]
    return "\n".join(lines).rstrip()


def as_csv(report: BenchmarkReport) -> str:
    """One line an artifact, columns as in the JSON; nested ones joined with a dot."""
    rows = [_flat(figures.as_dict()) for figures in report.artifacts]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_dict(report: BenchmarkReport) -> dict[str, Any]:
    """For JSON."""
    request = report.request
    return {
        "created": report.created,
        "machine": msgspec.to_builtins(report.machine),
        "sensors": msgspec.to_builtins(report.sensors),
        "versions": report.versions,
        "source": report.source,
        "frame_hw": report.frame_hw,
        "frames": report.frames,
        "rounds": request.rounds,
        "seconds": request.seconds,
        "threads": request.threads,
        "warnings": report.warnings,
        "artifacts": [figures.as_dict() for figures in report.artifacts],
        "published": [msgspec.to_builtins(row) for row in comparison(report.artifacts)],
    }


def published_rows(report: BenchmarkReport) -> list[list[str]]:
    """The public table with measured columns, header first."""
    rows = [
        [
            "published",
            "size",
            "mAP",
            "CPU ONNX ms",
            "T4 TensorRT ms",
            "params M",
            "FLOPs G",
            *(f"{name} ms here" for name in BACKEND_NAMES.values()),
            "AP here",
        ]
    ]
    for row in comparison(report.artifacts):
        model = row.published
        measured = [found for kind in BACKEND_NAMES for found in row.measured.get(kind, ())]
        aps = [text for found in measured if (text := found.accuracy())]
        val = "" if model.ap == model.ap_val else f" ({model.ap_val})"
        rows.append(
            [
                model.name,
                str(model.side),
                f"{model.ap}{val}",
                *(
                    "-" if ms is None else f"{ms}"
                    for ms in (model.cpu_onnx_ms, model.t4_tensorrt_ms)
                ),
                f"{model.params_m}",
                f"{model.gflops}",
                *(
                    ", ".join(found.text(model.side) for found in row.measured.get(kind, ())) or "-"
                    for kind in BACKEND_NAMES
                ),
                ", ".join(dict.fromkeys(aps)) or "-",
            ]
        )
    return rows


def accuracy_text(accuracy: Accuracy | None) -> str:
    """``".2891 on 198 pictures"``, for a few pictures may say anything; empty without one."""
    return f"{accuracy.ap:.4f} on {accuracy.pictures} pictures" if accuracy else ""


def _speed_rows(report: BenchmarkReport) -> list[list[str]]:
    header = ["artifact", "bare p50", "p95", "p99", *STAGES, "predict", "p95", "p99"]
    rows = [[*header, "bare/s", "predict/s", "stream/s", "stream/bare"]]
    for figures in report.artifacts:
        times = [figures.bare.p50, figures.bare.p95, figures.bare.p99]
        times += [figures.stages[stage].p50 for stage in STAGES]
        times += [figures.sync.p50, figures.sync.p95, figures.sync.p99]
        rates = [figures.bare_per_s, figures.sync_per_s, figures.stream_per_s]
        rows.append(
            [
                figures.name,
                *(f"{time_ms:.2f}" for time_ms in times),
                *(f"{rate:.1f}" for rate in rates),
                f"{figures.stream_over_bare:.3f}",
            ]
        )
    return rows


def _other_rows(report: BenchmarkReport) -> list[list[str]]:
    with_power = report.with_power
    header = ["artifact", "model", "input", "runs on", "load ms", "first ms", "file MB"]
    header += ["memory MB", "peak MB", "AP"]
    rows = [[*header, *(["watts", "J/frame", "drawn by"] if with_power else [])]]
    for figures in report.artifacts:
        contract = figures.contract
        height, width = contract.model.input_hw
        row = [
            figures.name,
            contract.model.name,
            f"{width}x{height}",
            f"{contract.backend} {contract.precision} {figures.device}",
            f"{figures.load_ms:.0f}",
            f"{figures.first_ms:.1f}",
            f"{figures.file_bytes / 1e6:.1f}",
            f"{figures.resident_mb:.0f}",
            f"{figures.peak_mb:.0f}",
            accuracy_text(figures.accuracy) or "-",
        ]
        if with_power:
            row.append("-" if figures.stream_watts is None else f"{figures.stream_watts:.1f}")
            row.append("-" if figures.joules_a_frame is None else f"{figures.joules_a_frame:.3f}")
            row.append(figures.power_source or "-")
        rows.append(row)
    return rows


def _aligned(rows: list[list[str]]) -> list[str]:
    """Columns side by side, the first to the left, numbers to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def _flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in data.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{name}."))
        elif isinstance(value, list | tuple):
            flat[prefix + name] = "x".join(str(part) for part in value)
        else:
            flat[prefix + name] = "" if value is None else value
    return flat
