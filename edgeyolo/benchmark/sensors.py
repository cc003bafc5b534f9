"""Clocks, heat and throttling while something runs, where the platform shows them."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from edgeyolo.benchmark.power import UNKNOWN_GPU, PowerSensors, pci_numbers
from edgeyolo.benchmark.readings import is_number, numbers_in, text_of
from edgeyolo.machine import ROOT
from edgeyolo.pi_power import PiPower, pi_power

_INTERVAL_S = 0.25
# nvidia-smi and vcgencmd are processes, which take time of the CPU that is measured.
_PROCESS_INTERVAL_S = 2.0
# Asked only where a GPU takes part: a turn of a second should see its power.
_NVIDIA_SMI_INTERVAL_S = 1.0
_NVIDIA_SMI_QUERY = "pci.bus_id,clocks.sm,clocks_throttle_reasons.active,power.draw,temperature.gpu"
# A clock that fell by a tenth within one comparison makes its figures unequal.
_NOTABLE_DROP = 0.9
# nvidia-smi's bits that mean heat or power; idle (1) and application clocks (2) do not.
_GPU_SLOWDOWN_BITS = 0x4 | 0x8 | 0x20 | 0x40 | 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorReport:
    """What was seen over a whole benchmark; ``None`` where the platform does not show it.

    Attributes:
        cpu_mhz: Lowest, median and highest mean clock of the CPUs.
        gpu_mhz: The same of the GPUs that take part.
        warmest_c: Highest temperature of any zone, in degrees Celsius.
        throttled: What was throttled, in words; empty where nothing was noticed.
        stolen: Share of CPU time that a hypervisor gave to others, 0..1.
        load: How many processes wanted a CPU in the last minute, the benchmark's own included.
    """

    cpu_mhz: tuple[float, float, float] | None
    gpu_mhz: tuple[float, float, float] | None
    warmest_c: float | None
    throttled: tuple[str, ...]
    stolen: float | None
    load: float | None


@dataclass(slots=True)
class _Seen:
    cpu_mhz: list[float] = field(default_factory=list)
    gpu_mhz: list[float] = field(default_factory=list)
    celsius: list[float] = field(default_factory=list)
    gpu_slow: bool = False
    # What a Raspberry Pi's firmware said at any moment
    pi_slow: set[str] = field(default_factory=set)


class Sensors:
    """Watches in a thread of its own while the ``with`` block runs.

    Args:
        root: Where ``/proc`` and ``/sys`` lie.
        gpus: PCI addresses of the GPUs that take part; others do not matter.

    Attributes:
        power: Its meters.
    """

    def __init__(self, root: Path = ROOT, gpus: Collection[str] = ()) -> None:
        self._root = root
        self._gpus = {pci_numbers(gpu): gpu for gpu in gpus if gpu != UNKNOWN_GPU}
        self._seen = _Seen()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="edgeyolo-sensors", daemon=True)
        self.power = PowerSensors(root)
        ask_gpus = bool(self._gpus) and not self.power.of_module
        self._nvidia_smi = shutil.which("nvidia-smi") if ask_gpus else None
        self._power_before = pi_power(root)
        self._throttle_before = self._throttle_count()
        self._cpu_before = self._cpu_times()
        self._gpu_next_s = self._pi_next_s = 0.0

    def __enter__(self) -> Sensors:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def report(self) -> SensorReport:
        seen = self._seen
        throttled = []
        if self._power_before is not None:
            self._look_at_pi(self._power_before)
        if seen.pi_slow:
            throttled.append(f"the Raspberry Pi was slowed down: {', '.join(sorted(seen.pi_slow))}")
        if self._throttle_count() > self._throttle_before:
            throttled.append("the CPU throttled because of heat")
        if _dropped(seen.cpu_mhz):
            throttled.append("the CPU clock fell during the benchmark")
        if seen.gpu_slow:
            throttled.append("the GPU slowed down because of heat or power")
        load = text_of(self._root / "proc/loadavg").split()
        return SensorReport(
            cpu_mhz=_spread(seen.cpu_mhz),
            gpu_mhz=_spread(seen.gpu_mhz),
            warmest_c=max(seen.celsius, default=None),
            throttled=tuple(throttled),
            stolen=self._share(7),
            load=float(load[0]) if load else None,
        )

    def _watch(self) -> None:
        while not self._stop.wait(_INTERVAL_S):
            self._look()

    def _look(self) -> None:
        seen, root = self._seen, self._root
        clocks = numbers_in(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
        if clocks:
            seen.cpu_mhz.append(statistics.fmean(clocks) / 1e3)
        elif listed := re.findall(r"^cpu MHz\s*:\s*([\d.]+)", text_of(root / "proc/cpuinfo"), re.M):
            seen.cpu_mhz.append(statistics.fmean(float(clock) for clock in listed))
        # The GPU of a Jetson is a devfreq device.
        gpu = numbers_in(root, "sys/class/devfreq/*gpu*/cur_freq")
        gpu = gpu or numbers_in(root, "sys/class/devfreq/*g[av][0-9]*/cur_freq")
        if gpu:
            seen.gpu_mhz.append(max(gpu) / 1e6)
        zones = numbers_in(root, "sys/class/thermal/thermal_zone*/temp")
        # Zones that are switched off say 0 or less.
        seen.celsius.extend(zone / 1e3 for zone in zones if zone > 0)
        self.power.look()
        if self._nvidia_smi and time.monotonic() >= self._gpu_next_s:
            self._gpu_next_s = time.monotonic() + _NVIDIA_SMI_INTERVAL_S
            self._look_at_gpus(self._nvidia_smi)
        if self._power_before is not None and time.monotonic() >= self._pi_next_s:
            self._pi_next_s = time.monotonic() + _PROCESS_INTERVAL_S
            self._look_at_pi(self._power_before)

    def _look_at_gpus(self, nvidia_smi: str) -> None:
        # All of them at once, by address: CUDA and nvidia-smi count GPUs in different orders.
        command = [nvidia_smi, f"--query-gpu={_NVIDIA_SMI_QUERY}", "--format=csv,noheader,nounits"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            # A driver that does not answer: no GPU figures, the benchmark goes on.
            self._nvidia_smi = None
            return
        for line in done.stdout.splitlines():
            address, *figures = (word.strip() for word in line.split(","))
            gpu = self._gpus.get(pci_numbers(address))
            if gpu is not None and len(figures) == 4:
                self._note_gpu(gpu, *figures)

    def _note_gpu(self, gpu: str, clock: str, reasons: str, watts: str, celsius: str) -> None:
        if is_number(clock):
            self._seen.gpu_mhz.append(float(clock))
        if reasons.startswith("0x"):
            self._seen.gpu_slow |= bool(int(reasons, 16) & _GPU_SLOWDOWN_BITS)
        if is_number(watts):
            self.power.add(gpu, float(watts))
        if is_number(celsius):
            self._seen.celsius.append(float(celsius))

    def _look_at_pi(self, before: PiPower) -> None:
        power = pi_power(self._root)
        if power is not None:
            self._seen.pi_slow.update(power.now)
            # Between two looks; what had been so before cannot be told apart.
            self._seen.pi_slow.update(set(power.since_start) - set(before.since_start))

    def _throttle_count(self) -> float:
        pattern = "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count"
        return sum(numbers_in(self._root, pattern))

    def _cpu_times(self) -> list[int]:
        words = text_of(self._root / "proc/stat").split("\n", 1)[0].split()
        return [int(word) for word in words[1:9]]

    def _share(self, column: int) -> float | None:
        now = self._cpu_times()
        spent = [after - before for after, before in zip(now, self._cpu_before, strict=False)]
        return spent[column] / sum(spent) if len(spent) > column and sum(spent) > 0 else None


def _spread(values: list[float]) -> tuple[float, float, float] | None:
    return (min(values), statistics.median(values), max(values)) if values else None


def _dropped(clocks_mhz: list[float]) -> bool:
    """Whether the last third ran clearly slower than the first; short runs say nothing."""
    third = len(clocks_mhz) // 3
    if third < 4:
        return False
    first, last = (statistics.median(part) for part in (clocks_mhz[:third], clocks_mhz[-third:]))
    return last < _NOTABLE_DROP * first
