"""The machine an engine belongs to, and what differs when it is another."""

from __future__ import annotations

import dataclasses
import platform
from pathlib import Path

from edgeyolo.contract import BuildTarget
from edgeyolo.errors import BuildTargetError
from edgeyolo.runtimes.cuda_driver import Gpu
from edgeyolo.runtimes.tensorrt_modules import TENSORRT_RTX, TensorRt

# TensorRT for RTX serves Ampere, Ada and Blackwell with one engine; Turing needs its own
# (support matrix of 1.5).
_PORTABLE_FROM = (8, 6)
# Attribute -> how people call it. The driver is recorded but decides nothing: engines survive
# driver updates.
_COMPARED = {
    "module": "module",
    "version": "version",
    "gpu": "GPU",
    "compute_capability": "compute capability",
    "multiprocessors": "multiprocessors",
    "platform": "processor",
    "system": "operating system",
}


def this_target(trt: TensorRt, gpu: Gpu | None) -> BuildTarget:
    """What an engine built here and now is bound to.

    Args:
        gpu: ``None`` where there is none; only TensorRT for RTX builds without.
    """
    capability = gpu.compute_capability if gpu else None
    if trt.is_rtx and gpu is not None and is_portable(gpu):
        capability = None
    return BuildTarget(
        module=trt.name,
        version=trt.version,
        # TensorRT for RTX compiles for the very GPU when it loads.
        gpu=gpu.name if gpu and not trt.is_rtx else None,
        compute_capability=capability,
        driver=gpu.driver if gpu else None,
        platform=platform.machine(),
        system=platform.system(),
        multiprocessors=gpu.multiprocessors if gpu and not trt.is_rtx else None,
    )


def is_portable(gpu: Gpu) -> bool:
    """Whether one engine of TensorRT for RTX serves this GPU and all others like it."""
    major, minor = gpu.compute_capability.split(".")
    return (int(major), int(minor)) >= _PORTABLE_FROM


def differences(built: BuildTarget, here: BuildTarget) -> tuple[str, ...]:
    """What keeps an engine from loading here, e.g. ``"GPU Orin, here Tesla T4"``."""
    found = []
    if built.module == TENSORRT_RTX and built.compute_capability != here.compute_capability:
        # On either side None stands for all of them.
        was, is_here = (
            capability or "8.6 and later"
            for capability in (built.compute_capability, here.compute_capability)
        )
        found.append(f"compute capability {was}, here {is_here}")
        built = dataclasses.replace(built, compute_capability=None)
    for attribute, word in _COMPARED.items():
        was, is_here = getattr(built, attribute), getattr(here, attribute)
        # None: the engine is not bound to it.
        if was is not None and was != is_here:
            found.append(f"{word} {was}, here {is_here or 'none'}")
    return tuple(found)


def check_target(folder: Path, built: BuildTarget, here: BuildTarget) -> None:
    """Raise where an engine was built for another machine or version.

    Raises:
        BuildTargetError: Names what differs, and the command that rebuilds.
    """
    if found := differences(built, here):
        raise BuildTargetError(
            f"the engine in {folder} was built for another target ({'; '.join(found)}); "
            f"rebuild it here with: edgeyolo build {folder}"
        )
