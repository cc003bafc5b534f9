"""Fixtures that the whole suite shares."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# Before torch is imported: threads that wait for each other make tests on tiny networks ten times
# slower on a busy machine, and one thread sums in one order.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts the tests in the background lets them ignore Ctrl-C, and with them every
# program that they start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent

# Properties are tested on the same inputs in every run, so that a run says something about the
# change and not about the draw. `pytest --hypothesis-profile search -k NAME` draws anew, and many.
settings.register_profile("suite", derandomize=True, deadline=None, max_examples=250)
settings.register_profile("search", deadline=None, max_examples=20_000, print_blob=True)
settings.load_profile("suite")

# How `coverage` reaches programs that the tests start.
COVERAGE = "COVERAGE_PROCESS_CONFIG"


@pytest.fixture(autouse=True)
def _same_draws_in_any_order() -> None:
    """What a test draws without a seed of its own does not depend on the tests before it."""
    random.seed(0)
    np.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


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
