"""A command whose packages are not installed says which, and what installs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeyolo.cli.main import PACKAGES
from tests.conftest import ROOT

# None in sys.modules makes an import fail as if the package were not installed.
PROGRAM = """
import sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None
from edgeyolo.cli.main import main
sys.argv = ["edgeyolo", *sys.argv[2:]]
main()
"""


def run(without: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, without, *arguments],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(cwd)},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("without", "arguments", "name", "extra"),
    [
        ("torch", ["export", "demo", "--to", "onnx"], "PyTorch", "export"),
        ("torch", ["train", "yolox-nano", "--data", ".", "--output", "run"], "PyTorch", "export"),
        ("torch", ["val", "demo", "--annotations", "."], "PyTorch", "export"),
        ("torch", ["demo"], "PyTorch", "export"),
        ("yaml", ["demo"], "PyYAML", "eval"),
        ("yaml", ["val", "demo", "--annotations", "."], "PyYAML", "eval"),
        ("cv2", ["scenes", "sheet", "--output", "sheet.png"], "OpenCV", "opencv"),
        ("onnx", ["export", "demo", "--to", "onnx"], "onnx", "export"),
        ("torch", ["calibrate", "demo", "--to", "onnx", "--calibration", "."], "PyTorch", "export"),
    ],
)
def test_the_missing_package_is_named(
    without: str, arguments: list[str], name: str, extra: str, tmp_path: Path
) -> None:
    done = run(without, *arguments, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1
    assert f"{name} is not installed" in done.stderr
    assert f"pip install 'edgeyolo[{extra}]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


# What a cv2 that was built for numpy 1 does beside numpy 2: numpy itself prints its page.
OLD_OPENCV = """
import numpy.core._multiarray_umath as old
try:
    old._ARRAY_API
except ImportError:
    raise ImportError("numpy.core.multiarray failed to import")
"""
NO_LIBRARY = "raise ImportError('libGL.so.1: cannot open shared object file: No such file')"


def run_beside(
    package: str, source: str, *arguments: str, cwd: Path
) -> subprocess.CompletedProcess[str]:
    """Run a command where *package* is installed but has this source."""
    broken = cwd / "site" / package
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text(source)
    work = cwd / "work"
    work.mkdir()
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "edgeyolo", *arguments],
        cwd=work,
        env={"PYTHONPATH": f"{broken.parent}:{ROOT}", "PATH": "", "HOME": str(cwd)},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "{artifact}", "."],
        ["camera", "{artifact}", "--headless"],
        ["benchmark", "{artifact}"],
        ["val", "{artifact}", "--annotations", "."],
        ["verify", "{artifact}", "--against", "demo", "--images", "."],
        ["export", "demo", "--to", "onnx"],
        ["train", "yolox-nano", "--data", ".", "--output", "run"],
        ["calibrate", "demo", "--to", "onnx", "--calibration", "."],
        ["demo"],
        ["data", "check", "."],
        ["scenes", "sheet", "--output", "sheet.png"],
    ],
)
@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.0.0", reason="is about numpy 2")
def test_an_opencv_for_numpy_1_is_one_line_with_the_fix(
    arguments: list[str], quadrant_artifact: Path, tmp_path: Path
) -> None:
    given = [argument.format(artifact=quadrant_artifact) for argument in arguments]
    done = run_beside("cv2", OLD_OPENCV, *given, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert f"OpenCV was built for numpy 1 and does not load with numpy {np.__version__}" in (
        done.stderr
    )
    assert "pip install 'numpy<2'" in done.stderr


def test_an_opencv_without_its_libraries_says_so(quadrant_artifact: Path, tmp_path: Path) -> None:
    done = run_beside("cv2", NO_LIBRARY, "predict", str(quadrant_artifact), ".", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "libGL.so.1" in done.stderr
    assert "opencv-python-headless" in done.stderr


def broken_parts(report: dict[str, Any]) -> list[dict[str, str]]:
    """Warnings; that this machine has no NVIDIA driver is a note."""
    broken = [one for one in report["findings"] if "does not load" in one["text"]]
    return [one for one in broken if one["severity"] == "warning"]


@pytest.mark.parametrize("source", [OLD_OPENCV, NO_LIBRARY, "import no_such_part_of_cv2"])
def test_the_doctor_examines_the_rest_beside_an_opencv_that_does_not_load(
    source: str, tmp_path: Path
) -> None:
    done = run_beside("cv2", source, "doctor", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert report["opencv"] is None
    (finding,) = broken_parts(report)
    assert finding["subject"] == "opencv"
    assert finding["fix"]
    if source is OLD_OPENCV:
        assert "built for numpy 1" in finding["text"]
        assert "numpy<2" in finding["fix"]
    installed = {one["backend"]: one["version"] for one in report["runtimes"]}
    assert installed["onnx"]


def test_the_doctor_goes_on_without_any_opencv(tmp_path: Path) -> None:
    done = run("cv2", "doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "opencv      does not load" in done.stdout
    assert "OpenCV is not installed" in done.stdout
    assert "pip install 'edgeyolo[opencv]'" in done.stdout


@pytest.mark.parametrize(
    ("package", "error"),
    [
        ("onnxruntime", "ImportError('libcudart.so.12: cannot open shared object file')"),
        ("onnxruntime", "OSError('wrong ELF class')"),
        ("openvino", "ImportError('libopenvino.so.2640: undefined symbol')"),
        ("openvino", "RuntimeError('Unable to load plugins.xml')"),
    ],
)
def test_the_doctor_names_a_runtime_that_does_not_load(
    package: str, error: str, tmp_path: Path
) -> None:
    done = run_beside(package, f"raise {error}", "doctor", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    (finding,) = broken_parts(report)
    assert package in finding["text"]
    assert error.split("'")[1] in finding["text"]
    assert report["opencv"] is not None


def test_a_broken_package_of_the_workstation_is_one_line(tmp_path: Path) -> None:
    broken = "raise ImportError('libtorch_cpu.so: undefined symbol')"
    done = run_beside("torch", broken, "export", "demo", "--to", "onnx", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "PyTorch is installed but does not load (libtorch_cpu.so" in done.stderr


def test_every_extra_that_is_named_exists() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for _, extra in PACKAGES.values():
        assert f"\n{extra} = [" in text
