"""A reader with every fault there is, to test the harness."""

from __future__ import annotations

import os
import random
import signal
import time

from edgeyolo.errors import SourceError
from tests.hardening.target import Target


class Faulty(Target):
    """Two crashes, two tracebacks, two hangs, a reading and a refusal, in this order."""

    name = "self-test"

    def prepare(self) -> None:
        self.sequence = self.folder / "sequence"

    def write(self, rng: random.Random) -> None:
        done = int(self.sequence.read_text()) if self.sequence.exists() else 0
        self.sequence.write_text(str(done + 1))
        self.number = done
        (self.input / "number").write_text(str(done))

    def read(self, rng: random.Random) -> None:
        if self.number < 2:
            os.kill(os.getpid(), signal.SIGSEGV)
        elif self.number == 2:
            raise ValueError("not one of ours")
        elif self.number == 3:
            raise SourceError("two\nlines")
        elif self.number == 4:
            end_s = time.process_time() + 0.5
            while time.process_time() < end_s:
                pass
        elif self.number == 5:
            time.sleep(600)
        elif self.number == 7:
            raise SourceError("refused in one line")
