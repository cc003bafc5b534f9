"""Suppression inside a file is run, too, before the file becomes an artifact."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeyolo.contract import Thresholds
from edgeyolo.embedded import checkpoint_path
from edgeyolo.errors import ParityError
from edgeyolo.exporters import nms_graph, nms_rows_graph
from edgeyolo.pipeline import ExportRequest, export
from edgeyolo.scenes.folder import write_scenes
from edgeyolo.spec import Backend, Precision
from edgeyolo.verification import verify


def request_for(output: Path, backend: Backend = Backend.ONNX, **changes: Any) -> ExportRequest:
    fields: dict[str, Any] = {
        "checkpoint": checkpoint_path(),
        "backend": backend,
        "output": output,
        "suppress_in_graph": True,
        "input_hw": (160, 160),
        **changes,
    }
    return ExportRequest(**fields)


def with_threshold(module: Any, min_score: float) -> Callable[..., Any]:
    make = module._constants

    def constants(count: int, thresholds: Thresholds) -> Any:
        return make(count, dataclasses.replace(thresholds, min_score=min_score))

    return constants


@pytest.mark.parametrize(
    ("backend", "module", "file"),
    [
        (Backend.ONNX, nms_graph, "model.onnx"),
        (Backend.TENSORRT, nms_graph, "network.onnx"),
        (Backend.TENSORRT, nms_rows_graph, "network_rtx.onnx"),
    ],
)
def test_suppression_that_drops_what_it_should_keep_is_noticed(
    backend: Backend, module: Any, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_constants", with_threshold(module, 0.9))
    with pytest.raises(
        ParityError,
        match=rf"suppression inside {file} is wrong: it loses a box of score .*nothing was",
    ):
        export(request_for(tmp_path / "artifact", backend))
    assert list(tmp_path.iterdir()) == []
    result = export(request_for(tmp_path / "artifact", backend, waive_parity=True))
    assert result.artifact.contract.waivers == ("parity",)


@pytest.mark.parametrize("backend", [Backend.ONNX, Backend.TENSORRT])
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
@pytest.mark.parametrize("batch", [None, 2])
def test_right_suppression_passes(
    backend: Backend, precision: Precision, batch: int | None, tmp_path: Path
) -> None:
    request = request_for(tmp_path / "artifact", backend, precision=precision, batch=batch)
    assert export(request).artifact.contract.waivers == ()


@pytest.mark.parametrize("most", [1, 3, 300])
def test_a_file_that_keeps_few_objects_is_verified(tmp_path: Path, most: int) -> None:
    thresholds = Thresholds(max_detections=most)
    export(request_for(tmp_path / "artifact", thresholds=thresholds))
    write_scenes(tmp_path / "scenes", 12, 50, (320, 320))
    result = verify(tmp_path / "artifact", checkpoint_path(), tmp_path / "scenes" / "images")
    assert result.parity.passed, result.parity.note
    assert result.parity.reference == result.parity.matched >= 5


def test_ties_of_untrained_weights_do_not_fail_suppression(shared: Path, tmp_path: Path) -> None:
    checkpoint = shared / "reference/checkpoint/yolov7_l_w0125_nc7_synth.pt"
    request = request_for(tmp_path / "l", checkpoint=checkpoint, input_hw=(128, 128))
    assert export(request).artifact.contract.waivers == ()
