"""A file that suppresses inside its graph is asked for nothing that it cannot give."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from edgeyolo.artifact import save_artifact
from edgeyolo.contract import Thresholds
from edgeyolo.errors import BackendError
from edgeyolo.exporters.nms_graph import append_suppression, suppressed_output
from edgeyolo.predictor import Predictor, load
from edgeyolo.spec import Backend
from tests.edgeyolo.conftest import SIDE, quadrant_contract, quadrant_model

INSIDE = Thresholds(min_score=0.25, iou_threshold=0.5, max_detections=2)


def opened(folder: Path, class_names: tuple[str, ...] = ("blue", "green", "red")) -> Predictor:
    """Finds bright quarters, the two best of each class."""
    file = folder / "model.onnx"
    onnx.save(append_suppression(quadrant_model(1), INSIDE), file)
    plain = quadrant_contract(Backend.ONNX, file.name, 1)
    contract = dataclasses.replace(
        plain,
        model=dataclasses.replace(plain.model, class_names=class_names),
        output=suppressed_output(),
        thresholds=INSIDE,
    )
    save_artifact(folder / "artifact", contract, {file.name: file})
    return load(folder / "artifact", threads=1)


def frame(channel: int) -> NDArray[np.uint8]:
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[: SIDE // 2, : SIDE // 2, channel] = 250
    picture[SIDE // 2 :, SIDE // 2 :, channel] = 150
    return picture


def test_what_the_graph_keeps_can_be_narrowed(tmp_path: Path) -> None:
    with opened(tmp_path) as predictor:
        assert predictor.predict(frame(1)).names == ["green", "green"]
        assert len(predictor.predict(frame(1), min_score=0.8)) == 1
        assert len(predictor.predict(frame(1), max_detections=1)) == 1
        assert len(predictor.predict(frame(1), iou_threshold=0.5)) == 2


@pytest.mark.parametrize(
    "asked", [{"min_score": 0.1}, {"iou_threshold": 0.7}, {"max_detections": 3}]
)
def test_what_the_graph_dropped_cannot_be_asked_for(
    tmp_path: Path, asked: dict[str, float]
) -> None:
    with opened(tmp_path) as predictor, pytest.raises(ValueError, match="inside this model file"):
        predictor.predict(frame(1), **asked)  # type: ignore[arg-type]


def test_a_class_that_the_contract_does_not_know_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path, class_names=("blue", "green")) as predictor:
        assert predictor.predict(frame(1)).names == ["green", "green"]
        with pytest.raises(BackendError, match="gives class 2, its contract has 2 classes"):
            predictor.predict(frame(2))
