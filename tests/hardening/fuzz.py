"""Damaged files for every reader: ``python -m tests.hardening.fuzz --seconds 120 --seed 1``.

Each reader runs in a process of its own, so that a crash is counted and not suffered. Counted are

* crashes: a signal ended the process;
* tracebacks: any exception but an ``EdgeYoloError`` of one line;
* hangs: one input took more than ``--patience`` seconds of the processor, or never ended;
* memory: one input took more than 1 GiB.

Any of them makes the exit status 1, and its input is kept below ``--keep``. The same seed gives
the same inputs: ``--reader NAME --seed S --first I --inputs 1`` repeats one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# Module -> its readers; a worker imports only what it needs.
READERS: Mapping[str, tuple[str, str]] = {
    "checkpoint-zip": ("fuzz_checkpoints", "ZipCheckpoint"),
    "checkpoint-pickle": ("fuzz_checkpoints", "StreamCheckpoint"),
    "onnx": ("fuzz_models", "OnnxFile"),
    "openvino": ("fuzz_models", "OpenVinoFile"),
    "tflite": ("fuzz_models", "TfliteFile"),
    "artifact": ("fuzz_models", "ArtifactJson"),
    "coco-json": ("fuzz_labels", "CocoJson"),
    "yolo-txt": ("fuzz_labels", "YoloText"),
    "dataset-yaml": ("fuzz_labels", "DatasetYaml"),
    "voc-xml": ("fuzz_labels", "VocXml"),
    "names": ("fuzz_labels", "ClassNames"),
    "list": ("fuzz_labels", "PictureList"),
    "pictures": ("fuzz_media", "Pictures"),
    "video": ("fuzz_media", "Videos"),
}
_SELF_TEST = {"self-test": ("fuzz_itself", "Faulty")}
_GROWTH_LIMIT_MIB = 1024
# Protects the machine from what the counting above would only report.
_DATA_LIMIT_BYTES = 6 * 2**30
FAULTS = ("crash", "traceback", "hang", "memory")


@dataclass
class Tally:
    """What came of one reader's inputs.

    Attributes:
        outcomes: ``"read"``, ``"refused"`` and the faults -> inputs.
        faults: One line for each fault: number of the input, what happened.
    """

    reader: str
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    peak_mib: int = 0
    slowest_s: float = 0.0

    @property
    def inputs(self) -> int:
        return self.outcomes.total()

    def line(self) -> str:
        counts = "".join(f"{self.outcomes[name]:>9}" for name in ("read", "refused", *FAULTS))
        times = f"{self.seconds:>8.1f}{self.slowest_s:>9.2f}"
        return f"{self.reader:<18}{self.inputs:>8}{counts}{times}{self.peak_mib:>7}"


HEADER = (
    f"{'reader':<18}{'inputs':>8}{'read':>9}{'refused':>9}{'crashes':>9}{'traceb.':>9}{'hangs':>9}"
    f"{'memory':>9}{'s':>8}{'slowest':>9}{'MiB':>7}"
)


def fuzz(
    reader: str,
    *,
    seed: int,
    seconds: float,
    inputs: int | None = None,
    first: int = 0,
    patience_s: float = 10.0,
    silence_s: float = 300.0,
    guarded: bool = True,
    keep: Path | None = None,
) -> Tally:
    """Feed one reader for so long, or so many inputs, and count.

    Args:
        patience_s: Processor time that one input may take.
        silence_s: Time after which an input is given up.
        guarded: Whether lone model files are tried in a child process first, as the product does.
        keep: Where inputs that showed a fault are copied to.
    """
    tally = Tally(reader)
    started = time.monotonic()
    following = first
    with tempfile.TemporaryDirectory(prefix="edgeyolo fuzz ü-") as name:
        # Deep enough that a damaged path with ".." does not lead out of it.
        folder = Path(name, "a", "b", "c")
        while True:
            left_s = seconds - (time.monotonic() - started)
            end = None if inputs is None else first + inputs
            if left_s <= 0 or (end is not None and following >= end):
                break
            before = following
            for event in _watched(
                reader, seed, following, end, left_s, patience_s, silence_s, guarded, folder
            ):
                following = int(event["number"]) + 1
                outcome = str(event["outcome"])
                tally.outcomes[outcome] += 1
                tally.peak_mib = max(tally.peak_mib, int(event.get("peak_mib", 0)))
                tally.slowest_s = max(tally.slowest_s, float(event.get("seconds", 0.0)))
                if outcome in FAULTS:
                    tally.faults.append(f"{reader} {event['number']}: {event['detail']}")
                    if keep is not None:
                        place = keep / f"{reader}-{seed}-{event['number']}"
                        shutil.copytree(folder / "input", place, dirs_exist_ok=True)
            if following == before:
                break  # it ended by its clock before the first input
    tally.seconds = time.monotonic() - started
    return tally


def _watched(
    reader: str,
    seed: int,
    first: int,
    end: int | None,
    seconds: float,
    patience_s: float,
    silence_s: float,
    guarded: bool,
    folder: Path,
) -> Iterator[dict[str, Any]]:
    """Events of one worker; the last one is the fault that ended it, if one did."""
    command = [sys.executable, "-m", "tests.hardening.fuzz", "--worker", str(folder)]
    command += ["--reader", reader, "--seed", str(seed), "--first", str(first)]
    command += ["--seconds", str(seconds), "--patience", str(patience_s)]
    if not guarded:
        command.append("--unguarded")
    if end is not None:
        command += ["--inputs", str(end - first)]
    shutil.rmtree(folder / "input", ignore_errors=True)
    with tempfile.TemporaryFile() as errors:
        worker = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        assert worker.stdout is not None
        following = first
        hung = False
        with DefaultSelector() as selector:
            selector.register(worker.stdout, EVENT_READ)
            ready = False
            while True:
                if not selector.select(silence_s if ready else max(silence_s, 300.0)):
                    hung = True
                    os.killpg(worker.pid, signal.SIGKILL)
                    break
                line = worker.stdout.readline()
                if not line:
                    break
                event = json.loads(line)
                if event["outcome"] == "ready":
                    ready = True
                    continue
                following = event["number"] + 1
                yield event
        status = worker.wait()
        worker.stdout.close()
        if hung:
            yield {
                "number": following,
                "outcome": "hang",
                "detail": f"no end after {silence_s:g} s",
            }
        elif status < 0 and ready:
            what = signal.Signals(-status).name
            yield {"number": following, "outcome": "crash", "detail": what}
        elif status != 0:
            errors.seek(0)
            sys.exit(f"the worker of {reader} failed:\n{errors.read().decode(errors='replace')}")


def work(
    reader: str,
    folder: Path,
    *,
    seed: int,
    first: int,
    inputs: int | None,
    seconds: float,
    patience_s: float,
    guarded: bool,
) -> None:
    """Inside a worker: one JSON line for every input."""
    import importlib

    # Whatever libraries print on stdout must not mix with the events.
    events = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(**event: object) -> None:
        events.write(json.dumps(event) + "\n")
        events.flush()

    from edgeyolo.errors import EdgeYoloError

    module, name = {**READERS, **_SELF_TEST}[reader]
    target = getattr(importlib.import_module(f"tests.hardening.{module}"), name)(folder)
    target.guarded = guarded
    resource.setrlimit(resource.RLIMIT_DATA, (_DATA_LIMIT_BYTES, _DATA_LIMIT_BYTES))
    say(outcome="ready")
    deadline = time.monotonic() + seconds
    number = first
    peak_mib = _peak_mib()
    while time.monotonic() < deadline and (inputs is None or number < first + inputs):
        rng = random.Random(f"{seed}/{reader}/{number}")
        target.write(rng)
        outcome, detail = "read", ""
        begun_s = _spent_s()
        try:
            target.read(rng)
        except EdgeYoloError as error:
            outcome = "refused"
            if "\n" in str(error) or not str(error).strip():
                outcome, detail = "traceback", f"an error of several lines or none: {error!r}"
        except Exception as error:  # noqa: BLE001 - counting these is what the harness is for
            frames = traceback.extract_tb(error.__traceback__)
            places = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames[:-6:-1])
            outcome, detail = "traceback", f"{type(error).__name__}: {error} at {places}"[:500]
        spent_s = _spent_s() - begun_s
        if spent_s > patience_s and outcome in ("read", "refused"):
            outcome, detail = "hang", f"{spent_s:.1f} s of processor time for one input"
        before, peak_mib = peak_mib, _peak_mib()
        if peak_mib - before > _GROWTH_LIMIT_MIB and outcome in ("read", "refused"):
            outcome, detail = "memory", f"{peak_mib - before} MiB for one input"
        say(number=number, outcome=outcome, detail=detail, peak_mib=peak_mib, seconds=spent_s)
        number += 1


def _spent_s() -> float:
    """Processor time: a busy machine must not look like a hang."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _peak_mib() -> int:
    """The most memory that this process or one of its finished children has had."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(usage.ru_maxrss for usage in usages) // 1024


def shares(seconds: float, readers: list[str]) -> dict[str, float]:
    """Seconds for each reader: alike, but three times as many for those that take long."""
    slow = ("onnx", "openvino", "tflite", "video")
    weights = {name: 3.0 if name in slow else 1.0 for name in readers}
    return {name: seconds * weight / sum(weights.values()) for name, weight in weights.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hardening.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="over all readers")
    parser.add_argument("--inputs", type=int, help="at most so many for each reader")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--reader", choices=[*READERS, *_SELF_TEST], action="append")
    parser.add_argument("--patience", type=float, default=10.0, help="seconds for one input")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"))
    parser.add_argument(
        "--unguarded",
        action="store_true",
        help="lone model files straight into the vendors' libraries: what the product prevents",
    )
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    readers = chosen.reader or list(READERS)
    if chosen.worker is not None:
        work(
            readers[0],
            chosen.worker,
            seed=chosen.seed,
            first=chosen.first,
            inputs=chosen.inputs,
            seconds=chosen.seconds,
            patience_s=chosen.patience,
            guarded=not chosen.unguarded,
        )
        return
    tallies = []
    if not chosen.json:
        print(HEADER)
    for reader, seconds in shares(chosen.seconds, readers).items():
        tally = fuzz(
            reader,
            seed=chosen.seed,
            seconds=seconds,
            inputs=chosen.inputs,
            first=chosen.first,
            patience_s=chosen.patience,
            guarded=not chosen.unguarded,
            keep=chosen.keep,
        )
        tallies.append(tally)
        if not chosen.json:
            print(tally.line(), flush=True)
            for fault in tally.faults:
                print(f"  ! {fault}", flush=True)
    total = Tally("all")
    for tally in tallies:
        total.outcomes.update(tally.outcomes)
        total.seconds += tally.seconds
        total.slowest_s = max(total.slowest_s, tally.slowest_s)
        total.peak_mib = max(total.peak_mib, tally.peak_mib)
    if chosen.json:
        print(json.dumps([asdict(tally) for tally in (*tallies, total)], indent=1))
    else:
        print(total.line())
    sys.exit(any(total.outcomes[name] for name in FAULTS))


if __name__ == "__main__":
    main()
