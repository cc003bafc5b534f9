"""One training at a time writes a run folder."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import TextIO

from edgeyolo.errors import OutputError, one_line

LOCK = ".lock"


class RunLock:
    """A POSIX record lock on a file of the run folder, which dies with its process.

    Not ``flock``: the workers that a killed training leaves for some seconds would hold it. But
    this process gives it up where it opens and closes the file another time.
    Without such locks (Windows, some network file systems) nothing is held; the latter is said.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._file: TextIO | None = None

    def __enter__(self) -> RunLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def take(self) -> bool:
        """Take the lock until the end of the block; the folder is there.

        Returns:
            Whether this call took it, and not an earlier one.

        Raises:
            OutputError: Another process trains into the folder, or it cannot be written.
        """
        if self._file is not None or sys.platform == "win32":
            return False
        import fcntl

        try:
            file = self._path.open("a+", encoding="ascii", errors="replace")
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror}") from error
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                file.seek(0)
                holder = one_line(file.read(80))
                file.close()
                raise OutputError(
                    f"another training writes {self._path.parent} ({holder or 'just started'}); "
                    "wait for its end, or choose another --output"
                ) from error
            print(
                f"warning: {self._path} cannot be locked ({error.strerror}): see to it that only "
                "one training at a time writes this folder",
                file=sys.stderr,
            )
        self._file = file
        file.truncate(0)
        file.write(f"process {os.getpid()} on {os.uname().nodename}")
        file.flush()
        return True
