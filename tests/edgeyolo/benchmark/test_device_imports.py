"""What runs on a device runs without the workstation's packages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# Refuses every package that the core dependencies and one runtime do not bring.
PROGRAM = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "onnx", "onnxsim", "nncf", "yaml", "matplotlib",
                                  "faster_coco_eval", "pycocotools", "ai_edge_quantizer"}:
            raise ModuleNotFoundError(f"{name} is refused", name=name)
sys.meta_path.insert(0, Refuse())
from edgeyolo.cli.main import main
main()
"""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", ["benchmark", "doctor", "package"])
def test_a_device_needs_no_workstation_package(
    quadrant_artifact: Path, tmp_path: Path, name: str
) -> None:
    arguments = {
        "benchmark": [quadrant_artifact, "--rounds", 1, "--seconds", 0.05, "--html", "x.html"],
        "doctor": [],
        "package": [quadrant_artifact, "--output", tmp_path / "packed"],
    }[name]
    arguments = [tmp_path / word if word == "x.html" else word for word in arguments]
    done = run(name, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_ctrl_c_ends_the_benchmark_in_one_line(quadrant_artifact: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, "benchmark", str(quadrant_artifact)]
    with subprocess.Popen(
        [*command, "--seconds", "20"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        assert running.stderr is not None
        assert running.stderr.readline() == "loading quadrants\n"
        assert running.stderr.readline() == "round 1 of 5\n"
        # As a terminal does it: to the measuring process as well.
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=20)
        with pytest.raises(ProcessLookupError):
            os.killpg(running.pid, 0)
    assert (running.returncode, out, err.strip()) == (130, "", "edgeyolo: interrupted")


def test_accuracy_names_the_extra_that_it_needs(quadrant_artifact: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.json"
    labels.write_text("{}")
    done = run("benchmark", quadrant_artifact, "--annotations", labels)
    assert done.returncode == 1
    assert done.stderr.endswith("run: pip install 'edgeyolo[eval]'\n")
