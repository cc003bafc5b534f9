"""What INT8 is worth is said in words, also when it is worth nothing."""

from __future__ import annotations

import dataclasses

import pytest

from edgeyolo.calibration.budget import Score, ScoreKind
from edgeyolo.calibration.coverage import Coverage
from edgeyolo.contract import CalibrationRecord, InputSpec, OutputSpec
from edgeyolo.exporters.vendor import VendorFiles
from edgeyolo.int8_report import Int8Files
from edgeyolo.spec import Layout, OutputKind


@pytest.fixture
def report() -> Int8Files:
    return Int8Files(
        files=VendorFiles(
            entry="model.onnx",
            names=("model.onnx",),
            input=InputSpec(
                name="images",
                layout=Layout.NHWC,
                dtype="uint8",
                preprocessed_in_graph=True,
                batch=1,
            ),
            output=OutputSpec(kind=OutputKind.DECODED, names=("boxes", "scores")),
        ),
        record=CalibrationRecord(algorithm="mse", images=32, digest="0" * 64),
        coverage=Coverage(
            pictures=32,
            available=32,
            digest="0" * 64,
            sizes_wh=((640, 480, 32),),
            brightness=(77.0, 120.0, 201.0),
        ),
        float_score=Score(0.2891, ScoreKind.AP, 198),
        score=Score(0.2882, ScoreKind.AP, 198, network_ms=6.0),
        float_ms=12.0,
        frontier=(),
        cost_ms=None,
        sensitivity=None,
        device="CPU",
        dataset="val2017",
    )


def test_accuracy_and_time_stand_side_by_side(report: Int8Files) -> None:
    text = "\n".join(report.lines())
    assert "float 0.2891, INT8 0.2882 (drop +0.0009)" in text
    assert "float 12.00 ms, INT8 6.00 ms (0.50 of the time)" in text
    assert "SLOWER" not in text


@pytest.mark.parametrize("float_ms", [6.0, 5.0])
def test_int8_that_is_not_faster_is_advised_against(report: Int8Files, float_ms: float) -> None:
    lines = dataclasses.replace(report, float_ms=float_ms).lines()
    assert any("SLOWER" in line and "export fp32 or fp16" in line for line in lines)


def test_a_backend_that_does_not_run_here_has_no_times(report: Int8Files) -> None:
    text = "\n".join(dataclasses.replace(report, float_ms=None).lines())
    assert " ms" not in text
    assert dataclasses.replace(report, float_ms=None).latency() is None
