"""A camera on the network that is faster than the network behind it, and that dies."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from edgeyolo.predictor import Predictor

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def live_stream() -> ModuleType:
    """The script that runs this for five minutes."""
    module_spec = importlib.util.spec_from_file_location(
        "live_stream", BENCHMARKS / "live_stream.py"
    )
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))  # as when it runs as a script
        patch.setitem(sys.modules, "live_stream", module)  # dataclasses look their module up
        module_spec.loader.exec_module(module)
    return module


def test_frames_stay_fresh_and_the_stream_survives_the_death_of_its_camera(
    live_stream: ModuleType, quadrants: Callable[..., Predictor]
) -> None:
    predictor = quadrants()
    predictor.session = live_stream.SlowedSession(predictor.session, 100.0)
    report = live_stream.watch(predictor, seconds=10.0, fps=30.0, down_s=1.0)
    assert report.frames_before_restart > 20
    assert report.frames_after_restart > 20
    assert report.pause_s < 10
    # 30 frames a second come, at most 10 can be looked at.
    assert report.dropped > 100
    settled = np.array(report.true_ages_ms[3:])
    assert np.median(settled) < 250
    # A loaded test machine may delay single frames; the script prints the maximum.
    assert np.percentile(settled, 90) < 250
    # What the stream says is what the picture proves, up to transport and decoding.
    difference = np.array(report.true_ages_ms) - np.array(report.reported_ages_ms)
    assert -5 < np.median(difference) < 100
    assert "did not come back within 8 s" in report.end
