"""Combinations of installed packages that are known to go wrong."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping

from edgeyolo.doctor.findings import Finding, Severity
from edgeyolo.machine import Machine, MachineKind
from edgeyolo.opencv import JETSON_OPENCV

OPENCV_WHEELS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "openvino", "ai-edge-litert", "tflite-runtime")
_TENSORRT = ("tensorrt", "tensorrt-rtx-cu13", "tensorrt-rtx-cu12")
# Linux for Tegra -> JetPack and its TensorRT, from NVIDIA's release notes.
_JETPACKS = (
    ("35.", "JetPack 5", "8.5"),
    ("36.2", "JetPack 6.0", "8.6"),
    ("36.3", "JetPack 6.0", "8.6"),
    ("36.", "JetPack 6.1 or 6.2", "10.3"),
    ("38.", "JetPack 7.0 or 7.1", "10.13"),
    ("39.2", "JetPack 7.2", "10.16"),
)
# Below the first, MLAS and OpenVINO lack what the exported files use.
_OLDEST = {"onnxruntime": (1, 20), "openvino": (2025, 0), "ai-edge-litert": (2, 1)}


def installed_packages() -> dict[str, str]:
    """Name (lower case, hyphens) -> version of everything this Python sees."""
    return {
        re.sub(r"[-_.]+", "-", distribution.name).lower(): distribution.version
        for distribution in importlib.metadata.distributions()
        # A folder left over from a failed uninstallation has no name.
        if distribution.name
    }


def package_findings(
    installed: Mapping[str, str], machine: Machine, tensorrt_version: str | None = None
) -> list[Finding]:
    """What is wrong with a set of packages.

    Args:
        installed: As of :func:`installed_packages`.
        machine: Where they are installed.
        tensorrt_version: Of the module that imports, which on a Jetson is not a pip package.
    """
    findings = [
        *_opencv(installed, machine),
        *_tflite(installed),
        *_onnxruntime(installed),
        *_too_old(installed),
        *_no_runtime(installed, tensorrt_version),
        *_jetpack(machine, tensorrt_version or installed.get("tensorrt")),
    ]
    if machine.kind is MachineKind.JETSON and "tensorrt-rtx-cu13" in installed:
        findings.append(
            Finding(
                "tensorrt",
                Severity.WARNING,
                "TensorRT for RTX is installed, which serves no Jetson",
                "pip uninstall tensorrt-rtx-cu13; use JetPack's TensorRT",
            )
        )
    return findings


def numbers(version: str) -> tuple[int, ...]:
    """``"2.13.0+cpu"`` as (2, 13, 0)."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def jetpack_of(l4t: str) -> tuple[str, str] | None:
    """JetPack's name and its TensorRT for a Linux for Tegra, ``None`` for one not known here."""
    for start, name, tensorrt in _JETPACKS:
        if l4t.startswith(start):
            return name, tensorrt
    return None


def _opencv(installed: Mapping[str, str], machine: Machine) -> list[Finding]:
    wheels = [name for name in OPENCV_WHEELS if name in installed]
    if len(wheels) < 2:
        return []
    # On a Jetson any wheel would hide JetPack's OpenCV.
    on_jetson = machine.kind is MachineKind.JETSON
    install = JETSON_OPENCV if on_jetson else "pip install opencv-python"
    return [
        Finding(
            "opencv",
            Severity.WARNING,
            f"{' and '.join(wheels)} are installed together; they overwrite each other's cv2, and "
            "which one works is chance",
            f"pip uninstall -y {' '.join(wheels)} && {install}",
        )
    ]


def _tflite(installed: Mapping[str, str]) -> list[Finding]:
    if "tflite-runtime" not in installed:
        return []
    numpy = installed.get("numpy", "")
    if "ai-edge-litert" in installed:
        text = "tflite-runtime is installed beside its successor ai-edge-litert, which is used"
        return [Finding("tflite", Severity.NOTE, text, "pip uninstall tflite-runtime")]
    if numbers(numpy) >= (2,):
        return [
            Finding(
                "tflite",
                Severity.WARNING,
                f"tflite-runtime {installed['tflite-runtime']} was built for numpy 1; with numpy "
                f"{numpy} it fails when a model is opened",
                "pip uninstall -y tflite-runtime && pip install ai-edge-litert (or: pip install "
                "'numpy<2')",
            )
        ]
    text = "tflite-runtime is no longer maintained; its INT8 kernels are slow on x86"
    return [Finding("tflite", Severity.NOTE, text, "pip install ai-edge-litert")]


def _onnxruntime(installed: Mapping[str, str]) -> list[Finding]:
    builds = [name for name in installed if re.fullmatch(r"onnxruntime(-[a-z]+)?", name)]
    if len(builds) < 2:
        return []
    return [
        Finding(
            "onnxruntime",
            Severity.WARNING,
            f"{' and '.join(sorted(builds))} are installed together; they share one folder, and "
            "the last one installed wins",
            f"pip uninstall -y {' '.join(sorted(builds))}, then install the one you want",
        )
    ]


def _too_old(installed: Mapping[str, str]) -> list[Finding]:
    return [
        Finding(
            name,
            Severity.WARNING,
            f"{name} {installed[name]} is older than {'.'.join(map(str, oldest))}, the oldest "
            "that edgeyolo is made for",
            f"pip install --upgrade {name}",
        )
        for name, oldest in _OLDEST.items()
        if name in installed and numbers(installed[name]) < oldest
    ]


def _no_runtime(installed: Mapping[str, str], tensorrt_version: str | None) -> list[Finding]:
    if tensorrt_version or any(name in installed for name in (*_RUNTIMES, *_TENSORRT)):
        return []
    return [
        Finding(
            "runtimes",
            Severity.WARNING,
            "no runtime is installed, so nothing can be detected",
            "pip install 'edgeyolo[onnx]' (or [openvino] on Intel, [tflite] on a Raspberry Pi)",
        )
    ]


def _jetpack(machine: Machine, tensorrt: str | None) -> list[Finding]:
    if machine.kind is not MachineKind.JETSON or machine.l4t is None:
        return []
    known = jetpack_of(machine.l4t)
    if known is None:
        text = f"Linux for Tegra {machine.l4t}: its JetPack is not known to this version"
        return [Finding("jetpack", Severity.NOTE, text)]
    jetpack, expected = known
    if tensorrt is not None and numbers(tensorrt)[:2] != numbers(expected):
        return [
            Finding(
                "jetpack",
                Severity.WARNING,
                f"{jetpack} (L4T {machine.l4t}) comes with TensorRT {expected}, but Python finds "
                f"{tensorrt}; engines of one do not load in the other",
                "sudo apt install --reinstall python3-libnvinfer, and in a venv made with "
                "python3 -m venv --system-site-packages: pip uninstall tensorrt",
            )
        ]
    text = f"{jetpack} (L4T {machine.l4t}), whose TensorRT is {expected}"
    return [Finding("jetpack", Severity.OK, text)]
