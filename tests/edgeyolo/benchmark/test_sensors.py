"""Clocks, heat and power from files as Linux lays them out."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from edgeyolo.benchmark.power import UNKNOWN_GPU
from edgeyolo.benchmark.sensors import Sensors


def write(root: Path, files: dict[str, object]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")


def test_clocks_heat_and_throttling_are_noticed(tmp_path: Path) -> None:
    cpu = "sys/devices/system/cpu/cpu0"
    write(
        tmp_path,
        {
            f"{cpu}/cpufreq/scaling_cur_freq": 1_500_000,
            f"{cpu}/thermal_throttle/core_throttle_count": 4,
            "sys/class/thermal/thermal_zone0/temp": 71_500,
            "sys/class/thermal/thermal_zone1/temp": -256_000,
            "sys/class/devfreq/17000000.gpu/cur_freq": 918_000_000,
            "proc/stat": "cpu  100 0 100 800 0 0 0 0 0 0",
            "proc/loadavg": "3.25 1 1 1/1 1",
        },
    )
    with Sensors(tmp_path) as sensors:
        write(
            tmp_path,
            {
                f"{cpu}/thermal_throttle/core_throttle_count": 5,
                "proc/stat": "cpu  180 0 100 800 0 0 0 20 0 0",
            },
        )
        report = sensors.report()
    assert (report.cpu_mhz, report.gpu_mhz) == ((1500, 1500, 1500), (918, 918, 918))
    assert report.warmest_c == 71.5
    assert report.throttled == ("the CPU throttled because of heat",)
    assert report.stolen == pytest.approx(0.2)
    assert report.load == 3.25
    assert sensors.power.source(None) is None


def test_rapl_counters_become_watts(tmp_path: Path) -> None:
    zone = "sys/class/powercap/intel-rapl:0"
    # The part of a package must not be counted beside the package.
    write(tmp_path, {f"{zone}/energy_uj": 5_000_000, f"{zone}:0/energy_uj": 1_000_000})
    sensors = Sensors(tmp_path)
    assert sensors.power.source(None) == "processor (RAPL)"
    started_s = time.monotonic()
    meter = sensors.power.meter(None)
    time.sleep(0.05)
    write(tmp_path, {f"{zone}/energy_uj": 7_000_000, f"{zone}:0/energy_uj": 3_000_000})
    watts = meter.watts()
    elapsed_s = time.monotonic() - started_s
    assert watts is not None
    assert 2.0 / elapsed_s <= watts <= 2.0 / 0.05
    write(tmp_path, {f"{zone}/energy_uj": 10})
    assert meter.watts() is None


def test_the_input_rail_of_a_jetson_becomes_watts(tmp_path: Path) -> None:
    chip = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
    write(
        tmp_path,
        {
            f"{chip}/in1_label": "VDD_IN",
            f"{chip}/in1_input": 5000,
            f"{chip}/curr1_input": 1200,
            f"{chip}/in2_label": "VDD_CPU_GPU_CV",
            f"{chip}/in2_input": 5000,
            f"{chip}/curr2_input": 400,
        },
    )
    sensors = Sensors(tmp_path)
    meter = sensors.power.meter(None)
    with sensors:
        assert sensors.power.source(None) == "module (INA3221 VDD_IN)"
        assert meter.watts() == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("rails", "watts"),
    [
        # AGX Orin, with a rail that is behind VIN_SYS_5V0
        ("VDD_GPU_SOC=22.8 VDD_CPU_CV=7.6 VIN_SYS_5V0=4 VDDQ_VDD2_1V8AO=1", 34.4),
        ("VDD_GPU=30 VDD_CPU_SOC_MSS=12 VIN_SYS_5V0=6", 48.0),  # AGX Thor
        ("GPU=9 CPU=3 SOC=2 CV=1 VDDRQ=0.5 SYS5V=4", 19.5),  # AGX Xavier
        ("VDD_IN=9 VDD_CPU_GPU_CV=4 VDD_SOC=2", 9.0),  # Orin NX
        # Parts alone are no module.
        ("VIN_SYS_5V0=4", None),
        ("VDD_GPU_SOC=22.8 VDD_CPU_CV=7.6", None),
    ],
)
def test_the_rails_of_a_jetson_add_up_to_its_module(
    tmp_path: Path, rails: str, watts: float | None
) -> None:
    for place, rail in enumerate(rails.split()):
        label, power = rail.split("=")
        chip = f"sys/bus/i2c/drivers/ina3221/1-004{place // 3}/hwmon/hwmon{place // 3}"
        number = place % 3 + 1
        write(
            tmp_path,
            {
                f"{chip}/in{number}_label": label,
                f"{chip}/in{number}_input": 5000,
                f"{chip}/curr{number}_input": float(power) * 200,
            },
        )
    with Sensors(tmp_path) as sensors:
        meter = sensors.power.meter(None)
        sensors.power.look()
        assert meter.watts() == (None if watts is None else pytest.approx(watts))
        assert (sensors.power.source(None) is None) is (watts is None)


def test_a_nano_of_jetpack_4_shows_its_power(tmp_path: Path) -> None:
    chip = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    write(tmp_path, {f"{chip}/rail_name_0": "POM_5V_IN", f"{chip}/in_power0_input": 4250})
    with Sensors(tmp_path) as sensors:
        meter = sensors.power.meter(None)
        sensors.power.look()
        assert meter.watts() == 4.25


def test_a_gpu_in_a_pc_is_measured_itself_and_not_its_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In its own order and with its own form of an address.
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        "echo '00000000:0F:00.0, 300, 0x0000000000000001, 21.50, 35'\n"
        "echo '00000000:1A:00.0, 1980, 0x0000000000000004, 310.25, 71'\n"
        "echo '00000000:3B:00.0, [N/A], [N/A], [N/A], [N/A]'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    energy = "sys/class/powercap/intel-rapl:0/energy_uj"
    write(tmp_path, {energy: 5_000_000})
    used, silent = "0000:1a:00.0", "0000:3b:00.0"
    with Sensors(tmp_path, gpus=[used, silent, UNKNOWN_GPU]) as sensors:
        meters = {gpu: sensors.power.meter(gpu) for gpu in (used, silent, UNKNOWN_GPU, None)}
        write(tmp_path, {energy: 6_000_000})
        ends_s = time.monotonic() + 20
        while meters[used].watts() is None and time.monotonic() < ends_s:
            time.sleep(0.05)
        assert meters[used].watts() == 310.25
        assert meters[silent].watts() is None
        assert meters[UNKNOWN_GPU].watts() is None
        assert meters[None].watts() is not None
        assert sensors.power.source(used) == "GPU 0000:1a:00.0 (nvidia-smi)"
        assert sensors.power.source(UNKNOWN_GPU) is None
        assert sensors.power.source(None) == "processor (RAPL)"
    report = sensors.report()
    assert (report.gpu_mhz, report.warmest_c) == ((1980.0, 1980.0, 1980.0), 71.0)
    assert report.throttled == ("the GPU slowed down because of heat or power",)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("0", "50005", "the Raspberry Pi was slowed down: throttled, under-voltage"),
        ("0", "20000", "the Raspberry Pi was slowed down: clock capped"),
        ("80000", "80008", "the Raspberry Pi was slowed down: soft temperature limit"),
        ("50000", "50000", None),
    ],
)
def test_a_raspberry_pi_that_is_slowed_down_while_it_is_measured_is_noticed(
    tmp_path: Path, before: str, after: str, told: str | None
) -> None:
    file = "sys/devices/platform/soc/soc:firmware/get_throttled"
    write(tmp_path, {file: before})
    with Sensors(tmp_path) as sensors:
        write(tmp_path, {file: after})
        assert sensors.report().throttled == ((told,) if told else ())


def test_a_machine_that_shows_nothing_gives_nothing(tmp_path: Path) -> None:
    with Sensors(tmp_path) as sensors:
        meter = sensors.power.meter(None)
        assert meter.watts() is None
        report = sensors.report()
    assert report.cpu_mhz is None
    assert report.gpu_mhz is None
    assert report.warmest_c is None
    assert report.throttled == ()
