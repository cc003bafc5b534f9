"""What TensorRT on this machine can and cannot do, for ``edgeyolo doctor``."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from edgeyolo.errors import BackendError, MissingPackageError, UnsupportedError
from edgeyolo.runtimes.cuda_driver import Cuda, Gpu
from edgeyolo.runtimes.tensorrt_modules import TENSORRT, TENSORRT_RTX, TensorRt, pick_tensorrt

# Oldest compute capabilities, from NVIDIA's support matrices: 7.0 in 10.1, 7.5 in 11 and RTX.
_OLDEST_FOR_10 = (7, 0)
_OLDEST_FOR_11 = (7, 5)
_RTX = (7, 5)
# First with tensor cores for INT8.
_INT8_TENSOR_CORES = (7, 2)
_RELEASE_FILE = Path("/etc/nv_tegra_release")


class Verdict(str, Enum):
    """How a finding bears on the user."""

    WORKS = "works"
    LIMITED = "limited"
    MISSING = "missing"

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a diagnosis.

    Attributes:
        subject: ``"driver"``, ``"gpu"``, ``"tensorrt"``, ``"build"``, ``"run"``, ...
        text: What is so, and what to do where something is missing.
    """

    subject: str
    verdict: Verdict
    text: str


def diagnose_tensorrt() -> tuple[Finding, ...]:
    """Findings on driver, GPU, modules, building and running; nothing is deserialised."""
    gpu, problem = _find_gpu()
    findings = [_on_gpu(gpu, problem)]
    found = {name: _module(name) for name in (TENSORRT, TENSORRT_RTX)}
    findings += [one for one in found.values() if isinstance(one, Finding)]
    modules = [one for one in found.values() if isinstance(one, TensorRt)]
    for trt in modules:
        findings.append(_on_module(trt))
        findings.extend(_on_building(trt, gpu))
        findings.append(_on_running(trt, gpu))
    if _RELEASE_FILE.exists():
        findings.append(_on_jetson(bool(modules)))
    return tuple(findings)


def _module(name: str) -> TensorRt | Finding:
    try:
        return pick_tensorrt(name)
    except (MissingPackageError, UnsupportedError) as error:
        return Finding(name, Verdict.MISSING, str(error))


def _find_gpu() -> tuple[Gpu | None, str]:
    try:
        cuda = Cuda()
    except BackendError as error:
        return None, str(error)
    gpu = cuda.gpu
    cuda.close()
    return gpu, ""


def _on_gpu(gpu: Gpu | None, problem: str) -> Finding:
    if gpu is None:
        return Finding("gpu", Verdict.MISSING, problem)
    memory = "memory shared with the CPU" if gpu.shares_memory else "memory of its own"
    return Finding(
        "gpu",
        Verdict.WORKS,
        f"{gpu.name}, compute capability {gpu.compute_capability}, {memory}, driver for CUDA "
        f"{gpu.driver}",
    )


def _on_module(trt: TensorRt) -> Finding:
    if trt.always_strongly_typed:
        how = "precision comes from the network's types"
    elif trt.can_be_strongly_typed:
        how = "strongly typed networks; DLA through flags"
    else:
        how = "precision by flags beside Q/DQ"
    return Finding(trt.name, Verdict.WORKS, f"{trt}: {how}")


def _on_building(trt: TensorRt, gpu: Gpu | None) -> list[Finding]:
    if gpu is None:
        if trt.is_rtx:
            text = f"{trt} builds engines here without a GPU, for RTX GPUs from Ampere on"
            return [Finding("build", Verdict.WORKS, text)]
        return [Finding("build", Verdict.MISSING, f"{trt} builds only on the GPU it builds for")]
    findings = [Finding("build", Verdict.WORKS, f"{trt} builds engines for {gpu.name}")]
    capability = _numbers(gpu)
    oldest = _oldest(trt)
    if capability < oldest:
        needed = f"{oldest[0]}.{oldest[1]}"
        text = f"{trt} needs compute capability {needed}, {gpu.name} has {gpu.compute_capability}"
        findings = [Finding("build", Verdict.MISSING, text)]
    elif capability < _INT8_TENSOR_CORES:
        text = f"{gpu.name} has no tensor cores for INT8; FP16 is as fast there"
        findings.append(Finding("int8", Verdict.LIMITED, text))
    return findings


def _on_running(trt: TensorRt, gpu: Gpu | None) -> Finding:
    if gpu is None:
        return Finding("run", Verdict.MISSING, f"{trt} runs nothing without an NVIDIA GPU")
    if _numbers(gpu) < _oldest(trt):
        return Finding("run", Verdict.MISSING, f"{trt} does not serve {gpu.name}")
    return Finding("run", Verdict.WORKS, f"{trt} runs FP32, FP16 and INT8 engines on {gpu.name}")


def _on_jetson(has_module: bool) -> Finding:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if has_module:
        text = f"a Jetson ({platform.machine()}), Python {version} sees JetPack's TensorRT"
        return Finding("jetson", Verdict.WORKS, text)
    return Finding(
        "jetson",
        Verdict.MISSING,
        f"a Jetson, but Python {version} has no TensorRT; JetPack's belongs to the system's "
        "Python: python3 -m venv --system-site-packages",
    )


def _numbers(gpu: Gpu) -> tuple[int, int]:
    major, minor = gpu.compute_capability.split(".")
    return int(major), int(minor)


def _oldest(trt: TensorRt) -> tuple[int, int]:
    if trt.is_rtx:
        return _RTX
    if trt.release >= (11,):
        return _OLDEST_FOR_11
    return _OLDEST_FOR_10 if trt.release >= (10,) else (0, 0)
