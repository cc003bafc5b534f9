"""Which precisions are really fast here, not only possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from edgeyolo.machine import CpuFeature, Machine
from edgeyolo.runtimes.session import RuntimeReport
from edgeyolo.spec import Backend, Precision


class Speed(Enum):
    """What a precision brings over FP32 on this machine.

    BASE: FP32 itself.
    FASTER: The processor has instructions for it.
    NO_GAIN: It runs, about as fast as FP32 or slower; the file is smaller.
    """

    BASE = "base"
    FASTER = "faster"
    NO_GAIN = "no-gain"


@dataclass(frozen=True, slots=True)
class PrecisionSpeed:
    """One precision on one device of a runtime.

    Attributes:
        device: ``"cpu"`` or ``"gpu"``.
        why: The reason, in words.
    """

    backend: Backend
    device: str
    precision: Precision
    speed: Speed
    why: str


# Integer dot products: x86 has VNNI or AMX, Arm the dot-product or matrix instructions.
_INTEGER = (
    CpuFeature.VNNI,
    CpuFeature.AMX_INT8,
    CpuFeature.DOT_PRODUCT,
    CpuFeature.I8MM,
)


def precision_speeds(
    machine: Machine, reports: Sequence[RuntimeReport]
) -> tuple[PrecisionSpeed, ...]:
    """A line for each precision that an installed runtime executes."""
    speeds: list[PrecisionSpeed] = []
    for report in reports:
        on_gpu = report.backend is Backend.TENSORRT
        devices = ["gpu"] if on_gpu else ["cpu"]
        if not on_gpu and any(
            device.lower().startswith(("gpu", "cuda")) for device in report.devices
        ):
            devices.append("gpu")
        speeds += [
            _on_gpu(report.backend, precision)
            if device == "gpu"
            else _on_cpu(report.backend, precision, machine)
            for device in devices
            for precision in report.precisions
            if report.version is not None
        ]
    return tuple(speeds)


def _on_gpu(backend: Backend, precision: Precision) -> PrecisionSpeed:
    if precision is Precision.FP32:
        return PrecisionSpeed(backend, "gpu", precision, Speed.BASE, "")
    why = "half the memory traffic; tensor cores or XMX where the GPU has them"
    return PrecisionSpeed(backend, "gpu", precision, Speed.FASTER, why)


def _on_cpu(backend: Backend, precision: Precision, machine: Machine) -> PrecisionSpeed:
    if precision is Precision.FP32:
        return PrecisionSpeed(backend, "cpu", precision, Speed.BASE, "")
    if precision is Precision.FP16:
        why = "stored as fp16, computed in fp32 on a CPU"
        return PrecisionSpeed(backend, "cpu", precision, Speed.NO_GAIN, why)
    found = [feature for feature in _INTEGER if feature in machine.cpu_features]
    if found:
        why = f"the CPU has {found[0].value}; small depthwise networks may gain nothing: measure"
        return PrecisionSpeed(backend, "cpu", precision, Speed.FASTER, why)
    why = "the CPU has no integer dot product (VNNI, Arm dot-product): measure before you ship it"
    return PrecisionSpeed(backend, "cpu", precision, Speed.NO_GAIN, why)
