"""The whole examination."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edgeyolo.doctor.findings import Finding, Severity
from edgeyolo.doctor.opencv_build import (
    OpenCvBuild,
    opencv_build,
    opencv_findings,
    problem_findings,
)
from edgeyolo.doctor.packages import installed_packages, package_findings
from edgeyolo.doctor.precisions import PrecisionSpeed, precision_speeds
from edgeyolo.machine import ROOT, Machine, MachineKind, this_machine
from edgeyolo.opencv import opencv_problem
from edgeyolo.pi_power import pi_power
from edgeyolo.runtimes.catalog import RUNTIMES
from edgeyolo.runtimes.session import RuntimeReport
from edgeyolo.runtimes.tensorrt_doctor import Verdict, diagnose_tensorrt
from edgeyolo.spec import Backend

_LITTLE_MEMORY_MB = 700


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Everything that was found; warnings do not make it a failure.

    Attributes:
        opencv: ``None`` where it does not load.
    """

    machine: Machine
    runtimes: tuple[RuntimeReport, ...]
    precisions: tuple[PrecisionSpeed, ...]
    opencv: OpenCvBuild | None
    findings: tuple[Finding, ...]


def diagnose() -> Diagnosis:
    """Examine this machine and this Python; nothing is changed, no model is run."""
    machine = this_machine()
    reports = tuple(runtime.report() for runtime in RUNTIMES.values())
    tensorrt = next(report for report in reports if report.backend is Backend.TENSORRT)
    # A Jetson's own module; that for RTX has numbers of its own.
    version = tensorrt.version if tensorrt.package == "tensorrt" else None
    problem = opencv_problem()
    build = None if problem else opencv_build()
    findings = [
        *package_findings(installed_packages(), machine, version),
        *_runtime_findings(reports),
        *_tensorrt_findings(machine),
        *problem_findings(problem, machine),
        *([] if build is None else opencv_findings(build, machine)),
        *machine_findings(machine, ROOT),
    ]
    order = list(reversed(Severity))
    return Diagnosis(
        machine=machine,
        runtimes=reports,
        precisions=precision_speeds(machine, reports),
        opencv=build,
        findings=tuple(sorted(findings, key=lambda finding: order.index(finding.severity))),
    )


def machine_findings(machine: Machine, root: Path) -> list[Finding]:
    """Memory, clocks, cameras and GPU nodes.

    Args:
        machine: The machine whose files these are.
        root: Where ``/sys`` and ``/dev`` lie.
    """
    findings = []
    if machine.memory_free_mb < _LITTLE_MEMORY_MB:
        findings.append(
            Finding(
                "memory",
                Severity.WARNING,
                f"only {machine.memory_free_mb} MB of memory are free; building an engine or "
                "loading a large model may be killed",
                "close other programs, or add swap: sudo fallocate -l 4G /swapfile && sudo chmod "
                "600 /swapfile && sudo mkswap /swapfile && sudo swapon /swapfile",
            )
        )
    findings += _clock_findings(machine, root)
    findings += _power_findings(root)
    for pattern, group in (("dev/video*", "video"), ("dev/dri/renderD*", "render")):
        closed = [path for path in sorted(root.glob(pattern)) if not _may_use(path)]
        if closed:
            names = ", ".join(f"/{path.relative_to(root)}" for path in closed)
            findings.append(
                Finding(
                    group,
                    Severity.WARNING,
                    f"this user may not open {names}",
                    f"sudo usermod -aG {group} $USER, then log in again",
                )
            )
    return findings


def _clock_findings(machine: Machine, root: Path) -> list[Finding]:
    path = root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    try:
        governor = path.read_text().strip()
    except OSError:
        return []
    boards = (MachineKind.JETSON, MachineKind.RASPBERRY_PI, MachineKind.ARM)
    if governor == "performance" or machine.kind not in boards:
        return []
    fix = "sudo cpupower frequency-set -g performance"
    if machine.kind is MachineKind.JETSON:
        fix = "sudo nvpmodel -m 0 && sudo jetson_clocks"
    text = f"the CPU clock follows the load (governor {governor}); latency varies while it rises"
    return [Finding("clocks", Severity.NOTE, text, fix)]


def _power_findings(root: Path) -> list[Finding]:
    """A Raspberry Pi whose supply is weak or that is too hot."""
    power = pi_power(root)
    if power is None:
        return []
    if not power.now and not power.since_start:
        return [Finding("power", Severity.OK, "no under-voltage and no throttling since the start")]
    told = power.now or power.since_start
    text = f"the board is slowed down now: {', '.join(told)}"
    if not power.now:
        text = f"the board was slowed down since its start: {', '.join(told)}"
    fix = "a fan or heat sink"
    if "under-voltage" in told:
        fix = "a supply of 5 V and 3 A (Pi 4) or 5 A (Pi 5), and a short cable"
    return [Finding("power", Severity.WARNING, f"{text}; measured times mislead", fix)]


def _runtime_findings(reports: tuple[RuntimeReport, ...]) -> list[Finding]:
    """Packages that are installed but do not load."""
    return [
        Finding(
            str(report.backend),
            Severity.WARNING,
            # Behind the semicolon is what to do.
            report.note.partition(";")[0],
            f"pip install --force-reinstall {report.package}",
        )
        for report in reports
        if "does not load" in report.note and report.backend is not Backend.TENSORRT
    ]


def _tensorrt_findings(machine: Machine) -> list[Finding]:
    """What the TensorRT doctor says; on a machine without NVIDIA's GPU nothing is wrong."""
    found = diagnose_tensorrt()
    has_gpu = any(one.subject == "gpu" and one.verdict is Verdict.WORKS for one in found)
    wanted = has_gpu or machine.kind is MachineKind.JETSON
    has_module = any(one.verdict is Verdict.WORKS and one.subject == "run" for one in found)
    findings = []
    for one in found:
        severity = {
            Verdict.WORKS: Severity.OK,
            Verdict.LIMITED: Severity.NOTE,
            # One of the two modules is enough.
            Verdict.MISSING: Severity.WARNING if wanted and not has_module else Severity.NOTE,
        }[one.verdict]
        fix = "see docs/tensorrt.md" if severity is Severity.WARNING else ""
        findings.append(Finding(one.subject, severity, one.text, fix))
    return findings


def _may_use(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK)
