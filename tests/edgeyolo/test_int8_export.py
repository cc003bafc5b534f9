"""INT8 from the checkpoint to the artifact, on the official YOLOX-Nano at a small input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

import edgeyolo
from edgeyolo.calibration.sensitivity import Sensitivity, measure_sensitivity
from edgeyolo.calibration.settings import Batches
from edgeyolo.calibration.switched_graph import SwitchedGraph
from edgeyolo.detections import Detections
from edgeyolo.errors import AccuracyError, DatasetError, UnsupportedError
from edgeyolo.int8_measure import agreement
from edgeyolo.int8_request import Int8Request
from edgeyolo.pictures import list_pictures
from edgeyolo.pipeline import ExportRequest, export
from edgeyolo.spec import Backend, Precision


@pytest.fixture(scope="module")
def request_int8(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportRequest:
    folder = tmp_path_factory.mktemp("calibration")
    for path in list_pictures(shared / "assets/coco128_train2017/images")[:32]:
        picture = cv2.imread(str(path))
        assert picture is not None
        cv2.imwrite(str(folder / f"{path.stem}.png"), cv2.resize(picture, None, fx=0.4, fy=0.4))
    return ExportRequest(
        checkpoint=shared / "assets/weights/yolox_nano_0.1.1rc0_refolded.pth",
        backend=Backend.OPENVINO,
        precision=Precision.INT8,
        input_hw=(160, 160),
        int8=Int8Request(calibration=folder, most=32, cache_folder=folder.parent / "cache"),
    )


@pytest.mark.slow
def test_an_int8_artifact_says_how_it_was_made_and_what_it_is_worth(
    request_int8: ExportRequest, tmp_path: Path
) -> None:
    assert request_int8.int8 is not None
    request = replace(
        request_int8,
        output=tmp_path / "artifact",
        int8=replace(request_int8.int8, with_sensitivity=True, float_layers=()),
    )
    lines: list[str] = []
    result = export(request, lines.append)
    contract = result.artifact.contract
    assert contract.precision is Precision.INT8
    assert contract.calibration is not None
    assert (contract.calibration.algorithm, contract.calibration.images) == ("mse", 32)
    # onnxruntime took part in the sensitivity.
    assert {"nncf", "openvino", "onnxruntime"} <= contract.provenance.tools.keys()
    assert contract.measured.latency is not None
    assert contract.measured.latency.float_network_ms is not None
    assert result.int8 is not None
    assert result.int8.score.value > 0.8
    assert "agreement with the float model" in result.int8.lines()[0]
    names = {path.name for path in (tmp_path / "artifact").iterdir()}
    assert {"sensitivity.json", "sensitivity.svg"} <= names
    layers = json.loads((tmp_path / "artifact" / "sensitivity.json").read_text())["layers"]
    assert len(layers) == 104
    with edgeyolo.load(tmp_path / "artifact") as predictor:
        assert predictor.contract is not None
        assert predictor.contract.calibration == contract.calibration
    again: list[str] = []
    export(request, again.append)
    assert any("from the calibration cache" in line for line in again)


@pytest.mark.slow
def test_a_budget_that_int8_cannot_keep_writes_nothing(
    request_int8: ExportRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of all layers only two may stay float: then agreement cannot be perfect.
    def two_layers(graph: SwitchedGraph, source: onnx.ModelProto, batches: Batches) -> Sensitivity:
        found = measure_sensitivity(graph, source, batches)
        return replace(found, layers=found.layers[-2:])

    monkeypatch.setattr("edgeyolo.calibration.quantize.measure_sensitivity", two_layers)
    assert request_int8.int8 is not None
    with pytest.raises(AccuracyError, match="2 layers float: drop"):
        export(
            replace(
                request_int8,
                output=tmp_path / "artifact",
                int8=replace(request_int8.int8, max_drop=0.0),
            )
        )
    assert not (tmp_path / "artifact").exists()


def test_int8_needs_calibration_and_calibration_int8(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="--calibration"):
        ExportRequest(checkpoint=tmp_path, backend=Backend.ONNX, precision=Precision.INT8)
    with pytest.raises(UnsupportedError, match="fp32"):
        ExportRequest(
            checkpoint=tmp_path, backend=Backend.ONNX, int8=Int8Request(calibration=tmp_path)
        )


def test_too_few_pictures_are_refused_before_anything_is_quantised(
    request_int8: ExportRequest, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(DatasetError, match="1 calibration pictures"):
        export(replace(request_int8, int8=Int8Request(calibration=tmp_path)))


def found(*boxes: tuple[float, float, float, float]) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(count, 4),
        np.linspace(0.9, 0.5, count).astype(np.float32),
        np.zeros(count, np.int64),
        ("thing",),
    )


def test_agreement_counts_what_both_find() -> None:
    a = found((0, 0, 10, 10), (20, 20, 30, 30))
    b = found((1, 0, 10, 10), (50, 50, 60, 60), (70, 70, 80, 80))
    assert agreement([a], [a]) == 1.0
    assert agreement([a], [b]) == pytest.approx(2 / 5)
    assert agreement([found()], [found()]) == 1.0
    # One detection of the other model cannot stand for two.
    assert agreement([found((0, 0, 10, 10), (0, 0, 10, 10))], [found((0, 0, 10, 10))]) == (
        pytest.approx(2 / 3)
    )
