"""What machine this is, read from the files that Linux offers; nothing is run or imported."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

ROOT = Path("/")


class MachineKind(Enum):
    """Sorts of machines whose users need different advice."""

    JETSON = "jetson"
    RASPBERRY_PI = "raspberry-pi"
    X86 = "x86"
    ARM = "arm"
    OTHER = "other"


class CpuFeature(Enum):
    """Instructions that decide how fast a precision is."""

    AVX2 = "avx2"
    AVX512 = "avx512"
    VNNI = "vnni"
    BF16 = "bf16"
    AMX_INT8 = "amx-int8"
    NEON = "neon"
    FP16 = "fp16"
    DOT_PRODUCT = "dot-product"
    I8MM = "i8mm"


# The kernel's words, any of which shows the feature.
_WORDS = {
    CpuFeature.AVX2: {"avx2"},
    CpuFeature.AVX512: {"avx512f"},
    CpuFeature.VNNI: {"avx512_vnni", "avx_vnni"},
    CpuFeature.BF16: {"avx512_bf16", "amx_bf16", "bf16"},
    CpuFeature.AMX_INT8: {"amx_int8"},
    CpuFeature.NEON: {"asimd", "neon"},
    CpuFeature.FP16: {"avx512_fp16", "asimdhp"},
    CpuFeature.DOT_PRODUCT: {"asimddp"},
    CpuFeature.I8MM: {"i8mm"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine.

    Attributes:
        board: What the board calls itself (device tree or firmware), or ``None``.
        system: ``"Linux 6.1.0"``.
        architecture: ``"x86_64"``, ``"aarch64"``.
        cpus: Logical CPUs that this process may use: affinity and the container's quota count.
        memory_mb: All memory that this process may use, in 2**20 bytes.
        memory_free_mb: What is available without swapping.
        l4t: NVIDIA's Linux for Tegra, ``"36.4.3"``, on a Jetson.
    """

    kind: MachineKind
    board: str | None
    system: str
    architecture: str
    python: str
    cpu: str
    cpus: int
    cpu_features: tuple[CpuFeature, ...]
    memory_mb: int
    memory_free_mb: int
    l4t: str | None = None

    def line(self) -> str:
        """One line for people."""
        board = f"{self.board}, " if self.board else ""
        features = " ".join(feature.value for feature in self.cpu_features)
        return (
            f"{board}{self.cpu} ({self.architecture}; {features or 'no known features'}), "
            f"{self.cpus} CPUs, {self.memory_mb / 1024:.1f} GiB, {self.system}"
        )


def this_machine(root: Path = ROOT) -> Machine:
    """Describe this machine.

    Args:
        root: Where ``/proc``, ``/sys`` and ``/etc`` lie.
    """
    cpu_info = _text(root / "proc/cpuinfo")
    memory = _text(root / "proc/meminfo")
    board = _board(root)
    l4t = _l4t(_text(root / "etc/nv_tegra_release"))
    total_mb = _kilobytes(memory, "MemTotal") // 1024
    limit = _text(root / "sys/fs/cgroup/memory.max")
    if limit.isdecimal():
        total_mb = min(total_mb, int(limit) // 2**20)
    return Machine(
        kind=_kind(board, l4t),
        board=board,
        system=f"{platform.system()} {platform.release()}",
        architecture=platform.machine(),
        python=platform.python_version(),
        cpu=_cpu_name(cpu_info),
        cpus=_usable_cpus(root),
        cpu_features=cpu_features(cpu_info),
        memory_mb=total_mb,
        memory_free_mb=min(total_mb, _kilobytes(memory, "MemAvailable") // 1024),
        l4t=l4t,
    )


def cpu_features(cpu_info: str) -> tuple[CpuFeature, ...]:
    """Features in the text of ``/proc/cpuinfo`` (``flags`` on x86, ``Features`` on Arm)."""
    match = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", cpu_info, re.MULTILINE)
    words = set(match[1].split()) if match else set()
    return tuple(feature for feature, names in _WORDS.items() if names & words)


def _kind(board: str | None, l4t: str | None) -> MachineKind:
    name = (board or "").lower()
    if l4t is not None or "jetson" in name:
        return MachineKind.JETSON
    if "raspberry pi" in name:
        return MachineKind.RASPBERRY_PI
    architecture = platform.machine().lower()
    if architecture in ("x86_64", "amd64", "i686"):
        return MachineKind.X86
    return MachineKind.ARM if architecture.startswith(("aarch64", "arm")) else MachineKind.OTHER


def _board(root: Path) -> str | None:
    for place in ("proc/device-tree/model", "sys/class/dmi/id/product_name"):
        if name := _text(root / place).strip("\0\n "):
            return name
    return None


def _l4t(text: str) -> str | None:
    # "# R36 (release), REVISION: 4.3, GCID: ..."
    match = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", text)
    return f"{match[1]}.{match[2]}" if match else None


def _cpu_name(cpu_info: str) -> str:
    match = re.search(r"^(?:model name|Hardware)\s*:\s*(.*)$", cpu_info, re.MULTILINE)
    return match[1] if match else platform.processor() or platform.machine()


def _usable_cpus(root: Path) -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    # "200000 100000": microseconds of CPU in every so many; "max 100000" without a quota.
    quota = _text(root / "sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdecimal():
        count = min(count, max(1, round(int(quota[0]) / int(quota[1]))))
    return count


def _kilobytes(memory: str, name: str) -> int:
    match = re.search(rf"^{name}:\s*(\d+) kB", memory, re.MULTILINE)
    return int(match[1]) if match else 0


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
