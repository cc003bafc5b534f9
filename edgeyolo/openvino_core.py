"""The one OpenVINO core of a process, and what several of them do to its signals.

OpenVINO's CPU plugin gives the thread that loads it a signal stack of its own and puts the former
one back when it is unloaded (``SigAltStackSetup``, openvino pull request 11894). Where two cores
are unloaded in the order in which they were loaded, the one put back is memory that is gone
already. Python's handlers run on that stack: the next signal that has one, Ctrl-C say, ends the
process with a segmentation fault and no message.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from edgeyolo.errors import needs


def openvino_core() -> Any:
    """The ``openvino.Core`` that everything here shares; lives as long as the process.

    Raises:
        MissingPackageError: OpenVINO is not installed.
    """
    with needs("openvino", extra="openvino"):
        import openvino
    return _core(openvino)


@cache
def _core(openvino: Any) -> Any:
    core = openvino.Core()
    if "CPU" in core.available_devices:
        core.get_property("CPU", "FULL_DEVICE_NAME")  # loads the plugin: before any other core's
    return core


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """Put this thread's signal stack back behind a library that makes cores of its own."""
    if sys.platform != "linux":  # only there does the plugin change it
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    before = _Stack()
    if libc.sigaltstack(None, ctypes.byref(before)):
        raise OSError(ctypes.get_errno(), "sigaltstack")
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(before), None)


class _Stack(ctypes.Structure):
    """``stack_t`` of Linux."""

    _fields_ = (
        ("ss_sp", ctypes.c_void_p),
        ("ss_flags", ctypes.c_int),
        ("ss_size", ctypes.c_size_t),
    )
