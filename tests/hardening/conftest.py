"""What the tests of commands in odd surroundings share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest

from edgeyolo.artifact import save_artifact
from edgeyolo.spec import Backend
from tests.hardening import model_seeds, seeds
from tests.hardening.inputs import Inputs, make_inputs

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended."""

    status: int
    out: str
    err: str

    def failed_in_one_line(self) -> str:
        """The one line that says what was wrong."""
        assert self.status == 1, self.out + self.err
        assert "Traceback" not in self.err
        lines = [line for line in self.err.splitlines() if line.startswith("edgeyolo: ")]
        assert len(lines) == 1, self.err
        return lines[0]

    def worked(self) -> str:
        assert self.status == 0, self.err
        assert "Traceback" not in self.err
        return self.out


Command = Callable[..., Finished]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """``command("predict", ..., cwd=, environment=, before=, shell=)`` in a process of its own."""

    def run(
        *arguments: str | Path,
        cwd: Path = ROOT,
        environment: Mapping[str, str | None] = {},
        before: Callable[[], None] | None = None,
        shell: str = "",
    ) -> Finished:
        variables: dict[str, str | None] = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            # So that the checkout is found from every working directory.
            "PYTHONPATH": str(ROOT),
            "EDGEYOLO_CACHE": str(tmp_path / "cache"),
            **environment,
        }
        line = [sys.executable, "-m", "edgeyolo", *map(str, arguments)]
        if shell:
            line = ["bash", "-c", f'"$@" {shell}', "bash", *line]
        try:
            done = subprocess.run(
                line,
                cwd=cwd,
                env={name: value for name, value in variables.items() if value is not None},
                preexec_fn=before,
                capture_output=True,
                timeout=300,
                check=False,
            )
        except subprocess.SubprocessError as error:
            if "preexec_fn" not in str(error):
                raise
            pytest.skip("root cannot give up its privileges here")
        return Finished(
            done.returncode,
            done.stdout.decode(errors="surrogateescape"),
            done.stderr.decode(errors="surrogateescape"),
        )

    return run


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    pytest.importorskip("torch")
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures whose names hold a blank, an umlaut and a sign."""
    folder = tmp_path_factory.mktemp("Bilder mit ü ☃")
    for index, name in enumerate(("a b.jpg", "señal ⚠.png")):
        _, content = cv2.imencode(Path(name).suffix, seeds.scene(seed=index))
        (folder / name).write_bytes(content.tobytes())
    return folder


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small detector for ONNX Runtime, in a folder of such a name."""
    place = tmp_path_factory.mktemp("Modelle ü ☃ 'x'")
    (place / "model.onnx").write_bytes(model_seeds.onnx_files()[0])
    contract = model_seeds.contract(Backend.ONNX, "model.onnx")
    # Without it everything would fit onto the full disk.
    (place / "ballast").write_bytes(os.urandom(100_000))
    files = {name: place / name for name in ("model.onnx", "ballast")}
    save_artifact(place / "artifact", contract, files)
    return place / "artifact"
