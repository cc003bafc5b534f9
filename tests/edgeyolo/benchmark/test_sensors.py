"""Clocks, heat and power from files as Linux lays them out."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

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
    assert report.power_source is None


def test_rapl_counters_become_watts(tmp_path: Path) -> None:
    zone = "sys/class/powercap/intel-rapl:0"
    # The part of a package must not be counted beside the package.
    write(tmp_path, {f"{zone}/energy_uj": 5_000_000, f"{zone}:0/energy_uj": 1_000_000})
    sensors = Sensors(tmp_path)
    assert sensors.power_source == "RAPL"
    started_s = time.monotonic()
    meter = sensors.meter()
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
    meter = sensors.meter()
    with sensors:
        assert sensors.power_source == "INA3221"
        assert meter.watts() == pytest.approx(6.0)


def test_the_rails_of_a_jetson_agx_add_up(tmp_path: Path) -> None:
    chip = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
    rails = (("VDD_GPU_SOC", 19000, 1200), ("VDD_CPU_CV", 19000, 400), ("VIN_SYS_5V0", 5000, 800))
    for number, (label, millivolts, milliamperes) in enumerate(rails, 1):
        write(
            tmp_path,
            {
                f"{chip}/in{number}_label": label,
                f"{chip}/in{number}_input": millivolts,
                f"{chip}/curr{number}_input": milliamperes,
            },
        )
    sensors = Sensors(tmp_path)
    meter = sensors.meter()
    with sensors:
        assert meter.watts() == pytest.approx(22.8 + 7.6 + 4.0)


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
        meter = sensors.meter()
        assert meter.watts() is None
        report = sensors.report()
    assert report.cpu_mhz is None
    assert report.gpu_mhz is None
    assert report.warmest_c is None
    assert report.throttled == ()
