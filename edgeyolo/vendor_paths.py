"""Paths as vendors' libraries take them: text that can be written as UTF-8."""

from __future__ import annotations

import os
from pathlib import Path

from edgeyolo.errors import UnsupportedError


def vendor_path(path: Path) -> str:
    """*path* as text for a library that encodes it as UTF-8, whatever Python's locale is.

    In locale C, Python may read the bytes of a name as ASCII and stand-ins for the others. The
    libraries refuse these stand-ins, although the bytes are good UTF-8.

    Raises:
        UnsupportedError: The name's bytes are no UTF-8.
    """
    try:
        return os.fsencode(path).decode()
    except UnicodeDecodeError as error:
        raise UnsupportedError(
            f"{str(path)!r} is not UTF-8, and its library takes no other names; rename it"
        ) from error
