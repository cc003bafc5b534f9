"""``edgeyolo doctor``: what is known to go wrong is found, and nothing else."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgeyolo.cli.main import group
from edgeyolo.doctor.diagnosis import machine_findings
from edgeyolo.doctor.findings import Finding, Severity
from edgeyolo.doctor.opencv_build import (
    opencv_build,
    opencv_findings,
    problem_findings,
    read_build,
)
from edgeyolo.doctor.packages import installed_packages, jetpack_of, numbers, package_findings
from edgeyolo.doctor.precisions import Speed, precision_speeds
from edgeyolo.machine import CpuFeature, Machine, MachineKind, this_machine
from edgeyolo.opencv import OpenCvProblem
from edgeyolo.pi_power import PiPower, pi_power
from edgeyolo.runtimes.session import RuntimeReport
from edgeyolo.spec import Backend, Precision

SOUND = {"numpy": "2.4.0", "opencv-python": "4.12.0", "onnxruntime": "1.23.0"}
ORIN = replace(this_machine(), kind=MachineKind.JETSON, l4t="36.4.3", board="Jetson Orin Nano")


def warnings(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity is Severity.WARNING]


def test_the_command_describes_this_machine_and_succeeds() -> None:
    result = CliRunner().invoke(group, ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["machine"]["architecture"] == this_machine().architecture
    assert {runtime["backend"] for runtime in report["runtimes"]} == {
        backend.value for backend in Backend
    }
    for finding in report["findings"]:
        assert finding["severity"] in {severity.value for severity in Severity}
        assert finding["fix"] or finding["severity"] != "warning"
    # The worst comes first.
    order = [severity.value for severity in reversed(Severity)]
    ranks = [order.index(finding["severity"]) for finding in report["findings"]]
    assert ranks == sorted(ranks)


def test_the_terminal_names_every_runtime_and_what_int8_brings() -> None:
    result = CliRunner().invoke(group, ["doctor"])
    assert result.exit_code == 0, result.output
    for backend in Backend:
        assert f"\n{backend.value}" in result.stdout
    assert "int8 on cpu" in result.stdout
    assert "warnings" in result.stderr


def test_a_sound_installation_has_no_warning() -> None:
    assert warnings(package_findings(SOUND, this_machine())) == []


def test_the_installed_packages_are_those_that_import() -> None:
    assert installed_packages()["numpy"] == np.__version__
    assert "opencv-python" in installed_packages()


@pytest.mark.parametrize(
    ("change", "subject", "told", "fix"),
    [
        (
            {"tflite-runtime": "2.14.0"},
            "tflite",
            "numpy 2.4.0",
            "pip install ai-edge-litert",
        ),
        (
            {"opencv-python-headless": "4.12.0"},
            "opencv",
            "opencv-python and opencv-python-headless",
            "pip uninstall -y opencv-python opencv-python-headless && pip install opencv-python",
        ),
        (
            {"onnxruntime-gpu": "1.23.0"},
            "onnxruntime",
            "share one folder",
            "pip uninstall -y onnxruntime onnxruntime-gpu",
        ),
        ({"openvino": "2024.6.0"}, "openvino", "older than 2025.0", "--upgrade openvino"),
    ],
)
def test_a_known_bad_combination_is_a_warning_with_its_fix(
    change: dict[str, str], subject: str, told: str, fix: str
) -> None:
    (finding,) = warnings(package_findings({**SOUND, **change}, this_machine()))
    assert finding.subject == subject
    assert told in finding.text
    assert fix in finding.fix


def test_old_numpy_is_right_for_tflite_runtime() -> None:
    old = {**SOUND, "numpy": "1.26.4", "tflite-runtime": "2.14.0"}
    assert warnings(package_findings(old, this_machine())) == []


def test_the_successor_makes_tflite_runtime_harmless() -> None:
    both = {**SOUND, "tflite-runtime": "2.14.0", "ai-edge-litert": "2.3.0"}
    assert warnings(package_findings(both, this_machine())) == []


def test_a_machine_without_any_runtime_is_told_what_to_install() -> None:
    (finding,) = warnings(package_findings({"numpy": "2.4.0"}, this_machine()))
    assert "edgeyolo[onnx]" in finding.fix


@pytest.mark.parametrize(
    ("l4t", "jetpack", "tensorrt"),
    [
        ("35.4.1", "JetPack 5", "8.5"),
        ("36.3.0", "JetPack 6.0", "8.6"),
        ("36.4.3", "JetPack 6.1 or 6.2", "10.3"),
        ("38.2.0", "JetPack 7.0 or 7.1", "10.13"),
        ("38.4.0", "JetPack 7.0 or 7.1", "10.13"),
        ("39.2.0", "JetPack 7.2", "10.16"),
    ],
)
def test_a_jetpack_and_its_tensorrt_are_known(l4t: str, jetpack: str, tensorrt: str) -> None:
    assert jetpack_of(l4t) == (jetpack, tensorrt)
    board = replace(ORIN, l4t=l4t)
    assert warnings(package_findings(SOUND, board, f"{tensorrt}.1.2")) == []
    (finding,) = warnings(package_findings(SOUND, board, "9.9.9"))
    assert f"{jetpack} (L4T {l4t}) comes with TensorRT {tensorrt}, but" in finding.text


@pytest.mark.parametrize(("version", "is_wrong"), [("10.3.0", False), ("10.13.2.6", True)])
def test_another_tensorrt_than_jetpacks_is_a_warning(version: str, is_wrong: bool) -> None:
    found = warnings(package_findings(SOUND, ORIN, version))
    assert bool(found) is is_wrong
    if is_wrong:
        assert "comes with TensorRT 10.3, but Python finds 10.13.2.6" in found[0].text


def test_a_warning_without_a_fix_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="says no fix"):
        Finding("x", Severity.WARNING, "broken")


def test_versions_are_compared_as_numbers() -> None:
    assert numbers("2.13.0+cpu") == (2, 13, 0)
    assert numbers("1.9.0") < numbers("1.10")
    assert numbers("unknown") == ()


def speeds(*features: CpuFeature, devices: tuple[str, ...] = ("cpu",)) -> dict[str, Speed]:
    machine = replace(this_machine(), cpu_features=features)
    report = RuntimeReport(Backend.OPENVINO, "openvino", "2026.4", tuple(Precision), devices)
    return {
        f"{one.precision} {one.device}": one.speed for one in precision_speeds(machine, [report])
    }


@pytest.mark.parametrize("feature", [CpuFeature.VNNI, CpuFeature.DOT_PRODUCT])
def test_int8_is_fast_where_the_cpu_has_integer_dot_products(feature: CpuFeature) -> None:
    assert speeds(CpuFeature.AVX2)["int8 cpu"] is Speed.NO_GAIN
    assert speeds(feature)["int8 cpu"] is Speed.FASTER
    assert speeds(feature)["fp16 cpu"] is Speed.NO_GAIN


def test_fp16_is_fast_on_a_gpu() -> None:
    assert "fp16 gpu" not in speeds()
    assert speeds(devices=("cpu", "gpu"))["fp16 gpu"] is Speed.FASTER


def test_a_runtime_that_is_not_installed_has_no_fast_precision() -> None:
    report = RuntimeReport(Backend.ONNX, "onnxruntime", None, (), note="not installed")
    assert precision_speeds(this_machine(), [report]) == ()


BUILD = """
  GUI:                           {gui}
  Video I/O:
    FFMPEG:                      {ffmpeg}
    GStreamer:                   {gstreamer}
"""


def test_the_build_of_the_installed_opencv_is_read() -> None:
    import cv2

    build = opencv_build({"DISPLAY": ":0"})
    assert build.version == cv2.__version__
    assert build.ffmpeg == bool(cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG))
    assert build.gstreamer == bool(cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER))
    assert build.display


def test_what_opencv_lacks_is_told() -> None:
    text = BUILD.format(gui="NONE", ffmpeg="NO", gstreamer="NO")
    build = read_build("4.12.0", text, {})
    assert (build.windows, build.ffmpeg, build.gstreamer) == (None, False, False)
    found = opencv_findings(build, ORIN)
    assert [finding.severity for finding in found].count(Severity.WARNING) == 1
    told = " ".join(finding.text for finding in found)
    assert "no FFmpeg" in told
    assert "no GStreamer" in told
    assert "without windows" in told


def test_an_opencv_with_everything_on_a_screen_is_silent() -> None:
    text = BUILD.format(gui="GTK3", ffmpeg="YES", gstreamer="YES (1.20.3)")
    assert opencv_findings(read_build("4.10.0", text, {"WAYLAND_DISPLAY": "wayland-0"}), ORIN) == []


def test_little_memory_is_a_warning(tmp_path: Path) -> None:
    machine: Machine = replace(this_machine(), memory_free_mb=300)
    (finding,) = machine_findings(machine, tmp_path)
    assert "only 300 MB" in finding.text


def test_a_jetson_with_moving_clocks_is_told_how_to_fix_them(tmp_path: Path) -> None:
    governor = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    governor.parent.mkdir(parents=True)
    governor.write_text("schedutil\n")
    (finding,) = machine_findings(replace(ORIN, memory_free_mb=4000), tmp_path)
    assert "jetson_clocks" in finding.fix
    governor.write_text("performance\n")
    assert machine_findings(replace(ORIN, memory_free_mb=4000), tmp_path) == []


@pytest.mark.parametrize(
    ("bits", "told", "fix"),
    [
        ("50005", "slowed down now: under-voltage, throttled", "supply"),
        ("50000", "since its start: under-voltage, throttled", "supply"),
        ("e0008", "slowed down now: soft temperature limit", "fan"),
    ],
)
def test_a_weak_supply_or_heat_of_a_raspberry_pi_is_a_warning(
    tmp_path: Path, bits: str, told: str, fix: str
) -> None:
    file = tmp_path / "sys/devices/platform/soc/soc:firmware/get_throttled"
    file.parent.mkdir(parents=True)
    file.write_text(f"{bits}\n")
    (finding,) = machine_findings(replace(this_machine(), memory_free_mb=4000), tmp_path)
    assert told in finding.text
    assert fix in finding.fix
    file.write_text("0\n")
    (finding,) = machine_findings(replace(this_machine(), memory_free_mb=4000), tmp_path)
    assert finding.severity is Severity.OK


def test_a_raspberry_pi_is_asked_through_vcgencmd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "vcgencmd"
    program.write_text("#!/bin/sh\necho throttled=0x50002\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pi_power() == PiPower(("clock capped",), ("under-voltage", "throttled"))
    program.write_text("#!/bin/sh\necho VCHI initialization failed; exit 255\n")
    assert pi_power() is None


def test_a_raspberry_pi_of_the_upstream_kernel_tells_under_voltage(tmp_path: Path) -> None:
    chip = tmp_path / "sys/class/hwmon/hwmon2"
    chip.mkdir(parents=True)
    (chip / "name").write_text("rpi_volt\n")
    (chip / "in0_lcrit_alarm").write_text("1\n")
    assert pi_power(tmp_path) == PiPower(("under-voltage",), ())
    (chip / "in0_lcrit_alarm").write_text("0\n")
    assert pi_power(tmp_path) == PiPower((), ())


def test_opencv_for_a_jetson_comes_from_apt() -> None:
    (missing,) = problem_findings(OpenCvProblem("OpenCV is not installed", "pip"), ORIN)
    headless = opencv_findings(
        read_build("4.8.0", BUILD.format(gui="NONE", ffmpeg="NO", gstreamer="YES"), {}), ORIN
    )
    both = package_findings({**SOUND, "opencv-python-headless": "4.12.0"}, ORIN)
    for finding in (missing, *headless, *(one for one in both if one.subject == "opencv")):
        assert "apt install python3-opencv" in finding.fix
        assert "pip install" not in finding.fix


def test_a_camera_that_may_not_be_opened_is_a_warning(tmp_path: Path) -> None:
    camera = tmp_path / "dev/video0"
    camera.parent.mkdir()
    camera.touch(mode=0)
    if os.access(camera, os.R_OK):
        # root may open everything; a link to nowhere is closed to root as well.
        camera.unlink()
        camera.symlink_to("nowhere")
    (finding,) = machine_findings(replace(this_machine(), memory_free_mb=4000), tmp_path)
    assert "/dev/video0" in finding.text
    assert finding.fix.startswith("sudo usermod -aG video")
