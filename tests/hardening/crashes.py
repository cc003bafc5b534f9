"""Kill -9 at random moments: ``python -m tests.hardening.crashes --moments 20 --seed 1``.

Two kinds of jobs. Writers (``crash_writers.py``) write one thing over and over, so that nearly
every moment falls into a writing. Commands are whole ones (export, calibrate, train), killed
anywhere from their start to their end; half of the moments lie in the last fifth, where files are
written. After every kill the product's own reader must either refuse what is there as missing, or
read a complete result. In the end the job runs undisturbed among everything that the killed ones
left behind, and must succeed.

Counted: moments, results that were complete, results that were absent, half-written ones that
were accepted. One of the last makes the exit status 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

import numpy as np

from tests.hardening.inputs import Inputs, make_inputs

ROOT = Path(__file__).resolve().parents[2]


class Found(Enum):
    """What the reader says after a kill."""

    ABSENT = "absent"
    COMPLETE = "complete"
    HALF = "half-written, accepted"


@dataclass(slots=True)
class Tally:
    """What came of one job's moments."""

    job: str
    moments: int = 0
    absent: int = 0
    complete: int = 0
    half: int = 0
    left_over: int = 0
    rerun: str = "not run"
    seconds: float = 0.0

    def count(self, found: Found) -> None:
        self.moments += 1
        self.absent += found is Found.ABSENT
        self.complete += found is Found.COMPLETE
        self.half += found is Found.HALF

    def line(self) -> str:
        return (
            f"{self.job:<20}{self.moments:>8}{self.complete:>10}{self.absent:>8}{self.half:>6}"
            f"{self.left_over:>12}{self.rerun:>10}{self.seconds:>8.1f}"
        )


HEADER = (
    f"{'job':<20}{'moments':>8}{'complete':>10}{'absent':>8}{'half':>6}{'left over':>12}"
    f"{'rerun':>10}{'s':>8}"
)


def found_artifact(folder: Path) -> Found:
    from edgeyolo.artifact import load_artifact
    from edgeyolo.errors import ArtifactError
    from tests.hardening.crash_writers import PARTS, content

    try:
        artifact = load_artifact(folder / "artifact")
    except ArtifactError:
        # Between two renamings nothing bears the name; a folder that does must be complete.
        return Found.HALF if (folder / "artifact").exists() else Found.ABSENT
    expected = content(int(artifact.contract.provenance.source_name))
    same = all((artifact.folder / name).read_bytes() == expected for name in PARTS)
    return Found.COMPLETE if same else Found.HALF


def found_checkpoint(folder: Path) -> Found:
    from edgeyolo.checkpoints.containers import open_stored

    path = folder / "last.pt"
    if not path.exists():
        return Found.ABSENT
    import torch

    with open_stored(path):
        pass
    state = torch.load(path, weights_only=True)["model"]
    numbers = {float(value) for tensor in state.values() for value in tensor.unique()}
    return Found.COMPLETE if len(state) == 4 and len(numbers) == 1 else Found.HALF


def found_package(folder: Path) -> Found:
    import zipfile

    from edgeyolo.artifact import load_artifact

    found = Found.ABSENT
    if (folder / "packed").exists():
        load_artifact(folder / "packed" / "model")
        names = {path.name for path in (folder / "packed").iterdir()}
        if not {"edgeyolo-package.json", "README.txt", "run.py", "requirements.txt"} <= names:
            return Found.HALF
        found = Found.COMPLETE
    if (folder / "packed.zip").exists():
        with zipfile.ZipFile(folder / "packed.zip") as archive:
            if archive.testzip() is not None or len(archive.namelist()) < 8:
                return Found.HALF
    return found


def found_calibration(folder: Path) -> Found:
    from edgeyolo.calibration.cache import CalibrationCache
    from tests.hardening.crash_writers import PART_BYTES, calibration_key

    found = Found.ABSENT
    for number in range(3):
        files = CalibrationCache(folder / "cache").get(calibration_key(number))
        if files is not None:
            found = Found.COMPLETE
            if set(files) != {"x", "y"} or files["x"] != files["y"]:
                return Found.HALF
            assert len(files["x"]) == PART_BYTES
    return found


def found_picture(folder: Path) -> Found:
    from edgeyolo.pictures import read_picture

    if not (folder / "shown.png").exists():
        return Found.ABSENT
    frame = read_picture(folder / "shown.png")
    return Found.COMPLETE if len(np.unique(frame)) == 1 else Found.HALF


WRITERS: Mapping[str, Callable[[Path], Found]] = {
    "artifact": found_artifact,
    "checkpoint": found_checkpoint,
    "package": found_package,
    "calibration": found_calibration,
    "picture": found_picture,
}


def kill_writer(name: str, moments: int, seed: int) -> Tally:
    """Kill a writer again and again in one folder."""
    from edgeyolo.errors import EdgeYoloError

    rng = random.Random(f"{seed}/{name}")
    tally = Tally(name)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edgeyolo crash ü-") as place:
        folder = Path(place)
        for _ in range(moments):
            _kill_once(_start(["-m", "tests.hardening.crash_writers", name, place]), rng)
            try:
                tally.count(WRITERS[name](folder))
            except EdgeYoloError:
                # It bears its final name and cannot be read.
                tally.count(Found.HALF)
        tally.left_over = sum(1 for path in folder.rglob("*") if path.name.startswith("."))
        tally.rerun = "works" if _writes_again(name, folder) else "FAILS"
    tally.seconds = time.monotonic() - started
    return tally


def _kill_once(writer: subprocess.Popen[str], rng: random.Random) -> None:
    assert writer.stdout is not None
    with writer.stdout:
        line = writer.stdout.readline()
        assert line == "writing\n", f"the writer did not begin: {line!r}"
        time.sleep(rng.uniform(0.0, 0.3))
        writer.kill()
        assert writer.wait() == -signal.SIGKILL, "the writer ended before it was killed"


def _writes_again(name: str, folder: Path) -> bool:
    """Whether an undisturbed writer finishes something new among what the others left."""
    writer = _start(["-m", "tests.hardening.crash_writers", name, str(folder)])
    try:
        deadline = time.monotonic() + 120
        began = time.time_ns()
        while time.monotonic() < deadline:
            time.sleep(0.2)
            if writer.poll() is not None:
                return False
            names = ("artifact", "last.pt", "packed.zip", "shown.png", "cache")
            for path in (folder / each for each in names):
                if path.exists() and path.stat().st_mtime_ns > began:
                    return True
    finally:
        writer.kill()
        writer.wait()
        if writer.stdout is not None:
            writer.stdout.close()
    return False


def _start(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def kill_download(moments: int, seed: int) -> Tally:
    """Kill downloads into one cache, from a server that stops in the middle every second time."""
    from tests.edgeyolo.test_weights import CONTENT, DIGEST, FETCH, Server

    rng = random.Random(f"{seed}/download")
    tally = Tally("download")
    started = time.monotonic()
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    with tempfile.TemporaryDirectory(prefix="edgeyolo crash ü-") as place:
        environment = {**os.environ, "EDGEYOLO_CACHE": place, "no_proxy": "*"}
        command = [sys.executable, "-c", FETCH, server.url("stalls"), str(len(CONTENT)), DIGEST]

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

        def found() -> Found:
            files = [path for path in Path(place).rglob("weights.pt") if path.is_file()]
            if not files:
                return Found.ABSENT
            return Found.COMPLETE if files[0].read_bytes() == CONTENT else Found.HALF

        for number in range(moments):
            server.failures_left = number % 2
            requests = len(server.requests)
            process = start()
            while len(server.requests) == requests and process.poll() is None:
                time.sleep(0.002)
            time.sleep(rng.uniform(0.0, 0.1))
            process.kill()
            process.wait()
            tally.count(found())
            # So that the next one has something to do; what is left of this one stays.
            for path in Path(place).rglob("weights.pt"):
                path.unlink()
        server.failures_left = 0
        process = start()
        tally.rerun = "works" if process.wait() == 0 and found() is Found.COMPLETE else "FAILS"
        tally.left_over = sum(1 for _ in Path(place).rglob("*.part"))
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join()
    tally.seconds = time.monotonic() - started
    return tally


_TRAIN = """
import sys
from pathlib import Path
import torch
from edgeyolo.training.request import TrainingRequest
from edgeyolo.training.session import resume, train
torch.set_num_threads(1)
data, run = sys.argv[1:]
if Path(run, "config.json").exists():
    resume(Path(run))
else:
    train(TrainingRequest(
        model="yolox-nano", width=0.125, data=data, epochs=6, batch=4, output=run,
        input_hw=(64, 64), settings=("multiscale=false",), workers=0, tensorboard=False,
        checkpoint_interval=1,
    ))
"""


def command_jobs(inputs: Inputs) -> dict[str, tuple[list[str], str]]:
    """Job -> command line, and what it writes; the last argument is the folder to write into."""
    edgeyolo = [sys.executable, "-m", "edgeyolo"]
    export = [*edgeyolo, "export", str(inputs.checkpoint), "--input-size", "64", "--allow-mismatch"]
    int8 = ["--calibration", str(inputs.pictures), "--allow-few-pictures"]
    calibrate = [*edgeyolo, "calibrate", str(inputs.checkpoint), "--input-size", "64", *int8]
    return {
        **{
            f"export-{to}": ([*export, "--to", to, "--output", "{artifact}"], "artifact")
            for to in ("onnx", "openvino", "tflite")
        },
        "export-int8": (
            [*export, "--to", "onnx", "--precision", "int8", *int8, "--output", "{artifact}"],
            "artifact",
        ),
        "calibrate": ([*calibrate, "--to", "onnx"], "cache"),
        "train": ([sys.executable, "-c", _TRAIN, str(inputs.dataset), "{run}"], "run"),
    }


def found_result(kind: str, folder: Path) -> Found:
    """What a command left, judged by the product's own reader."""
    path = folder / kind
    if kind == "cache":
        return _found_entries(path / "calibration")
    if kind == "run":
        path /= "last.pt"
    if not path.exists():
        return Found.ABSENT
    if kind == "run":
        from edgeyolo.checkpoints.load import load_model

        load_model(path)
    else:
        from edgeyolo.inspection import inspect
        from edgeyolo.predictor import load

        with load(path, device="cpu", threads=1, probe=True) as predictor:
            predictor.predict(np.full((48, 64, 3), 90, np.uint8))
        return Found.COMPLETE if inspect(path).sound else Found.HALF
    return Found.COMPLETE


def _found_entries(cache: Path) -> Found:
    """Whether every entry of a calibration cache is whole."""
    found = Found.ABSENT
    for entry in cache.glob("[!.]*"):
        digests = json.loads((entry / "digests.json").read_text())
        for name, digest in digests.items():
            if hashlib.sha256((entry / name).read_bytes()).hexdigest() != digest:
                return Found.HALF
        found = Found.COMPLETE
    return found


def kill_command(name: str, inputs: Inputs, moments: int, seed: int) -> Tally:
    """Kill a whole command again and again, each writing where the last one was killed."""
    from edgeyolo.errors import EdgeYoloError

    rng = random.Random(f"{seed}/{name}")
    command, kind = command_jobs(inputs)[name]
    tally = Tally(name)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edgeyolo crash ü-") as place:
        folder = Path(place)
        whole_s = _finished(command, folder / "undisturbed")[1]
        stormy = folder / "stormy"
        for number in range(moments):
            process = _run(command, stormy)
            part = rng.uniform(0.8, 1.0) if number % 2 else rng.uniform(0.0, 1.0)
            try:
                process.wait(timeout=part * whole_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            try:
                tally.count(found_result(kind, stormy))
            except EdgeYoloError:
                tally.count(Found.HALF)
        worked, _ = _finished(command, stormy)
        complete = found_result(kind, stormy) is Found.COMPLETE
        tally.rerun = "works" if worked and complete else "FAILS"
        tally.left_over = sum(1 for path in stormy.rglob(".*") if path.suffix in (".part", ".old"))
    tally.seconds = time.monotonic() - started
    return tally


def _finished(command: list[str], folder: Path) -> tuple[bool, float]:
    started = time.monotonic()
    return _run(command, folder).wait() == 0, time.monotonic() - started


def _run(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [argument.format(artifact=folder / "artifact", run=folder / "run") for argument in command]
        if "-c" not in command
        else [*command[:-1], str(folder / "run")],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", "EDGEYOLO_CACHE": str(folder / "cache")},
        start_new_session=True,
    )


COMMANDS = ("export-onnx", "export-openvino", "export-tflite", "export-int8", "calibrate", "train")


def main() -> None:
    jobs = (*WRITERS, "download", *COMMANDS)
    parser = argparse.ArgumentParser(prog="python -m tests.hardening.crashes", description=__doc__)
    parser.add_argument("--moments", type=int, default=20, help="for each job")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--job", action="append", choices=jobs, help="default: all")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    chosen = parser.parse_args()
    tallies = []
    if not chosen.json:
        print(HEADER)
    with tempfile.TemporaryDirectory(prefix="edgeyolo crash inputs-") as place:
        inputs: Inputs | None = None
        for job in chosen.job or jobs:
            if job in WRITERS:
                tally = kill_writer(job, chosen.moments, chosen.seed)
            elif job == "download":
                tally = kill_download(chosen.moments, chosen.seed)
            else:
                inputs = inputs or make_inputs(Path(place))
                tally = kill_command(job, inputs, chosen.moments, chosen.seed)
            tallies.append(tally)
            if not chosen.json:
                print(tally.line(), flush=True)
    total = Tally("all")
    for tally in tallies:
        for name in ("moments", "absent", "complete", "half", "left_over", "seconds"):
            setattr(total, name, getattr(total, name) + getattr(tally, name))
    total.rerun = "works" if all(tally.rerun == "works" for tally in tallies) else "FAILS"
    if chosen.json:
        print(json.dumps([asdict(tally) for tally in (*tallies, total)], indent=1))
    else:
        print(total.line())
    sys.exit(total.half > 0 or total.rerun != "works")


if __name__ == "__main__":
    main()
