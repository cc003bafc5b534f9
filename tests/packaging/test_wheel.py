"""The wheel holds what git tracks, and works where nothing else is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeyolo.embedded.detector import checkpoint_path
from edgeyolo.pictures import read_picture
from edgeyolo.pipeline import ExportRequest, export
from edgeyolo.predictor import load
from edgeyolo.scenes import render_scene
from edgeyolo.spec import Backend

ROOT = Path(__file__).resolve().parent.parent.parent
# Top-level folder in the project -> where its files are in the wheel.
PLACES = {
    "edgeyolo": "edgeyolo",
    "exporters": "edgeyolo/exporters",
    "runtimes": "edgeyolo/runtimes",
    "calibration": "edgeyolo/calibration",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the tree, so that building leaves nothing behind here."""
    source = tmp_path_factory.mktemp("tree")
    for name in tracked():
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        origin = ROOT / name
        if origin.is_symlink():
            target.symlink_to(origin.readlink())
        elif origin.is_file():
            target.write_bytes(origin.read_bytes())
    built = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(built)]
    subprocess.run([*command, str(source)], check=True, capture_output=True, timeout=300)
    (path,) = built.glob("*.whl")
    return path


def tracked() -> list[str]:
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [name for name in done.stdout.splitlines() if (ROOT / name).exists()]


def test_the_wheel_holds_exactly_the_tracked_package_files(wheel: Path) -> None:
    expected = set()
    for name in tracked():
        top, _, rest = name.partition("/")
        if rest and top in PLACES and not (ROOT / name).is_symlink():
            expected.add(f"{PLACES[top]}/{rest}")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == expected


# The runtimes that can be installed anywhere, and the import name of each.
RUNTIMES = {
    Backend.ONNX: "onnxruntime",
    Backend.OPENVINO: "openvino",
    Backend.TFLITE: "ai_edge_litert",
}
# What the README says of a device's environment: edgeyolo, its runtime, OpenCV and numpy. Python
# and pip, which were there before, are not counted. Bytecode is what pip compiles beside the
# modules; without it (pip install --no-compile) every environment is below the first number.
MOST_BYTES_WITHOUT_BYTECODE = 400e6
MOST_BYTES = {Backend.ONNX: 400e6, Backend.OPENVINO: 410e6, Backend.TFLITE: 400e6}


@pytest.mark.slow
@pytest.mark.parametrize("backend", list(RUNTIMES))
def test_the_wheel_predicts_in_an_environment_without_torch_and_onnx(
    wheel: Path, tmp_path: Path, backend: Backend, uncovered: None
) -> None:
    """Core and one runtime only; every other package of this environment is out of reach."""
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    before = bytes_of(environment, "*")
    bytecode_before = bytes_of(environment, "*.pyc")
    install(environment, f"{wheel}[{backend}]")
    installed = bytes_of(environment, "*") - before
    bytecode = bytes_of(environment, "*.pyc") - bytecode_before
    print(f"{backend}: {installed:,} bytes installed, {bytecode:,} of them bytecode")
    absent = {"torch", "onnx", *RUNTIMES.values()} - {RUNTIMES[backend]}
    code = (
        "import importlib.util, sys, edgeyolo;"
        f"assert all(importlib.util.find_spec(name) is None for name in {sorted(absent)});"
        "assert 'cv2' not in sys.modules;"
        "print(edgeyolo.__version__)"
    )
    python = [str(environment / "bin" / "python"), "-c", code]
    assert run(python, tmp_path).strip() == "0.1.0"
    artifact = tmp_path / "artifact"
    export(ExportRequest(checkpoint=checkpoint_path(), backend=backend, output=artifact))
    scene = tmp_path / "scene.png"
    cv2.imwrite(str(scene), render_scene(7, (320, 320)).frame_bgr)
    predict = [str(environment / "bin" / "edgeyolo"), "predict", str(artifact), str(scene)]
    (frame,) = json.loads(run([*predict, "--json"], tmp_path))["frames"]
    with load(artifact) as predictor:
        expected = predictor.predict(read_picture(scene))
    assert len(expected) > 0
    assert [found["class_name"] for found in frame["detections"]] == list(expected.names)
    found_xyxy = np.array([found["box_xyxy"] for found in frame["detections"]])
    # Threads sum in any order.
    np.testing.assert_allclose(found_xyxy, expected.boxes_xyxy, atol=0.1)
    assert installed - bytecode < MOST_BYTES_WITHOUT_BYTECODE
    assert installed < MOST_BYTES[backend]


def install(environment: Path, what: str) -> None:
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    constraints = ["--disable-pip-version-check", "--constraint", str(ROOT / "constraints.txt")]
    done = subprocess.run(
        [*pip, *constraints, what], check=False, capture_output=True, text=True, timeout=600
    )
    if done.returncode != 0 and "No matching distribution" in done.stderr:
        pytest.skip("no package index to install from")
    assert done.returncode == 0, done.stderr


def run(command: list[str], folder: Path) -> str:
    # A PYTHONPATH of this checkout would hide what the wheel lacks.
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=folder, env=surroundings
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def bytes_of(environment: Path, pattern: str) -> int:
    """Apparent size of files, as ``du --apparent-size`` counts them, folders apart."""
    return sum(
        path.stat().st_size
        for path in (environment / "lib").rglob(pattern)
        if path.is_file() and not path.is_symlink()
    )
