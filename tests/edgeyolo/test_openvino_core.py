"""A process that used OpenVINO survives a signal whose handler is in Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# The network is loaded twice, and unloaded in the order of loading: not as a stack is.
_TWICE = """
import gc, os, signal
import numpy as np
import openvino
from openvino import opset13
{imports}
number = opset13.parameter([1, 4], np.float32)
model = openvino.Model([opset13.relu(number)], [number])
first = {core}
of_first = first.compile_model(model, "CPU")
second = {core}
of_second = second.compile_model(model, "CPU")
for name in ("of_first", "first", "of_second", "second"):
    del globals()[name]
    gc.collect()
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGUSR1)
"""
_OURS = {
    "imports": "from edgeyolo.openvino_core import new_core",
    "core": "new_core()",
}
_INSIDE_A_LIBRARY = """
from edgeyolo.openvino_core import kept_signal_stack
import contextlib
with kept_signal_stack():
    exec({program!r})
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGUSR1)
"""
_OWN = _TWICE.format(imports="", core="openvino.Core()")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="OpenVINO does this on Linux only")


def run(program: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=root, timeout=120
    )


def test_a_signal_is_handled_after_networks_were_unloaded_in_any_order() -> None:
    done = run(_TWICE.format(**_OURS))
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


def test_a_library_with_cores_of_its_own_leaves_the_signal_stack_as_it_was() -> None:
    without_signal = _OWN[: _OWN.index("signal.signal(")]
    done = run(_INSIDE_A_LIBRARY.format(program=without_signal))
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
