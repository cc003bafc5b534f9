"""How much power is drawn, and by what: a Jetson's module, a PC's processor, one of its GPUs."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

from edgeyolo.benchmark.readings import number_in, text_of

UNKNOWN_GPU = "unknown"

# Rails that make up the whole module, as its INA3221 labels them. VDD_IN and POM_5V_IN are the
# module's input, of which all others are parts. An AGX has none; there each of these rails has a
# supply of its own, and the one of 5 V is memory and I/O alone (rbonghi/jetson_stats#51 and #344,
# NVIDIA's design guide DG-09840 for Xavier).
_WHOLE_MODULES = (
    ("VDD_IN",),  # Orin NX, Orin Nano, Xavier NX, TX2
    ("POM_5V_IN",),  # Nano
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),  # AGX Orin
    ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"),  # AGX Thor
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),  # AGX Xavier
)


class PowerSensors:
    """What can be read on this machine.

    Args:
        root: Where ``/sys`` lies.
    """

    def __init__(self, root: Path) -> None:
        self._energy_files = sorted(
            path
            for path in root.glob("sys/class/powercap/intel-rapl:*/energy_uj")
            if path.parent.name.count(":") == 1 and number_in(path) is not None
        )
        self._rails, self._rail_names = _whole_module(root)
        # Whether one figure holds for everything, CPU and GPU, as on a Jetson.
        self.of_module = bool(self._rails)
        # (moment, watts) of the module, "", and of GPUs by address
        self._watts: dict[str, list[tuple[float, float]]] = {}

    def source(self, gpu: str | None) -> str | None:
        """What the power of an artifact is that of, in words; ``None`` where it is not shown.

        Args:
            gpu: PCI address of the GPU that the artifact runs on, ``UNKNOWN_GPU``, or ``None`` for
                the processor.
        """
        if self._rails:
            return f"module (INA3221 {' + '.join(self._rail_names)})"
        if gpu is not None:
            return f"GPU {gpu} (nvidia-smi)" if gpu in self._watts else None
        return "processor (RAPL)" if self._energy_files else None

    def look(self) -> None:
        """Take a sample of what shows power rather than energy."""
        if self._rails:
            self.add("", sum(_milliwatts(rail) for rail in self._rails) / 1e3)

    def add(self, gpu: str, watts: float) -> None:
        """Keep a sample of a GPU that somebody else took."""
        self._watts.setdefault(gpu, []).append((time.monotonic(), watts))

    def meter(self, gpu: str | None) -> PowerMeter:
        """Start measuring now; *gpu* is as for :meth:`source`."""
        return PowerMeter(self, gpu)

    def joules(self, gpu: str | None) -> float | None:
        """Energy since some moment in the past, from counters; ``None`` where there are none."""
        if self._rails or gpu is not None or not self._energy_files:
            return None
        counts = [number_in(path) for path in self._energy_files]
        return sum(count for count in counts if count is not None) / 1e6

    def mean_watts_since(self, started_s: float, gpu: str | None) -> float | None:
        """Mean of the power samples since then."""
        samples = self._watts.get("" if self._rails else gpu or "", [])
        recent = [watts for moment_s, watts in samples if moment_s >= started_s]
        return statistics.fmean(recent) if recent else None


class PowerMeter:
    """Mean power since it was made."""

    def __init__(self, sensors: PowerSensors, gpu: str | None) -> None:
        self._sensors = sensors
        self._gpu = gpu
        self._started_s = time.monotonic()
        self._joules = sensors.joules(gpu)

    def watts(self) -> float | None:
        """Mean power until now, or ``None`` where the platform does not show it."""
        joules = self._sensors.joules(self._gpu)
        if joules is None or self._joules is None:
            return self._sensors.mean_watts_since(self._started_s, self._gpu)
        elapsed_s = time.monotonic() - self._started_s
        # The counter starts again at zero after some minutes or hours.
        return (joules - self._joules) / elapsed_s if joules >= self._joules else None


def pci_numbers(address: str) -> tuple[int, ...]:
    """Equal for ``0000:0f:00.0``, as CUDA writes it, and nvidia-smi's ``00000000:0F:00.0``."""
    parts = re.findall(r"[0-9a-f]+", address, re.IGNORECASE)
    return tuple(int(part, 16) for part in parts)


def _whole_module(root: Path) -> tuple[list[tuple[Path, ...]], tuple[str, ...]]:
    """Files of the rails of the first module whose rails are all here, and their names."""
    found = dict(_rails(root))
    for names in _WHOLE_MODULES:
        if all(name in found for name in names):
            return [found[name] for name in names], names
    return [], ()


def _rails(root: Path) -> Iterable[tuple[str, tuple[Path, ...]]]:
    """Label of a rail, and the file of its milliwatts or those of millivolts and milliamperes."""
    for label in sorted(root.glob("sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*/in*_label")):
        place = label.name.removeprefix("in").removesuffix("_label")
        yield (
            text_of(label),
            (label.parent / f"in{place}_input", label.parent / f"curr{place}_input"),
        )
    # JetPack 4
    for label in sorted(root.glob("sys/bus/i2c/drivers/ina3221x/*/iio:device*/rail_name_*")):
        place = label.name.removeprefix("rail_name_")
        yield text_of(label), (label.parent / f"in_power{place}_input",)


def _milliwatts(files: tuple[Path, ...]) -> float:
    values = [number_in(file) or 0.0 for file in files]
    return values[0] if len(values) == 1 else values[0] * values[1] / 1e3
