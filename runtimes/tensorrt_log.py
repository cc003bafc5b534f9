"""What TensorRT says while it works, kept so that errors can quote it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from edgeyolo.runtimes.tensorrt_modules import TensorRt

# The parser announces each node before it imports it (8.6 to 11, verbose severity).
_NODE = re.compile(r"^(?:\[[^]]*\] *)?Parsing node: (?P<name>.*?) \[(?P<op>\w+)\]")


class Severity(IntEnum):
    """TensorRT's, by its numbers."""

    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


@dataclass(frozen=True, slots=True)
class Message:
    """One line of the library.

    Attributes:
        node: The ONNX node that was being parsed, or ``None`` outside the parser.
    """

    severity: Severity
    text: str
    node: str | None


class MessageLog:
    """Receives every message of a module, from whatever thread; hands warnings and errors on.

    Attributes:
        last_node: The node that the parser began last, as ``"name (operator)"``.
    """

    def __init__(self) -> None:
        # Thread that collects, and what it has so far; a build may collect inside a build.
        self._collectors: list[tuple[int, list[Message]]] = []
        self._changing = threading.Lock()
        self.last_node: str | None = None

    def receive(self, severity: int, text: str) -> None:
        if severity == Severity.VERBOSE:
            if found := _NODE.match(text):
                self.last_node = f"{found['name']} ({found['op']})"
        elif severity <= Severity.WARNING:
            message = Message(Severity(severity), text, self.last_node)
            # A thread of the library's own works for one that waits: nobody knows for which.
            for collected in self._of_this_thread() or self._of_all():
                collected.append(message)

    @contextmanager
    def collecting(self) -> Iterator[list[Message]]:
        """Warnings and errors that arrive inside the block, on behalf of this thread."""
        self.last_node = None
        entry: tuple[int, list[Message]] = (threading.get_ident(), [])
        with self._changing:
            self._collectors.append(entry)
        try:
            yield entry[1]
        finally:
            with self._changing:
                self._collectors = [other for other in self._collectors if other is not entry]

    def last_error(self) -> str:
        """Text of the newest error inside a running :meth:`collecting`, or ``""``."""
        errors = [
            message.text
            for collected in self._of_this_thread()
            for message in collected
            if message.severity <= Severity.ERROR
        ]
        return errors[-1] if errors else ""

    def _of_this_thread(self) -> list[list[Message]]:
        """The innermost collector of this thread."""
        thread = threading.get_ident()
        return [collected for owner, collected in self._collectors if owner == thread][-1:]

    def _of_all(self) -> list[list[Message]]:
        return [collected for _, collected in self._collectors]


# TensorRT keeps the first logger of a process for good and ignores later ones, so there is one
# per module. The module is kept beside it, or its id could be given to another.
_LOGS: dict[int, tuple[Any, Any, MessageLog]] = {}


def logger_of(trt: TensorRt) -> tuple[Any, MessageLog]:
    """The vendor's logger object of this process, and where its messages go."""
    known = _LOGS.get(id(trt.module))
    if known is None:
        log = MessageLog()
        logger = _vendor_logger(trt.module, log)
        known = _LOGS[id(trt.module)] = (trt.module, logger, log)
    return known[1], known[2]


def _vendor_logger(module: Any, log: MessageLog) -> Any:
    class Forwarder(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            # pybind11 requires the base's own constructor, not super() through the MRO.
            module.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            log.receive(int(severity), msg)

    return Forwarder()
