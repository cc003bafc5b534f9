"""What ``--to tensorrt`` writes, and what parity is checked on."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import onnxruntime
import pytest

from edgeyolo.contract import Thresholds
from edgeyolo.exporters.tensorrt_exporter import TensorRtFiles
from edgeyolo.exporters.tensorrt_files import RTX, STRONG, WEAK
from edgeyolo.exporters.tensorrt_recipe import RECIPE_FILE, read_recipe
from edgeyolo.exporters.vendor import ExportSource
from edgeyolo.models.detector import Detector
from edgeyolo.spec import Backend, OutputKind, Precision
from tests.doubles.tiny_detector import HW, tiny_contract, tiny_detector


def source(batch: int | None, suppression: Thresholds | None) -> ExportSource:
    """Around a graph that is given; the PyTorch model is never asked."""
    return ExportSource(
        cast(Detector, None),
        tiny_contract("x").model,
        batch=batch,
        suppression=suppression,
        canvases=(np.full((HW, HW, 3), 90, np.uint8),),
    )


@pytest.mark.parametrize("suppression", [None, Thresholds()])
@pytest.mark.parametrize("precision", Precision)
def test_parity_is_checked_on_a_decoded_network_that_onnx_runtime_opens(
    precision: Precision, suppression: Thresholds | None, tmp_path: Path
) -> None:
    network = tiny_detector(quantised=precision is Precision.INT8)
    files = TensorRtFiles().write_graph(source(1, suppression), network, precision, tmp_path)
    assert files.proof is not None
    assert files.proof.backend is Backend.ONNX
    assert files.proof.output.kind is OutputKind.DECODED
    session = onnxruntime.InferenceSession(
        str(tmp_path / files.proof.file), providers=["CPUExecutionProvider"]
    )
    assert [o.name for o in session.get_outputs()] == ["boxes", "scores"]
    assert files.output.kind is (OutputKind.SUPPRESSED if suppression else OutputKind.DECODED)
    expected = {STRONG, RECIPE_FILE}
    expected |= {WEAK} if precision is not Precision.FP32 else set()
    expected |= {RTX} if suppression else set()
    assert set(files.names) == expected
    assert files.entry == STRONG
    if precision is Precision.INT8 and suppression is None:
        assert files.proof.file == WEAK, "ONNX Runtime refuses Q/DQ with FP16 scales"


def test_a_dynamic_batch_gets_a_range(tmp_path: Path) -> None:
    TensorRtFiles().write_graph(source(None, None), tiny_detector(None), Precision.FP32, tmp_path)
    batch = read_recipe(tmp_path).batch
    assert batch is not None
    assert (batch.smallest, batch.typical, batch.largest) == (1, 1, 8)
