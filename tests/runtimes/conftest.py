"""The driver's and TensorRT's doubles."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

_SOURCE = Path(__file__).parent.parent / "doubles" / "libcuda_double.c"


@pytest.fixture(scope="session")
def libcuda_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The driver's double, compiled: a shared library with libcuda's calling convention."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc), which builds the double of libcuda")
    path = tmp_path_factory.mktemp("libcuda") / "libcuda_double.so"
    subprocess.run(
        [compiler, "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(path), str(_SOURCE)],
        check=True,
    )
    return path


@pytest.fixture
def libcuda(libcuda_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The double as the driver that edgeyolo finds; at the end nothing may be left allocated."""
    monkeypatch.setenv("EDGEYOLO_LIBCUDA", str(libcuda_path))
    library = ctypes.CDLL(str(libcuda_path))
    before = library.double_live()
    yield library
    assert library.double_live() == before, "device memory, streams, graphs or contexts leaked"
