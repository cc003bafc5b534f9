"""A device has one name everywhere, in capitals or not, and ``AUTO`` is OpenVINO's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeyolo.predictor import load
from edgeyolo.runtimes.catalog import RUNTIMES
from edgeyolo.runtimes.openvino_adapter import vendor_device
from edgeyolo.spec import Backend
from tests.hardening import model_seeds

PACKAGES = {
    Backend.ONNX: "onnxruntime",
    Backend.OPENVINO: "openvino",
    Backend.TFLITE: "ai_edge_litert",
}


@pytest.fixture(params=list(PACKAGES), ids=str)
def backend(request: pytest.FixtureRequest) -> Backend:
    chosen: Backend = request.param
    pytest.importorskip(PACKAGES[chosen])
    return chosen


def model_file(backend: Backend, folder: Path) -> Path:
    if backend is Backend.OPENVINO:
        file = folder / "model.xml"
        structure, weights = model_seeds.openvino_files(folder)[0]
        file.with_suffix(".bin").write_bytes(weights)
        file.write_bytes(structure)
        return file
    seeds = model_seeds.onnx_files if backend is Backend.ONNX else model_seeds.tflite_files
    file = folder / f"model.{backend.value}"
    file.write_bytes(seeds()[0])
    return file


def test_the_cpu_is_called_cpu_in_capitals_or_not(backend: Backend, tmp_path: Path) -> None:
    assert "cpu" in RUNTIMES[backend].report().devices
    file = model_file(backend, tmp_path)
    for name in ("cpu", "CPU", "Cpu", "auto", "AUTO"):
        with load(file, device=name, threads=1, probe=False) as predictor:
            assert predictor.session.device == "CPU"
            predictor.predict(np.full((40, 40, 3), 90, np.uint8), min_score=0.0)


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("auto", "CPU"),
        ("cpu", "CPU"),
        ("gpu", "GPU"),
        ("gpu.1", "GPU.1"),
        ("NPU", "NPU"),
        ("AUTO", "AUTO"),
        ("AUTO:GPU,CPU", "AUTO:GPU,CPU"),
    ],
)
def test_openvino_is_asked_for_its_own_name(device: str, expected: str) -> None:
    assert vendor_device(device) == expected


def test_openvino_chooses_where_it_is_told_to(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    file = model_file(Backend.OPENVINO, tmp_path)
    with load(file, device="AUTO", threads=1, probe=False) as predictor:
        devices = predictor.session.compiled.get_property("MULTI_DEVICE_PRIORITIES")  # type: ignore[attr-defined]
        assert devices  # a property of the AUTO plugin alone
