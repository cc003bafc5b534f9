"""The wheel holds what git tracks, and works where nothing else is installed."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

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


@pytest.mark.slow
def test_the_wheel_predicts_in_an_environment_without_torch_and_onnx(
    wheel: Path, tmp_path: Path
) -> None:
    """Core and one runtime only; every other package of this environment is out of reach."""
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    done = subprocess.run(
        [*pip, *constraints, f"{wheel}[tflite]"],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode != 0 and "No matching distribution" in done.stderr:
        pytest.skip("no package index to install from")
    assert done.returncode == 0, done.stderr
    code = (
        "import importlib.util, sys, numpy, edgeyolo;"
        "assert all(importlib.util.find_spec(n) is None for n in ('torch', 'onnx', 'onnxruntime'));"
        "assert 'cv2' not in sys.modules;"
        "print(edgeyolo.__version__)"
    )
    run = subprocess.run(
        [str(python), "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert run.stdout.strip() == "0.1.0"
    command = environment / "bin" / "edgeyolo"
    listed = subprocess.run(
        [str(command), "runtimes"], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert "ai-edge-litert" in listed.stdout
    installed = sum(
        path.stat().st_size
        for path in (environment / "lib").rglob("*")
        if path.is_file() and "site-packages/pip" not in str(path)
    )
    assert installed < 400e6
