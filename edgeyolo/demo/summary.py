"""The demo's result for people, and as plain data."""

from __future__ import annotations

from typing import Any

import msgspec

from edgeyolo.benchmark.tables import BACKEND_NAMES
from edgeyolo.demo.records import DemoResult


def as_text(result: DemoResult) -> str:
    """A table, what failed or was left out, and what to do next."""
    request = result.request
    model = result.report.artifacts[0].contract.model
    lines = [
        f"{model.name} at {model.input_hw[0]}x{model.input_hw[1]}, {model.num_classes} symbols; "
        f"AP on {request.scenes} rendered scenes it has never seen: "
        f"PyTorch {result.torch_ap:.4f}",
        "",
        f"{'runtime':<14}{'':<6}{'as PyTorch':>12}{'AP':>8}{'network':>12}{'stream':>10}"
        f"{'file':>10}{'export':>9}",
    ]
    for artifact, figures in zip(result.artifacts, result.report.artifacts, strict=True):
        parity = artifact.parity
        lines.append(
            f"{BACKEND_NAMES[artifact.backend]:<14}{artifact.precision!s:<6}"
            f"{f'{parity.matched}/{parity.reference}':>12}{result.ap(artifact):>8.4f}"
            f"{result.network_ms(artifact):>9.2f} ms{result.frames_per_s(artifact):>8.0f}/s"
            f"{figures.file_bytes / 1e6:>7.2f} MB{artifact.export_s:>7.1f} s"
        )
    best = max(result.artifacts, key=result.frames_per_s)
    output = request.output
    lines += [
        "",
        *(f"{BACKEND_NAMES[backend]}: {reason}" for backend, reason in result.left_out.items()),
        *(f"warning: {warning}" for warning in result.report.warnings),
        *(f"FAILED {failure}" for failure in result.failures()),
        f"done in {result.elapsed_s:.0f} s; fastest here: {best.folder}",
        "",
        f"  {output / 'report.html'}      everything above with charts and pictures; open it",
        f"  {output / 'detections.jpg'}   what the detector sees",
        f"  {output / 'symbols.png'}      print it, and hold it in front of a camera:",
        f"      edgeyolo camera {best.folder} --source 0",
        "",
        "find them again, one by one:",
        f"  edgeyolo predict {best.folder} {output / 'pictures' / 'images'}",
        "",
        "now your own model:",
        f"  edgeyolo export best.pth --to {best.backend}"
        "                        # YOLOX or YOLOv7, or a name: yolox-s",
        f"  edgeyolo export best.pth --to {best.backend} --precision int8 --calibration PICTURES "
        "--val-annotations instances.json --max-drop 0.003",
        "  edgeyolo train yolox-nano --data DATA --output RUN          # if there is none yet",
    ]
    return "\n".join(lines)


def as_dict(result: DemoResult) -> dict[str, Any]:
    """For JSON."""
    return {
        "output": str(result.request.output),
        "torch_ap": result.torch_ap,
        "scenes": result.request.scenes,
        "elapsed_s": round(result.elapsed_s, 1),
        "failures": result.failures(),
        "left_out": {backend.value: reason for backend, reason in result.left_out.items()},
        "artifacts": [
            {
                "artifact": str(artifact.folder),
                "backend": artifact.backend.value,
                "precision": artifact.precision.value,
                "parity": msgspec.to_builtins(artifact.parity),
                "ap": result.ap(artifact),
                "network_ms": result.network_ms(artifact),
                "frames_per_s": result.frames_per_s(artifact),
                "export_s": round(artifact.export_s, 1),
                "notes": list(artifact.notes),
            }
            for artifact in result.artifacts
        ],
    }
