"""OpenVINO cores that leave the signals of the process alone.

OpenVINO's CPU plugin gives the thread that loads it a signal stack of its own and puts the former
one back when it is unloaded (``SigAltStackSetup``, openvino pull request 11894). Where two cores
are unloaded in the order in which they were loaded, the one put back is memory that is gone
already. Python's handlers run on that stack: the next signal that has one, Ctrl-C say, ends the
process with a segmentation fault and no message. A plugin whose stack is not the current one puts
nothing back; therefore the former one is put back here as soon as the plugin is loaded.

One core for everything would do as well, but what one damaged model file left in it made another
crash.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgeyolo.errors import needs


def new_core() -> Any:
    """An ``openvino.Core`` with the CPU plugin loaded.

    Raises:
        MissingPackageError: OpenVINO is not installed.
    """
    with needs("openvino", extra="openvino"):
        import openvino
    with kept_signal_stack():
        core = openvino.Core()
        if "CPU" in core.available_devices:
            core.get_property("CPU", "FULL_DEVICE_NAME")  # loads the plugin
    return core


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """Put this thread's signal stack back behind what loads the plugin."""
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
