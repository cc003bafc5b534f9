"""Whether a build fits into this machine's memory, before it is tried.

A Jetson shares its memory between everything; a build that runs out of it takes the desktop, or
the whole board, down with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeyolo.errors import BackendError

# CUDA's context and TensorRT's kernels, on a Jetson Orin about 0.7 GB together; not measured
# here, rounded up from NVIDIA's forum threads.
_LIBRARIES_MIB = 900
# Parsed weights, their converted copies while layers are timed, and the serialised engine.
_COPIES_OF_WEIGHTS = 6
_SMALLEST_WORKSPACE_MIB = 128
# More helps no network of these families; what is left belongs to the rest of the machine.
_LARGEST_SHARED_WORKSPACE_MIB = 2048


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What a build may use.

    Attributes:
        available_mib: Free now.
        needed_mib: Needed beside the workspace, estimated.
        workspace_mib: Limit for the workspace; ``None`` leaves it to TensorRT.
    """

    available_mib: int
    needed_mib: int
    workspace_mib: int | None


def plan_memory(
    *, available_mib: int, network_bytes: int, shared: bool, asked_mib: int | None
) -> MemoryPlan:
    """Decide the workspace limit.

    Args:
        available_mib: Free memory of the GPU, or of the machine where they share it.
        network_bytes: Size of the ONNX file.
        shared: Whether CPU and GPU use the same memory (Jetson).
        asked_mib: What the user wants; kept, or refused.

    Raises:
        BackendError: The build would not fit.
    """
    needed_mib = _LIBRARIES_MIB + (_COPIES_OF_WEIGHTS * network_bytes >> 20)
    room_mib = available_mib - needed_mib
    smallest = asked_mib or _SMALLEST_WORKSPACE_MIB
    if room_mib < smallest:
        raise BackendError(
            f"{available_mib} MiB of memory are free, building needs about {needed_mib} MiB and "
            f"{smallest} MiB of workspace; close other programs"
            + (" (the desktop: sudo systemctl isolate multi-user)" if shared else "")
            + (", or give a smaller --workspace" if asked_mib else "")
        )
    if asked_mib is not None:
        return MemoryPlan(available_mib, needed_mib, asked_mib)
    if not shared:
        return MemoryPlan(available_mib, needed_mib, None)
    workspace_mib = min(_LARGEST_SHARED_WORKSPACE_MIB, max(smallest, room_mib // 2))
    return MemoryPlan(available_mib, needed_mib, workspace_mib)


def available_system_mib(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Memory that programs can still get, without swapping; ``None`` where Linux does not say."""
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    sizes = {key: value for key, _, value in (line.partition(":") for line in lines)}
    return int(sizes["MemAvailable"].split()[0]) >> 10 if "MemAvailable" in sizes else None
