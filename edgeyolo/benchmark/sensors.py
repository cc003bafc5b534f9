"""Clocks, heat, throttling and power while something runs, where the platform shows them."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from edgeyolo.machine import ROOT
from edgeyolo.pi_power import PiPower, pi_power

_INTERVAL_S = 0.25
# nvidia-smi and vcgencmd are processes, which take time of the CPU that is measured.
_PROCESS_INTERVAL_S = 2.0
# A clock that fell by a tenth within one comparison makes its figures unequal.
_NOTABLE_DROP = 0.9
# A Jetson's rails, as its INA3221 labels them. All others are parts of the whole one; an AGX has
# none, and VIN_SYS_5V0 there is memory and I/O alone (rbonghi/jetson_stats#51 and #344).
_WHOLE_RAILS = ("VDD_IN", "POM_5V_IN")
_AGX_RAILS = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")
# nvidia-smi's bits that mean heat or power; idle (1) and application clocks (2) do not.
_GPU_SLOWDOWN_BITS = 0x4 | 0x8 | 0x20 | 0x40 | 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorReport:
    """What was seen over a whole benchmark; ``None`` where the platform does not show it.

    Attributes:
        cpu_mhz: Lowest, median and highest mean clock of the CPUs.
        gpu_mhz: The same of the GPU.
        warmest_c: Highest temperature of any zone, in degrees Celsius.
        throttled: What was throttled, in words; empty where nothing was noticed.
        power_source: Where watts come from: ``"RAPL"``, ``"INA3221"``, ``"nvidia-smi"``.
        stolen: Share of CPU time that a hypervisor gave to others, 0..1.
        load: How many processes wanted a CPU in the last minute, the benchmark's own included.
    """

    cpu_mhz: tuple[float, float, float] | None
    gpu_mhz: tuple[float, float, float] | None
    warmest_c: float | None
    throttled: tuple[str, ...]
    power_source: str | None
    stolen: float | None
    load: float | None


@dataclass(slots=True)
class _Seen:
    cpu_mhz: list[float] = field(default_factory=list)
    gpu_mhz: list[float] = field(default_factory=list)
    celsius: list[float] = field(default_factory=list)
    gpu_slow: bool = False
    gpu_watts: float | None = None
    # What a Raspberry Pi's firmware said at any moment
    pi_slow: set[str] = field(default_factory=set)
    # (moment, watts), for platforms that show power rather than energy
    watts: list[tuple[float, float]] = field(default_factory=list)


class Sensors:
    """Watches in a thread of its own while the ``with`` block runs.

    Args:
        root: Where ``/proc`` and ``/sys`` lie.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._seen = _Seen()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="edgeyolo-sensors", daemon=True)
        self._energy_files = sorted(
            path
            for path in root.glob("sys/class/powercap/intel-rapl:*/energy_uj")
            if path.parent.name.count(":") == 1 and _number(path) is not None
        )
        self._rails = _rails(root)
        self._nvidia_smi = shutil.which("nvidia-smi") if root == ROOT else None
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

    @property
    def power_source(self) -> str | None:
        if self._energy_files:
            return "RAPL"
        if self._rails:
            return "INA3221"
        return "nvidia-smi" if self._seen.gpu_watts is not None else None

    def meter(self) -> PowerMeter:
        """Start measuring energy now."""
        return PowerMeter(self)

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
        load = _text(self._root / "proc/loadavg").split()
        return SensorReport(
            cpu_mhz=_spread(seen.cpu_mhz),
            gpu_mhz=_spread(seen.gpu_mhz),
            warmest_c=max(seen.celsius, default=None),
            throttled=tuple(throttled),
            power_source=self.power_source,
            stolen=self._share(7),
            load=float(load[0]) if load else None,
        )

    def joules(self) -> float | None:
        """Energy since some moment in the past, from counters; ``None`` where there are none."""
        if not self._energy_files:
            return None
        counts = [_number(path) for path in self._energy_files]
        return sum(count for count in counts if count is not None) / 1e6

    def mean_watts_since(self, started_s: float) -> float | None:
        """Mean of the power samples since then."""
        recent = [watts for moment_s, watts in self._seen.watts if moment_s >= started_s]
        return statistics.fmean(recent) if recent else None

    def _watch(self) -> None:
        while not self._stop.wait(_INTERVAL_S):
            self._look()

    def _look(self) -> None:
        seen, root = self._seen, self._root
        clocks = _numbers(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
        if clocks:
            seen.cpu_mhz.append(statistics.fmean(clocks) / 1e3)
        elif listed := re.findall(r"^cpu MHz\s*:\s*([\d.]+)", _text(root / "proc/cpuinfo"), re.M):
            seen.cpu_mhz.append(statistics.fmean(float(clock) for clock in listed))
        # The GPU of a Jetson is a devfreq device.
        gpu = _numbers(root, "sys/class/devfreq/*gpu*/cur_freq")
        gpu = gpu or _numbers(root, "sys/class/devfreq/*g[av][0-9]*/cur_freq")
        if gpu:
            seen.gpu_mhz.append(max(gpu) / 1e6)
        zones = _numbers(root, "sys/class/thermal/thermal_zone*/temp")
        # Zones that are switched off say 0 or less.
        seen.celsius.extend(zone / 1e3 for zone in zones if zone > 0)
        if self._rails:
            watts = sum(_milliwatts(*rail) for rail in self._rails) / 1e3
            seen.watts.append((time.monotonic(), watts))
        if self._nvidia_smi and time.monotonic() >= self._gpu_next_s:
            self._gpu_next_s = time.monotonic() + _PROCESS_INTERVAL_S
            self._look_at_gpu(self._nvidia_smi)
        if self._power_before is not None and time.monotonic() >= self._pi_next_s:
            self._pi_next_s = time.monotonic() + _PROCESS_INTERVAL_S
            self._look_at_pi(self._power_before)

    def _look_at_gpu(self, nvidia_smi: str) -> None:
        query = "clocks.sm,clocks_throttle_reasons.active,power.draw,temperature.gpu"
        command = [nvidia_smi, "--id=0", f"--query-gpu={query}", "--format=csv,noheader,nounits"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            # A driver that does not answer: no GPU figures, the benchmark goes on.
            self._nvidia_smi = None
            return
        clock, reasons, watts, celsius = (word.strip() for word in done.stdout.split(",")[:4])
        if _is_number(clock):
            self._seen.gpu_mhz.append(float(clock))
        if reasons.startswith("0x"):
            self._seen.gpu_slow |= bool(int(reasons, 16) & _GPU_SLOWDOWN_BITS)
        if _is_number(watts):
            self._seen.gpu_watts = float(watts)
            if not self._rails and not self._energy_files:
                self._seen.watts.append((time.monotonic(), float(watts)))
        if _is_number(celsius):
            self._seen.celsius.append(float(celsius))

    def _look_at_pi(self, before: PiPower) -> None:
        power = pi_power(self._root)
        if power is not None:
            self._seen.pi_slow.update(power.now)
            # Between two looks; what had been so before cannot be told apart.
            self._seen.pi_slow.update(set(power.since_start) - set(before.since_start))

    def _throttle_count(self) -> float:
        pattern = "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count"
        return sum(_numbers(self._root, pattern))

    def _cpu_times(self) -> list[int]:
        words = _text(self._root / "proc/stat").split("\n", 1)[0].split()
        return [int(word) for word in words[1:9]]

    def _share(self, column: int) -> float | None:
        now = self._cpu_times()
        spent = [after - before for after, before in zip(now, self._cpu_before, strict=False)]
        return spent[column] / sum(spent) if len(spent) > column and sum(spent) > 0 else None


class PowerMeter:
    """Mean power since it was made."""

    def __init__(self, sensors: Sensors) -> None:
        self._sensors = sensors
        self._started_s = time.monotonic()
        self._joules = sensors.joules()

    def watts(self) -> float | None:
        """Mean power until now, or ``None`` where the platform does not show it."""
        joules = self._sensors.joules()
        if joules is None or self._joules is None:
            return self._sensors.mean_watts_since(self._started_s)
        elapsed_s = time.monotonic() - self._started_s
        # The counter starts again at zero after some minutes or hours.
        return (joules - self._joules) / elapsed_s if joules >= self._joules else None


def _rails(root: Path) -> list[tuple[Path, Path]]:
    """Files with millivolts and milliamperes that add up to the module, from INA3221 drivers."""
    rails = {}
    for label in sorted(root.glob("sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*/in*_label")):
        number = label.name.removeprefix("in").removesuffix("_label")
        files = (label.parent / f"in{number}_input", label.parent / f"curr{number}_input")
        rails[_text(label)] = files
    for whole in _WHOLE_RAILS:
        if whole in rails:
            return [rails[whole]]
    return [rails[name] for name in _AGX_RAILS] if rails.keys() >= set(_AGX_RAILS) else []


def _milliwatts(millivolts: Path, milliamperes: Path) -> float:
    return (_number(millivolts) or 0.0) * (_number(milliamperes) or 0.0) / 1e3


def _spread(values: list[float]) -> tuple[float, float, float] | None:
    return (min(values), statistics.median(values), max(values)) if values else None


def _dropped(clocks_mhz: list[float]) -> bool:
    """Whether the last third ran clearly slower than the first; short runs say nothing."""
    third = len(clocks_mhz) // 3
    if third < 4:
        return False
    first, last = (statistics.median(part) for part in (clocks_mhz[:third], clocks_mhz[-third:]))
    return last < _NOTABLE_DROP * first


def _numbers(root: Path, pattern: str) -> list[float]:
    found = [_number(path) for path in sorted(root.glob(pattern))]
    return [number for number in found if number is not None]


def _number(path: Path) -> float | None:
    text = _text(path)
    return float(text) if _is_number(text) else None


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
