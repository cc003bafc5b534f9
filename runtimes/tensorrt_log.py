"""What TensorRT says while it works, kept so that errors can quote it."""

from __future__ import annotations

import re
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
    """Receives every message of a module; keeps warnings and errors.

    Attributes:
        last_node: The node that the parser began last, as ``"name (operator)"``.
    """

    def __init__(self) -> None:
        self._kept: list[Message] = []
        self._start = 0
        self.last_node: str | None = None

    def receive(self, severity: int, text: str) -> None:
        if severity == Severity.VERBOSE:
            if found := _NODE.match(text):
                self.last_node = f"{found['name']} ({found['op']})"
        elif severity <= Severity.WARNING:
            self._kept.append(Message(Severity(severity), text, self.last_node))

    @contextmanager
    def collecting(self) -> Iterator[list[Message]]:
        """Warnings and errors that arrive inside the block."""
        before, self._start = self._start, len(self._kept)
        self.last_node = None
        collected: list[Message] = []
        try:
            yield collected
        finally:
            collected.extend(self._kept[self._start :])
            del self._kept[self._start :]
            self._start = before

    def last_error(self) -> str:
        """Text of the newest error inside a running :meth:`collecting`, or ``""``."""
        errors = [m.text for m in self._kept[self._start :] if m.severity <= Severity.ERROR]
        return errors[-1] if errors else ""


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
