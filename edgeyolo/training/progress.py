"""The progress line of a training, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TextIO

from edgeyolo.training.loop import IterationLog

_BAR_CELLS = 20
_REFRESH_S = 0.2
# Without a terminal (a log file, CI) a line each half minute instead of a moving bar.
_LINE_S = 30.0


class ProgressLine:
    """Shows where a training is.

    Args:
        epochs: Of the whole training.
        stream: Where to write; a terminal gets a moving bar.
    """

    def __init__(self, epochs: int, stream: TextIO | None = None) -> None:
        self._epochs = epochs
        self._stream = stream or sys.stderr
        self._moving = self._stream.isatty()
        self._last = 0.0

    def iteration(self, log: IterationLog) -> None:
        """Show one iteration, if it is time."""
        for message in log.unreadable:
            self._stream.write(f"{self._fresh()}replaced: {message}\n")
        now = time.monotonic()
        done = log.position + 1
        wait = _REFRESH_S if self._moving else _LINE_S
        if now - self._last < wait and done < log.batches:
            return
        if not self._moving and done == log.batches:
            return  # the line of the epoch follows at once
        self._last = now
        filled = _BAR_CELLS * done // log.batches
        bar = "#" * filled + "." * (_BAR_CELLS - filled)
        text = (
            f"epoch {log.epoch + 1}/{self._epochs} [{bar}] {done}/{log.batches}  "
            f"loss {log.parts['total']:.3f}  lr {log.settings.lr[1]:.2e}  "
            f"{log.input_hw[0]}x{log.input_hw[1]}  {log.pictures_per_second:.1f} pictures/s"
        )
        if self._moving:
            self._stream.write(f"{self._fresh()}{text}")
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def epoch(self, row: Mapping[str, float], *, best: bool) -> None:
        """Show a finished epoch."""
        text = f"epoch {int(row['epoch']) + 1}/{self._epochs}  loss {row['loss/total']:.3f}"
        if "ap" in row:
            text += f"  AP {row['ap']:.4f}  AP50 {row['ap50']:.4f}"
            text += "  (best)" if best else ""
        if "pictures_per_second" in row:
            text += f"  {row['pictures_per_second']:.1f} pictures/s"
        self._stream.write(f"{self._fresh()}{text}\n")
        self._stream.flush()

    def _fresh(self) -> str:
        """What wipes the moving bar."""
        return "\r\x1b[2K" if self._moving else ""
