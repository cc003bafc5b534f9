"""The diagnosis names what is there, what is missing and what to do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from edgeyolo.runtimes import tensorrt_doctor
from edgeyolo.runtimes.tensorrt_doctor import Verdict, diagnose_tensorrt
from tests.doubles.tensorrt_double import recorded_tensorrt


def texts(subject: str) -> list[tuple[Verdict, str]]:
    return [(f.verdict, f.text) for f in diagnose_tensorrt() if f.subject == subject]


def test_without_a_driver_nothing_runs_and_only_rtx_builds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDGEYOLO_LIBCUDA", "/nonexistent/libcuda.so")
    monkeypatch.setitem(sys.modules, "tensorrt", recorded_tensorrt("10.3.0"))
    rtx = recorded_tensorrt("11.4.0.106")
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", rtx)
    assert texts("gpu")[0][0] is Verdict.MISSING
    assert "no NVIDIA driver is installed" in texts("gpu")[0][1]
    (native, _), (for_rtx, text) = texts("build")
    assert (native, for_rtx) == (Verdict.MISSING, Verdict.WORKS)
    assert "without a GPU" in text
    assert {verdict for verdict, _ in texts("run")} == {Verdict.MISSING}
    assert rtx.calls == []


@pytest.mark.parametrize(
    ("version", "how"),
    [
        ("8.6.1", "flags beside Q/DQ"),
        ("10.3.0", "strongly typed networks; DLA through flags"),
        ("11.4.0.106", "comes from the network's types"),
    ],
)
def test_with_a_gpu_all_precisions_run(
    version: str, how: str, libcuda: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", recorded_tensorrt(version, libcuda))
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    assert texts("gpu") == [
        (
            Verdict.WORKS,
            "Double GPU, compute capability 8.7, memory shared with the CPU, driver for CUDA 12.6",
        )
    ]
    assert how in texts("tensorrt")[0][1]
    assert texts("tensorrt_rtx")[0][0] is Verdict.MISSING
    assert texts("run") == [
        (Verdict.WORKS, f"TensorRT {version} runs FP32, FP16 and INT8 engines on Double GPU")
    ]


@pytest.mark.parametrize(
    ("capability", "version", "expected"),
    [
        ("6.1", "8.6.1", ("int8", Verdict.LIMITED)),
        ("6.1", "10.3.0", ("run", Verdict.MISSING)),
        ("7.0", "11.4.0.106", ("build", Verdict.MISSING)),
        ("7.5", "11.4.0.106", ("build", Verdict.WORKS)),
    ],
)
def test_a_gpu_that_is_too_old_is_told_apart(
    capability: str,
    version: str,
    expected: tuple[str, Verdict],
    libcuda: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", recorded_tensorrt(version, libcuda))
    monkeypatch.setenv("DOUBLE_CUDA_CAPABILITY", capability)
    assert expected in [(f.subject, f.verdict) for f in diagnose_tensorrt()]


def test_a_jetson_whose_python_does_not_see_tensorrt_is_told_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = tmp_path / "nv_tegra_release"
    release.write_text("# R36 (release)")
    monkeypatch.setattr(tensorrt_doctor, "_RELEASE_FILE", release)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    ((verdict, text),) = texts("jetson")
    assert verdict is Verdict.MISSING
    assert "--system-site-packages" in text
    monkeypatch.setitem(sys.modules, "tensorrt", recorded_tensorrt("10.3.0"))
    assert texts("jetson")[0][0] is Verdict.WORKS
