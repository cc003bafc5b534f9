"""Hostile files are refused, in one line, before anything of theirs runs and within 300 MB."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
PEAK_LIMIT_MB = 300.0
CPU_SECONDS_LIMIT = 10.0  # 2 seen; the reader itself stops after 60 s of wall clock

# Every file is read in a child of its own, so that its peak memory and its death are its own.
READ_EACH = """
import json, os, resource, sys
from pathlib import Path
from edgeyolo.checkpoints.reader import read_checkpoint
from edgeyolo.errors import CheckpointError

def attempt(path):
    # A torch built for CUDA maps several GiB when it is imported.
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        read_checkpoint(path)
    except CheckpointError as error:
        text = str(error)
        return {"message": text, "torch": "torch" in sys.modules}
    return {"message": None, "torch": True}

for path in sorted(Path(sys.argv[1]).iterdir()):
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        result = attempt(path)
        os.write(sender, json.dumps(result).encode())
        os._exit(0)
    os.close(sender)
    text = b""
    while block := os.read(receiver, 65536):
        text += block
    os.close(receiver)
    _, status, usage = os.wait4(child, 0)
    print(json.dumps({
        "name": path.name,
        "status": status,
        "peak_mb": usage.ru_maxrss / 1024,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        **json.loads(text or b'{"message": null, "torch": true}'),
    }))
"""

RUN_ALL = """
import pickle, sys, warnings
from pathlib import Path
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        pickle.loads(path.read_bytes())
    except BaseException:
        pass
"""


@dataclass(frozen=True)
class Outcome:
    """What became of one hostile file."""

    name: str
    status: int
    peak_mb: float
    cpu_seconds: float
    message: str | None
    torch: bool


@pytest.fixture(scope="module")
def hostile_files() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "hostile_files", Path(__file__).with_name("hostile_files.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(script: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        cwd=ROOT,
        # Time and memory are the reader's own, without what measuring coverage would take.
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def outcomes(
    hostile_files: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Outcome], Path]:
    canary = tmp_path_factory.mktemp("canary")
    folder = tmp_path_factory.mktemp("hostile")
    for name, content in hostile_files.files(canary).items():
        (folder / name).write_bytes(content)
    lines = run(READ_EACH, folder).splitlines()
    return [Outcome(**json.loads(line)) for line in lines], canary


def peak_of_importing_torch_mb() -> float:
    script = "import torch, resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=100
    )
    return int(done.stdout) / 1024


def test_the_payloads_are_live_ammunition(hostile_files: ModuleType, tmp_path: Path) -> None:
    canary, folder = tmp_path / "canary", tmp_path / "pickles"
    canary.mkdir()
    folder.mkdir()
    payloads = hostile_files.running(canary)
    for name, content in payloads.items():
        (folder / name).write_bytes(content)
    run(RUN_ALL, folder)
    assert {path.name for path in canary.iterdir()} == payloads.keys()


def test_every_hostile_file_is_refused_in_one_line(outcomes: tuple[list[Outcome], Path]) -> None:
    results, _ = outcomes
    assert len(results) >= 60
    unrefused = [r.name for r in results if r.status or not r.message or "\n" in r.message]
    assert unrefused == []
    assert [r.name for r in results if len(r.message or "") > 600] == []


def test_nothing_of_a_hostile_file_ran(outcomes: tuple[list[Outcome], Path]) -> None:
    _, canary = outcomes
    assert list(canary.iterdir()) == []


def test_refusing_costs_little_memory_and_time(outcomes: tuple[list[Outcome], Path]) -> None:
    results, _ = outcomes
    # Two come as far as making tensors: what importing torch takes is not theirs.
    limit_mb = {False: PEAK_LIMIT_MB, True: max(PEAK_LIMIT_MB, peak_of_importing_torch_mb() + 80)}
    assert [(r.name, r.peak_mb) for r in results if r.peak_mb >= limit_mb[r.torch]] == []
    assert [(r.name, r.cpu_seconds) for r in results if r.cpu_seconds >= CPU_SECONDS_LIMIT] == []


def test_refusing_does_not_import_torch(outcomes: tuple[list[Outcome], Path]) -> None:
    results, _ = outcomes
    # Two have sound pickles; their numbers are wrong, which shows when tensors are made.
    assert {r.name for r in results if r.torch} == {"zip_entry_crc", "zip_entry_overlap"}


def test_code_in_a_pickle_is_named(outcomes: tuple[list[Outcome], Path]) -> None:
    results, _ = outcomes
    running = [r for r in results if r.name.startswith("run_")]
    assert [r.name for r in running if "nothing was run" not in (r.message or "")] == []
    (system,) = [r for r in results if r.name == "run_posix_system.zip"]
    assert "wants to load posix.system" in (system.message or "")
