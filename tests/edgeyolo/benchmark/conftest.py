"""Two tiny real artifacts side by side."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from edgeyolo.artifact import save_artifact
from edgeyolo.spec import Backend
from tests.edgeyolo.conftest import quadrant_contract, quadrant_model


@pytest.fixture
def two_artifacts(tmp_path: Path) -> tuple[Path, Path]:
    """The quadrant detector for ONNX Runtime and for OpenVINO."""
    openvino = pytest.importorskip("openvino")
    pytest.importorskip("onnxruntime")
    file = tmp_path / "model.onnx"
    onnx.save(quadrant_model(1), file)
    ir = tmp_path / "model.xml"
    openvino.save_model(openvino.convert_model(file), ir, compress_to_fp16=False)
    first, second = tmp_path / "quadrants-onnx", tmp_path / "quadrants-openvino"
    save_artifact(first, quadrant_contract(Backend.ONNX, file.name, 1), {file.name: file})
    contract = quadrant_contract(Backend.OPENVINO, ir.name, 1)
    weights = ir.with_suffix(".bin")
    save_artifact(second, contract, {ir.name: ir, weights.name: weights})
    return first, second
