"""The machine an engine belongs to, and what differs when it is another."""

from __future__ import annotations

import platform
from pathlib import Path

from edgeyolo.contract import BuildTarget
from edgeyolo.errors import BuildTargetError
from edgeyolo.runtimes.cuda_driver import Gpu
from edgeyolo.runtimes.tensorrt_modules import TensorRt

# Attribute -> how people call it. The driver is recorded but decides nothing: engines survive
# driver updates.
_COMPARED = {
    "module": "module",
    "version": "version",
    "gpu": "GPU",
    "compute_capability": "compute capability",
    "platform": "processor",
    "system": "operating system",
}


def this_target(trt: TensorRt, gpu: Gpu | None) -> BuildTarget:
    """What an engine built here and now is bound to.

    Args:
        gpu: ``None`` where there is none; only TensorRT for RTX builds without.
    """
    # TensorRT for RTX builds for every RTX GPU and compiles the rest when it loads.
    bound = None if trt.is_rtx else gpu
    return BuildTarget(
        module=trt.name,
        version=trt.version,
        gpu=bound.name if bound else None,
        compute_capability=bound.compute_capability if bound else None,
        driver=gpu.driver if gpu else None,
        platform=platform.machine(),
        system=platform.system(),
    )


def differences(built: BuildTarget, here: BuildTarget) -> tuple[str, ...]:
    """What keeps an engine from loading here, e.g. ``"GPU Orin, here Tesla T4"``."""
    found = []
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
