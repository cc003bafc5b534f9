"""The demo makes everything it promises, from nothing but the package."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from edgeyolo.benchmark.tables import BACKEND_NAMES
from edgeyolo.demo.records import DemoRequest, DemoResult
from edgeyolo.demo.run import run_demo
from edgeyolo.demo.summary import as_dict, as_text
from edgeyolo.errors import BackendError, OutputError
from edgeyolo.predictor import load
from edgeyolo.spec import Backend, Precision


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    return run_demo(
        DemoRequest(
            output=tmp_path_factory.mktemp("demo") / "out put",
            backends=(Backend.OPENVINO,),
            scenes=16,
            calibration=32,
            rounds=1,
            seconds=0.05,
        )
    )


@pytest.mark.slow
def test_every_precision_is_exported_proven_and_about_as_accurate(result: DemoResult) -> None:
    assert [artifact.precision for artifact in result.artifacts] == list(Precision)
    assert result.torch_ap > 0.8
    assert result.failures() == []
    for artifact in result.artifacts:
        assert artifact.parity.passed
        assert result.network_ms(artifact) > 0
        with load(artifact.folder) as predictor:
            assert predictor.contract is not None
            assert predictor.contract.precision is artifact.precision


@pytest.mark.slow
def test_the_report_and_the_pictures_are_there(result: DemoResult) -> None:
    output = result.request.output
    html = (output / "report.html").read_text(encoding="utf-8")
    assert "Parity with PyTorch" in html
    assert all(artifact.folder.name in html for artifact in result.artifacts)
    for name, hw in (("detections.jpg", (960, 1920)), ("symbols.png", None)):
        picture = cv2.imread(str(output / name))
        assert picture is not None
        assert hw is None or picture.shape[:2] == hw


@pytest.mark.slow
def test_the_summary_tells_the_figures_and_what_to_do_next(result: DemoResult) -> None:
    text = as_text(result)
    assert BACKEND_NAMES[Backend.OPENVINO] in text
    assert "edgeyolo export best.pth" in text
    data = json.loads(json.dumps(as_dict(result)))
    assert [row["precision"] for row in data["artifacts"]] == ["fp32", "fp16", "int8"]
    assert data["failures"] == []


@pytest.mark.slow
def test_an_accuracy_below_what_the_precision_allows_is_a_failure(result: DemoResult) -> None:
    worse = DemoResult(
        request=result.request,
        torch_ap=result.torch_ap + 0.1,
        artifacts=result.artifacts,
        report=result.report,
        left_out={},
        elapsed_s=1.0,
    )
    assert len(worse.failures()) == len(result.artifacts)
    assert "FAILED openvino-fp32" in as_text(worse)


def test_a_folder_with_other_things_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(OutputError, match="holds something else than a demo"):
        run_demo(DemoRequest(output=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_without_a_runtime_that_runs_here_the_reason_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="no runtime can run here"):
        run_demo(DemoRequest(output=tmp_path / "new", backends=(Backend.TENSORRT,)))
    assert not (tmp_path / "new").exists()
