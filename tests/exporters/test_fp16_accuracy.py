"""What FP16 costs the official YOLOX-Nano, as stored in FP16 and as FP16 hardware computes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgeyolo.checkpoints.load import load_model
from edgeyolo.data.labels import read_dataset
from edgeyolo.evaluation.coco import evaluate
from edgeyolo.exporters.activation_peaks import activation_peaks, overflowing
from edgeyolo.exporters.fp16_emulation import emulate_fp16
from edgeyolo.exporters.fp16_graph import to_fp16, to_fp16_on_pictures
from edgeyolo.exporters.fp16_rules import Float32Reason
from edgeyolo.exporters.graph_types import element_types
from edgeyolo.exporters.onnx_exporter import export_onnx, input_spec
from edgeyolo.letterbox import Letterboxer
from edgeyolo.models.deploy import deploy
from edgeyolo.pictures import list_pictures, read_picture
from edgeyolo.predictor import Predictor
from edgeyolo.spec import Layout, ModelSpec, OutputKind
from tests.doubles.tiny_detector import HW, tiny_detector

CALIBRATION_PICTURES = 32


class OnnxInMemory:
    """A session around a graph that was never written."""

    device = "CPU"

    def __init__(self, model: onnx.ModelProto) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def run(self, batch: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        return tuple(self._session.run(["boxes", "scores"], {"images": batch}))

    def close(self) -> None:
        del self._session


def predictor(model: onnx.ModelProto, spec: ModelSpec) -> Predictor:
    from edgeyolo.contract import OutputSpec

    return Predictor(
        OnnxInMemory(model),
        model=spec,
        input=input_spec(pixels=True, batch=1),
        output=OutputSpec(kind=OutputKind.DECODED, names=("boxes", "scores"), layout=Layout.NCHW),
    )


def test_emulation_rounds_as_fp16_does() -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
            helper.make_node("Cast", ["half"], ["y"], to=TensorProto.FLOAT),
        ],
        "rounding",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [100_000])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [100_000])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    rng = np.random.default_rng(2)
    values = (rng.normal(0, 1, 100_000) * 10 ** rng.uniform(-4, 4, 100_000)).astype(np.float32)
    values = np.clip(values[np.abs(values) > 2.0**-14], -65000, 65000)
    values = np.resize(values, 100_000)
    session = onnxruntime.InferenceSession(
        emulate_fp16(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found = session.run(None, {"x": values})[0]
    assert_array_equal(found, values.astype(np.float16).astype(np.float32))


def test_emulation_rounds_what_onnx_runtime_leaves_exact() -> None:
    frame = np.random.default_rng(3).integers(0, 256, (1, HW, HW, 3), np.uint8)
    half, _ = to_fp16(tiny_detector())
    emulated = emulate_fp16(half)
    assert TensorProto.FLOAT16 not in element_types(emulated).values()
    stored = OnnxInMemory(half).run(frame)[0]
    rounded = OnnxInMemory(emulated).run(frame)[0]
    assert_array_equal(rounded, rounded.astype(np.float16).astype(np.float32))
    np.testing.assert_allclose(rounded, stored, rtol=4e-3)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_fp16_costs_the_official_nano_less_than_3_thousandths_of_ap(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = shared / "assets/weights/yolox_nano_0.1.1rc0_refolded.pth"
    loaded = load_model(weights)
    deployed, _ = deploy(loaded.model)
    network, _ = export_onnx(deployed, loaded.spec)
    letterboxer = Letterboxer(loaded.spec.preprocess)
    canvases = []
    for path in list_pictures(shared / "assets/coco128_train2017/images")[:CALIBRATION_PICTURES]:
        canvas = np.empty((1, *loaded.spec.input_hw, 3), np.uint8)
        letterboxer.place(read_picture(path), canvas[0])
        canvases.append(canvas)
    half, report = to_fp16_on_pictures(network, canvases)
    assert not overflowing(activation_peaks(half, canvases))
    assert {node.reason for node in report.float32_nodes} == {Float32Reason.DECODE}
    dataset = read_dataset(shared / "assets/coco_val2017_subset")
    networks = {"fp32": network, "fp16 weights": half, "fp16 rounded": emulate_fp16(half)}
    ap = {
        name: evaluate(predictor(model, loaded.spec).evaluate, dataset).ap
        for name, model in networks.items()
    }
    with capsys.disabled():
        print(f"\nAP on {len(dataset.pictures)} pictures: {ap}; peak {report.highest_peak}")
    assert ap["fp16 weights"] == pytest.approx(ap["fp32"], abs=0.003)
    assert ap["fp16 rounded"] == pytest.approx(ap["fp32"], abs=0.003)
