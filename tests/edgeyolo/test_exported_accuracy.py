"""Exported files of the official YOLOX-Nano have PyTorch's accuracy on every runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeyolo.pipeline import ExportRequest, export
from edgeyolo.spec import Backend, Precision
from edgeyolo.validation import ValidationRequest, validate

PICTURES = 40
# FP32 differs in the order of sums, FP16 in eleven bits of mantissa; parity alone allows either to
# move a box across an IoU threshold.
TOLERANCE = {Precision.FP32: 0.001, Precision.FP16: 0.003}


def ap(model: Path, shared: Path) -> float:
    labels = shared / "assets" / "coco_val2017_subset" / "instances.json"
    request = ValidationRequest(model=model, annotations=labels, limit=PICTURES)
    report = validate(request).report
    assert report.pictures == PICTURES
    return report.ap


@pytest.fixture(scope="module")
def checkpoint(shared: Path) -> Path:
    return shared / "assets" / "weights" / "yolox_nano_0.1.1rc0_refolded.pth"


@pytest.fixture(scope="module")
def expected(shared: Path, checkpoint: Path) -> float:
    return ap(checkpoint, shared)


@pytest.mark.slow
@pytest.mark.parametrize("precision", list(TOLERANCE))
@pytest.mark.parametrize("backend", [Backend.ONNX, Backend.OPENVINO, Backend.TFLITE])
def test_an_exported_file_has_the_accuracy_of_pytorch(
    shared: Path,
    checkpoint: Path,
    expected: float,
    tmp_path: Path,
    backend: Backend,
    precision: Precision,
) -> None:
    output = tmp_path / "artifact"
    export(
        ExportRequest(checkpoint=checkpoint, backend=backend, precision=precision, output=output)
    )
    found = ap(output, shared)
    print(
        f"AP of {backend} {precision} on {PICTURES} pictures: {found:.4f}, PyTorch {expected:.4f}"
    )
    assert found == pytest.approx(expected, abs=TOLERANCE[precision])
