"""A command whose packages are not installed says which, and what installs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


def test_every_extra_that_is_named_exists() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for _, extra in PACKAGES.values():
        assert f"\n{extra} = [" in text
