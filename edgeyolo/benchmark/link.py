"""The other end of a measuring process."""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType
from typing import TypeVar

import msgspec

from edgeyolo import errors
from edgeyolo.benchmark.messages import Answer, Failed, Request
from edgeyolo.errors import BackendError, EdgeYoloError

_Kind = TypeVar("_Kind", bound=msgspec.Struct)


class WorkerProcess:
    """A process that measures one artifact; use it in a ``with`` block.

    Args:
        name: What messages call the artifact.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edgeyolo.benchmark.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def ask(self, request: Request, kind: type[_Kind]) -> _Kind:
        """Send a request and wait for its answer, which is a *kind*.

        Raises:
            EdgeYoloError: The one that the process met, or that it died.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(msgspec.json.encode(request) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._death() from error
        line = self._process.stdout.readline()
        if not line:
            raise self._death()
        answer = msgspec.json.decode(line, type=Answer)
        if isinstance(answer, Failed):
            raise _error_class(answer.error)(f"{self._name}: {answer.message}")
        assert isinstance(answer, kind), f"{answer} is no {kind.__name__}"
        return answer

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def _death(self) -> BackendError:
        status = self._process.wait()
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return BackendError(
            f"{self._name}: the measuring process ended with {how}; what the vendor's library "
            "printed is above"
        )


def _error_class(name: str) -> type[EdgeYoloError]:
    found = getattr(errors, name, EdgeYoloError)
    assert issubclass(found, EdgeYoloError)
    return found
