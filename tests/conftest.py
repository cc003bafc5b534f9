"""Fixtures that the whole suite shares."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# Before torch is imported: threads that wait for each other make tests on tiny networks ten times
# slower on a busy machine, and one thread sums in one order.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts the tests in the background lets them ignore Ctrl-C, and with them every
# program that they start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent

# How `coverage` reaches programs that the tests start.
COVERAGE = "COVERAGE_PROCESS_CONFIG"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference data and assets; tests that need it are skipped without it."""
    folder = Path(os.environ.get("EDGEYOLO_SHARED", ROOT.parent / "shared"))
    if not (folder / "reference").is_dir():
        pytest.skip(f"shared folder not found at {folder} (set EDGEYOLO_SHARED)")
    return folder


@pytest.fixture
def uncovered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that this test starts are not measured: coverage would be in the way there."""
    monkeypatch.delenv(COVERAGE, raising=False)
