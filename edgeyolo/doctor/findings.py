"""One finding of the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """How much a finding matters.

    OK: As it should be.
    NOTE: Good to know; nothing is broken.
    WARNING: Something does not work or misleads; the finding says the fix.
    """

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the diagnosis.

    Attributes:
        subject: ``"numpy"``, ``"opencv"``, ``"tensorrt"``, ...
        text: What is so.
        fix: What to do, mostly a command; never empty in a warning.
    """

    subject: str
    severity: Severity
    text: str
    fix: str = ""

    def __post_init__(self) -> None:
        if self.severity is Severity.WARNING and not self.fix:
            raise ValueError(f"the warning {self.text!r} says no fix")
