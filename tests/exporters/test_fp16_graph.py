"""FP16 as casts: what becomes FP16, what stays, and that the numbers agree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeyolo.errors import ParityError, UnsupportedError
from edgeyolo.exporters.activation_peaks import activation_peaks, overflowing
from edgeyolo.exporters.fp16_graph import to_fp16, to_fp16_on_pictures
from edgeyolo.exporters.fp16_rules import Float32Reason
from edgeyolo.exporters.graph_types import element_types

HW = 8
RNG = np.random.default_rng(7)
PICTURE = RNG.integers(0, 256, (1, HW, HW, 3), np.uint8)


def network(
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, NDArray[Any]],
    *,
    opset: int = 17,
    output: str = "out",
    input_type: int = TensorProto.UINT8,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info("images", input_type, [1, HW, HW, 3])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def detector(first_weights: NDArray[np.float32] | None = None) -> onnx.ModelProto:
    """Pixels -> SiLU convolution -> prediction convolution -> exp, with pixels as uint8."""
    weights = first_weights
    if weights is None:
        weights = RNG.normal(0, 0.05, (4, 3, 3, 3)).astype(np.float32)
    return network(
        [
            helper.make_node("Cast", ["images"], ["pixels"], name="cast", to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["pixels"], ["nchw"], name="nchw", perm=[0, 3, 1, 2]),
            helper.make_node("Mul", ["nchw", "scale"], ["x"], name="scaled"),
            helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], name="stem", pads=[1, 1, 1, 1]),
            helper.make_node("Sigmoid", ["c1"], ["s1"], name="sigmoid"),
            helper.make_node("Mul", ["c1", "s1"], ["a1"], name="silu"),
            helper.make_node("Conv", ["a1", "w2"], ["c2"], name="predict"),
            helper.make_node("Exp", ["c2"], ["out"], name="exp"),
        ],
        {
            "scale": np.array([1 / 255], np.float32),
            "w1": weights,
            "b1": RNG.normal(0, 0.1, 4).astype(np.float32),
            "w2": RNG.normal(0, 0.5, (2, 4, 1, 1)).astype(np.float32),
        },
    )


def run(model: onnx.ModelProto, batch: NDArray[Any]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    result: NDArray[np.float32] = session.run(None, {"images": batch})[0]
    return result


def test_convolutions_compute_in_fp16_and_inputs_and_outputs_keep_their_types() -> None:
    model, report = to_fp16(detector())
    types = element_types(model)
    assert types["images"] == TensorProto.UINT8
    assert types["out"] == TensorProto.FLOAT
    assert {"stem", "silu", "predict"} <= set(report.fp16_nodes)
    assert types["c1"] == types["a1"] == types["x"] == TensorProto.FLOAT16


def test_the_fp16_network_agrees_with_float32_to_fp16_rounding() -> None:
    source = detector()
    converted, _ = to_fp16(source)
    # Sums of 27 products of numbers below 1, each rounded at 2**-11.
    assert_allclose(run(converted, PICTURE), run(source, PICTURE), rtol=4e-3)
    assert np.any(run(converted, PICTURE) != run(source, PICTURE)), "nothing was rounded"


def test_what_follows_the_last_convolution_stays_float32_behind_one_cast() -> None:
    model, report = to_fp16(detector())
    assert [(n.name, n.reason) for n in report.float32_nodes] == [("exp", Float32Reason.DECODE)]
    assert report.casts == 1
    assert element_types(model)["c2/fp32"] == TensorProto.FLOAT


def test_the_first_cast_turns_pixels_into_fp16_directly() -> None:
    model, _ = to_fp16(detector())
    first = model.graph.node[0]
    assert first.op_type == "Cast"
    assert helper.get_attribute_value(first.attribute[0]) == TensorProto.FLOAT16


def test_the_source_network_is_not_changed() -> None:
    source = detector()
    before = source.SerializeToString()
    to_fp16(source, peaks=activation_peaks(source, [PICTURE]))
    assert source.SerializeToString() == before


def test_layers_whose_activations_come_near_overflow_become_float32_islands() -> None:
    # 27 weights of 2000 on pixels of about 1/2 reach 29000: below 65504, but not four times below.
    source = detector(np.full((4, 3, 3, 3), 2000, np.float32))
    peaks = activation_peaks(source, [PICTURE])
    assert 65504 / 4 < peaks["c1"] < 65504
    _, report = to_fp16(source, peaks=peaks)
    islands = {n.name: n for n in report.float32_nodes}
    assert islands["stem"].reason is Float32Reason.OVERFLOW
    assert islands["stem"].peak == pytest.approx(peaks["c1"])
    assert "predict" in islands, "it reads what is too large"
    assert "scaled" in report.fp16_nodes


def test_running_the_fp16_network_finds_an_overflow_that_was_let_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = detector(np.full((4, 3, 3, 3), 9000, np.float32))
    converted, report = to_fp16_on_pictures(source, [PICTURE])
    found = activation_peaks(converted, [PICTURE])
    assert overflowing(found) == overflowing(activation_peaks(source, [PICTURE])) == ("out",)
    assert report.highest_peak is not None
    assert report.highest_peak[1] < 65504 / 4, "what is larger stayed in FP32"
    assert activation_peaks(source, [PICTURE])["c1"] > 65504
    monkeypatch.setattr("edgeyolo.exporters.fp16_rules.FP16_MAX", float("inf"))
    with pytest.raises(ParityError, match="overflows at 'c1'"):
        to_fp16_on_pictures(source, [PICTURE])


def test_nodes_that_are_asked_for_stay_float32() -> None:
    source = detector()
    _, report = to_fp16(source, float32_nodes={"predict"})
    assert ("predict", Float32Reason.ASKED) in [(n.name, n.reason) for n in report.float32_nodes]
    with pytest.raises(UnsupportedError, match="no node 'missing'"):
        to_fp16(source, float32_nodes={"missing"})


def test_weights_beyond_fp16_keep_their_layer_in_float32() -> None:
    weights = np.full((4, 3, 3, 3), 1e-3, np.float32)
    weights[0, 0, 0, 0] = 7e4
    _, report = to_fp16(detector(weights))
    assert ("stem", Float32Reason.CONSTANT_OVERFLOW) in [
        (n.name, n.reason) for n in report.float32_nodes
    ]


def test_weights_below_fp16_keep_their_layer_in_float32() -> None:
    tiny = RNG.normal(0, 1e-6, (4, 3, 3, 3)).astype(np.float32)
    _, report = to_fp16(detector(tiny))
    assert ("stem", Float32Reason.CONSTANT_LOSS) in [
        (n.name, n.reason) for n in report.float32_nodes
    ]


def test_a_dead_channel_does_not_cost_its_layer_fp16_and_is_counted() -> None:
    weights = RNG.normal(0, 0.05, (4, 3, 3, 3)).astype(np.float32)
    weights[2] = 1e-9
    _, report = to_fp16(detector(weights))
    assert "stem" in report.fp16_nodes
    assert report.zeroed_constants == 27
    assert report.subnormal_constants >= 27


def test_an_output_that_a_layer_reads_too_is_cast_once() -> None:
    source = network(
        [
            helper.make_node("Transpose", ["images"], ["x"], name="nchw", perm=[0, 3, 1, 2]),
            helper.make_node("Conv", ["x", "w"], ["out"], name="first"),
            helper.make_node("Exp", ["out"], ["e"], name="exp"),
            helper.make_node("Conv", ["e", "w"], ["dead_end"], name="second"),
        ],
        {"w": np.full((3, 3, 1, 1), 0.01, np.float32)},
        input_type=TensorProto.FLOAT,
    )
    model, report = to_fp16(source)
    picture = PICTURE.astype(np.float32)
    assert {n.name for n in report.float32_nodes} == {"exp"}
    assert [n.input[0] for n in model.graph.node if n.name == "exp"] == ["out"]
    assert_allclose(run(model, picture), run(source, picture), rtol=2e-3)


def quantised(scale: float, channel_scales: NDArray[np.float32], *, opset: int) -> onnx.ModelProto:
    """One convolution between Q/DQ pairs with weights per channel, then a prediction."""
    weights = RNG.normal(0, 1, (4, 3, 1, 1)).astype(np.float32)
    weights *= channel_scales.reshape(-1, 1, 1, 1) * 50
    zero = np.int8(0)
    return network(
        [
            helper.make_node("Transpose", ["images"], ["x"], name="nchw", perm=[0, 3, 1, 2]),
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"], name="q"),
            helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"], name="dq"),
            helper.make_node("QuantizeLinear", ["w", "ws", "wz"], ["wq"], name="wq", axis=0),
            helper.make_node("DequantizeLinear", ["wq", "ws", "wz"], ["wd"], name="wdq", axis=0),
            helper.make_node("Conv", ["xd", "wd"], ["c"], name="conv"),
            helper.make_node("Relu", ["c"], ["r"], name="relu"),
            helper.make_node("Conv", ["r", "p"], ["out"], name="predict"),
        ],
        {
            "s": np.array(scale, np.float32),
            "z": np.array(zero),
            "w": weights,
            "ws": channel_scales,
            "wz": np.zeros(4, np.int8),
            "p": RNG.normal(0, 0.5, (2, 4, 1, 1)).astype(np.float32),
        },
        opset=opset,
        input_type=TensorProto.FLOAT,
    )


def test_quantised_layers_get_fp16_scales_and_no_cast_next_to_them() -> None:
    source = quantised(2.0, np.full(4, 0.01, np.float32), opset=13)
    model, report = to_fp16(source)
    assert model.opset_import[0].version == 19
    types = element_types(model)
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert types[node.input[1]] == TensorProto.FLOAT16, node.name
    casts = [node.input[0] for node in model.graph.node if node.op_type == "Cast"]
    assert casts == ["images", "out/fp16"]
    assert report.casts == 2
    picture = PICTURE.astype(np.float32)
    wanted = run(source, picture)
    assert_allclose(run(model, picture), wanted, atol=3e-3 * np.abs(wanted).max())


def test_weights_are_stored_as_the_integers_that_float32_gives() -> None:
    source = quantised(2.0, np.full(4, 0.01, np.float32), opset=13)
    model, _ = to_fp16(source)
    weights = numpy_helper.to_array(source.graph.initializer[2])
    stored = next(t for t in model.graph.initializer if t.name.startswith("wq"))
    assert stored.data_type == TensorProto.INT8
    assert np.array_equal(
        numpy_helper.to_array(stored), np.clip(np.rint(weights / 0.01), -128, 127)
    )


def test_a_weight_scale_that_fp16_rounds_to_zero_is_raised() -> None:
    scales = np.array([0.01, 1e-9, 0.02, 0.01], np.float32)
    source = quantised(2.0, scales, opset=19)
    model, report = to_fp16(source)
    assert report.raised_scales == 1
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    weights = next(n for n in model.graph.node if n.name == "wdq")
    assert constants[weights.input[1]].min() == np.finfo(np.float16).smallest_normal
    assert not constants[weights.input[0]][1].any(), "weights of 5e-8 are zero steps of 6e-5"
    picture = PICTURE.astype(np.float32)
    wanted = run(source, picture)
    assert_allclose(run(model, picture), wanted, atol=3e-3 * np.abs(wanted).max())


def test_an_activation_scale_below_fp16_stays_float32() -> None:
    _, report = to_fp16(quantised(1e-5, np.full(4, 0.01, np.float32), opset=19))
    reasons = {n.name: n.reason for n in report.float32_nodes}
    assert reasons["q"] is reasons["dq"] is Float32Reason.TINY_SCALE


def test_quantisers_follow_a_layer_into_float32() -> None:
    source = quantised(2.0, np.full(4, 0.01, np.float32), opset=19)
    _, report = to_fp16(source, float32_nodes={"conv"})
    reasons = {n.name: n.reason for n in report.float32_nodes}
    assert reasons["dq"] is reasons["wdq"] is Float32Reason.NEIGHBOUR
    assert "q" in report.fp16_nodes, "its source is FP16"


def test_a_graph_with_branches_is_refused() -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["images"], ["inner"])],
        "body",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )
    source = network(
        [
            helper.make_node(
                "If", ["yes"], ["out"], name="maybe", then_branch=body, else_branch=body
            )
        ],
        {"yes": np.array(True)},
        input_type=TensorProto.FLOAT,
    )
    with pytest.raises(UnsupportedError, match="If 'maybe'"):
        to_fp16(source)


def test_peaks_need_pictures() -> None:
    with pytest.raises(ValueError, match="at least one batch"):
        activation_peaks(detector(), [])


def test_the_official_nano_becomes_fp16_but_for_its_tail(shared: Path) -> None:
    source = onnx.load(shared / "assets/weights/yolox_nano_0.1.1rc0.onnx")
    picture = RNG.uniform(0, 255, (1, 3, 416, 416)).astype(np.float32)
    converted, report = to_fp16_on_pictures(source, [picture])
    assert {n.reason for n in report.float32_nodes} == {Float32Reason.DECODE}
    convolutions = [n for n in converted.graph.node if n.op_type == "Conv"]
    types = element_types(converted)
    assert {types[n.output[0]] for n in convolutions} == {TensorProto.FLOAT16}
    wanted, found = run(source, picture), run(converted, picture)
    # Box logits below 8 have FP16 steps of 2**-8; 113 layers add up to a few of them.
    assert_allclose(found[..., :4], wanted[..., :4], atol=0.1)
    assert_allclose(found[..., 4:], wanted[..., 4:], atol=0.02)
