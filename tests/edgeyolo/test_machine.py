"""Machines as their own files describe them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeyolo.machine import CpuFeature, MachineKind, cpu_features, this_machine


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


ORIN = "processor : 0\nFeatures\t: fp asimd evtstrm aes fphp asimdhp cpuid asimdrdm asimddp\n"
ZEN4 = "model name\t: AMD EPYC\nflags\t\t: sse2 avx2 avx512f avx512_bf16 avx512_vnni\n"


def test_this_machine_has_a_processor_and_memory() -> None:
    machine = this_machine()
    assert machine.cpus >= 1
    assert 0 < machine.memory_free_mb <= machine.memory_mb
    assert machine.architecture in machine.line()


def test_features_are_read_from_both_spellings_of_cpuinfo() -> None:
    assert cpu_features(ZEN4) == (
        CpuFeature.AVX2,
        CpuFeature.AVX512,
        CpuFeature.VNNI,
        CpuFeature.BF16,
    )
    assert cpu_features(ORIN) == (CpuFeature.NEON, CpuFeature.FP16, CpuFeature.DOT_PRODUCT)
    assert cpu_features("") == ()


def test_a_jetson_is_told_by_its_release_file(tmp_path: Path) -> None:
    machine = this_machine(
        write(
            tmp_path,
            {
                "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: x",
                "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
                "proc/cpuinfo": ORIN,
            },
        )
    )
    assert machine.kind is MachineKind.JETSON
    assert machine.l4t == "36.4.3"
    assert machine.board == "NVIDIA Jetson Orin Nano Developer Kit"


def test_a_raspberry_pi_is_told_by_its_device_tree(tmp_path: Path) -> None:
    files = {"proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0"}
    assert this_machine(write(tmp_path, files)).kind is MachineKind.RASPBERRY_PI


@pytest.mark.parametrize(("quota", "cpus"), [("100000 100000", 1), ("50000 100000", 1)])
def test_the_quota_of_a_container_limits_the_cpus(tmp_path: Path, quota: str, cpus: int) -> None:
    assert this_machine(write(tmp_path, {"sys/fs/cgroup/cpu.max": quota})).cpus == cpus


def test_the_limit_of_a_container_limits_the_memory(tmp_path: Path) -> None:
    files = {
        "proc/meminfo": "MemTotal: 8388608 kB\nMemAvailable: 6291456 kB\n",
        "sys/fs/cgroup/memory.max": str(1024 * 2**20),
    }
    machine = this_machine(write(tmp_path, files))
    assert machine.memory_mb == 1024
    assert machine.memory_free_mb == 1024
