"""Ranges of a file, read with every claim checked against the size of the file."""

from __future__ import annotations

import os
from typing import BinaryIO

from edgeyolo.checkpoints.records import IncompleteError


class Window:
    """A file, or a part of one; a range outside it is an error, not a short result."""

    def __init__(self, file: BinaryIO, start: int = 0, size: int | None = None) -> None:
        self._file = file
        self._start = start
        self.size = os.fstat(file.fileno()).st_size - start if size is None else size

    def read(self, offset: int, count: int) -> bytes:
        """*count* bytes from *offset*.

        Raises:
            IncompleteError: They are not all there.
        """
        if offset < 0 or count < 0 or offset + count > self.size:
            raise IncompleteError("a part of it lies behind its end")
        self._file.seek(self._start + offset)
        data = self._file.read(count)
        if len(data) != count:
            raise IncompleteError("it became shorter while it was read")
        return data

    def head(self, offset: int, most: int) -> bytes:
        """Up to *most* bytes from *offset*."""
        return self.read(offset, min(most, max(self.size - offset, 0)))

    def part(self, offset: int, size: int) -> Window:
        """The range as a window of its own."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise IncompleteError("a part of it lies behind its end")
        return Window(self._file, self._start + offset, size)
