"""Opening a model file in a process of its own first, because vendors' libraries may crash.

The structure of a file is checked before any vendor sees it, but that is not enough: LiteRT 2.3
ends the process for some operators whose options do not fit their tensors. An artifact's files
are those that its digests name; a lone file may be anything.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from edgeyolo import contract as contracts
from edgeyolo import errors
from edgeyolo.contract import Contract
from edgeyolo.errors import BackendError, EdgeYoloError, one_line
from edgeyolo.runtimes.session import SessionOptions
from edgeyolo.spec import Layout

_TIMEOUT_S = 120.0
# Isolated (-I), then with the search path of this process: the child finds what we found, and
# nothing that happens to lie in the working directory.
_PROGRAM = """
import json, sys
request = json.loads(sys.stdin.readline())
sys.path[:] = request.pop("path")
from edgeyolo.runtimes.probe import try_file
try_file(**request)
"""


def probe(file: Path, contract: Contract, options: SessionOptions) -> None:
    """Open *file* and run one grey picture through it, in a child process.

    Raises:
        EdgeYoloError: What opening or running it raised there.
        BackendError: The child crashed or did not end.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        return  # there is no interpreter to start: an application that was packed into one file
    request = {
        "path": [str(Path(entry).absolute()) for entry in sys.path],
        "file": str(file.absolute()),
        "contract": contracts.encode(contract),
        "device": options.device,
        "threads": options.threads,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _PROGRAM],
            input=json.dumps(request) + "\n",
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BackendError(
            f"{file}: {contract.backend} did not open the file within {_TIMEOUT_S:g} s; "
            "it is damaged, or this machine is very busy"
        ) from error
    except OSError as error:
        raise BackendError(
            f"cannot start {sys.executable} to try {file}: {one_line(error.strerror or error)}"
        ) from error
    if done.returncode != 0:
        raise BackendError(
            f"{file}: {contract.backend} crashed on the file ({_cause(done)}); "
            "it is damaged or hostile, export it again"
        )
    refusal = json.loads(done.stdout.splitlines()[-1])
    if refusal is not None:
        raise getattr(errors, refusal["error"])(
            refusal["message"].replace(request["file"], str(file))
        )


def try_file(file: str, contract: str, device: str, threads: int | None) -> None:
    """In the child: prints ``null``, or the error of ours that came, as JSON."""
    # Vendors print what they like; the answer is the last line of the real standard output.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    refusal: dict[str, str] | None = None
    try:
        _open_and_run(
            Path(file),
            contracts.decode(contract, origin=file),
            SessionOptions(device=device, threads=threads),
        )
    except EdgeYoloError as error:
        refusal = {"error": type(error).__name__, "message": str(error)}
    except MemoryError:
        message = f"{file}: opening it needs more memory than this machine has"
        refusal = {"error": "BackendError", "message": message}
    answers.write(json.dumps(refusal) + "\n")
    answers.flush()
    # Without the libraries' own clean-up, in which a damaged model may still end badly.
    os._exit(0)


def _open_and_run(file: Path, contract: Contract, options: SessionOptions) -> None:
    from edgeyolo.runtimes.catalog import RUNTIMES

    if options.device.lower() in ("auto", "cpu"):
        _limit_memory()
    session = RUNTIMES[contract.backend].open(file, contract, options)
    height, width = contract.model.input_hw
    batch, spec = contract.input.batch or 1, contract.input
    shape = (batch, height, width, 3) if spec.layout is Layout.NHWC else (batch, 3, height, width)
    session.run(np.full(shape, 114, spec.dtype))


def _limit_memory() -> None:
    """Let an absurd allocation fail here rather than drive the machine out of memory."""
    try:
        import resource

        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_DATA, (physical, physical))
    except (ImportError, OSError, ValueError):  # not on this system
        return


def _cause(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        try:
            return signal.Signals(-done.returncode).name
        except ValueError:
            return f"signal {-done.returncode}"
    return one_line((done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1])
