"""Q/DQ graphs hold to what onnxruntime and TensorRT need."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from edgeyolo.calibration.graph_editing import GraphEditor
from edgeyolo.calibration.nncf_backend import ActivationScheme
from edgeyolo.calibration.onnx_flavours import (
    for_onnxruntime,
    for_tensorrt,
    make_unsigned,
    quantized_convolutions,
    requantize_after_moves,
)
from edgeyolo.calibration.onnx_int8 import quantize_onnx
from edgeyolo.calibration.settings import Int8Settings
from edgeyolo.errors import UnsupportedError

Batches = object
ALWAYS_FLOAT = {"box", "classes", "depthwise"}


@pytest.fixture(scope="module")
def asymmetric(tiny_detector: onnx.ModelProto, pixels: Batches) -> onnx.ModelProto:
    return quantize_onnx(
        tiny_detector,
        pixels,  # type: ignore[arg-type]
        Int8Settings(),
        scheme=ActivationScheme.ASYMMETRIC_PER_TENSOR,
    )


@pytest.fixture(scope="module")
def symmetric(tiny_detector: onnx.ModelProto, pixels: Batches) -> onnx.ModelProto:
    return quantize_onnx(
        tiny_detector,
        pixels,  # type: ignore[arg-type]
        Int8Settings(),
        scheme=ActivationScheme.SYMMETRIC,
    )


@pytest.fixture(scope="module")
def for_cpu(asymmetric: onnx.ModelProto, pixels: Batches) -> onnx.ModelProto:
    return for_onnxruntime(asymmetric, pixels)  # type: ignore[arg-type]


def outputs(model: onnx.ModelProto, pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Fused kernels round at other places than the graph says.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, {"images": pixels}))


def parameters(model: onnx.ModelProto) -> list[tuple[bool, NDArray[np.float32], NDArray[np.int8]]]:
    """(of weights?, scale, zero-point) of every dequantiser."""
    editor = GraphEditor(model)
    return [
        (
            node.input[0] in editor.constants,
            editor.constants[node.input[1]],
            editor.constants[node.input[2]],
        )
        for node in editor.nodes
        if node.op_type == "DequantizeLinear"
    ]


def names_of_quantized(model: onnx.ModelProto) -> set[str]:
    return {node.name for node in quantized_convolutions(GraphEditor(model))}


def test_prediction_depthwise_and_decode_stay_float(for_cpu: onnx.ModelProto) -> None:
    every = {node.name for node in for_cpu.graph.node if node.op_type == "Conv"}
    assert every - names_of_quantized(for_cpu) == ALWAYS_FLOAT


def test_layers_asked_to_stay_float_do(tiny_detector: onnx.ModelProto, pixels: Batches) -> None:
    model = quantize_onnx(
        tiny_detector,
        pixels,  # type: ignore[arg-type]
        Int8Settings(float_layers=frozenset({"merged"})),
        scheme=ActivationScheme.ASYMMETRIC_PER_TENSOR,
    )
    every = {node.name for node in model.graph.node if node.op_type == "Conv"}
    assert every - names_of_quantized(model) == ALWAYS_FLOAT | {"merged"}


def test_boxes_and_scores_never_pass_a_quantiser(for_cpu: onnx.ModelProto) -> None:
    editor = GraphEditor(for_cpu)
    waiting, seen = ["boxes", "scores"], set()
    while waiting:
        node = editor.producer(waiting.pop())
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        assert node.op_type not in ("QuantizeLinear", "DequantizeLinear")
        if node.op_type != "Conv":
            waiting += node.input
    assert {"box", "classes"} <= seen


def test_weights_have_a_scale_per_output_channel(for_cpu: onnx.ModelProto) -> None:
    weights = [scale for of_weights, scale, _ in parameters(for_cpu) if of_weights]
    assert len(weights) == 7
    assert all(scale.size > 1 for scale in weights)


def test_onnxruntime_gets_unsigned_activations_and_signed_weights(
    for_cpu: onnx.ModelProto,
) -> None:
    for of_weights, scale, zero_point in parameters(for_cpu):
        assert zero_point.dtype == (np.int8 if of_weights else np.uint8)
        if of_weights:
            assert not zero_point.any()
        else:
            assert scale.size == 1


def test_signed_and_unsigned_activations_are_the_same_numbers(
    asymmetric: onnx.ModelProto, pixels: Batches
) -> None:
    editor = GraphEditor(asymmetric)
    make_unsigned(editor)
    unsigned = editor.finish()
    for batch in pixels:  # type: ignore[attr-defined]
        for one, other in zip(outputs(asymmetric, batch), outputs(unsigned, batch), strict=True):
            np.testing.assert_array_equal(one, other)


def test_quantising_behind_a_concatenation_again_changes_nothing(
    symmetric: onnx.ModelProto, pixels: Batches
) -> None:
    editor = GraphEditor(symmetric)
    requantize_after_moves(editor)
    added = editor.finish()
    assert len(added.graph.node) > len(symmetric.graph.node)
    for batch in pixels:  # type: ignore[attr-defined]
        for one, other in zip(outputs(symmetric, batch), outputs(added, batch), strict=True):
            # One product q * scale / scale may round to the neighbour of q in float32.
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_convolutions_run_between_quantisers_in_onnxruntime(
    for_cpu: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("optimised") / "model.onnx"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(
        for_cpu.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    kernels = [node.op_type for node in onnx.load(path).graph.node]
    assert kernels.count("QLinearConv") == len(names_of_quantized(for_cpu)) == 7


def test_tensorrt_gets_symmetric_int8_and_float_biases(symmetric: onnx.ModelProto) -> None:
    model = for_tensorrt(symmetric)
    for of_weights, scale, zero_point in parameters(model):
        assert zero_point.dtype == np.int8
        assert not zero_point.any()
        assert of_weights or scale.size == 1
    biases = {node.input[2] for node in model.graph.node if node.op_type == "Conv"}
    floats = {
        tensor.name
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    }
    assert biases <= floats


def test_tensorrt_inputs_of_one_concatenation_share_a_scale(symmetric: onnx.ModelProto) -> None:
    editor = GraphEditor(for_tensorrt(symmetric))
    concat = next(node for node in editor.nodes if node.name == "concat")
    makers = [editor.producer(name) for name in concat.input]
    behind = editor.readers[concat.output[0]]
    assert [node.op_type for node in makers if node is not None] == ["DequantizeLinear"] * 2
    assert [node.op_type for node in behind] == ["QuantizeLinear"]
    scales = {
        float(editor.constants[node.input[1]].reshape(()))
        for node in [*makers, *behind]
        if node is not None
    }
    assert len(scales) == 1


def test_tensorrt_refuses_zero_points(asymmetric: onnx.ModelProto) -> None:
    with pytest.raises(UnsupportedError, match="zero-point"):
        for_tensorrt(asymmetric)


def test_unsigned_pixels_are_quantised_without_loss(asymmetric: onnx.ModelProto) -> None:
    editor = GraphEditor(asymmetric)
    stem = next(node for node in editor.nodes if node.name == "stem")
    restored = editor.producer(stem.input[0])
    assert restored is not None
    scale, zero_point = (editor.constants[name] for name in restored.input[1:])
    assert zero_point.dtype == np.uint8
    assert float(scale) == pytest.approx(1 / 255, rel=1e-6)
    assert int(zero_point) == 0


def test_graphs_name_no_opset_domain_that_they_do_not_use(
    for_cpu: onnx.ModelProto, symmetric: onnx.ModelProto
) -> None:
    for model in (for_cpu, for_tensorrt(symmetric)):
        assert [item.domain for item in model.opset_import] == [""]
        onnx.checker.check_model(model, full_check=True)


def test_int8_gives_nearly_the_float_outputs(
    tiny_detector: onnx.ModelProto, for_cpu: onnx.ModelProto, pixels: Batches
) -> None:
    for batch in pixels:  # type: ignore[attr-defined]
        wanted, found = outputs(tiny_detector, batch), outputs(for_cpu, batch)
        for one, other in zip(wanted, found, strict=True):
            noise = np.mean((one - other) ** 2) / np.var(one)
            assert 0 < noise < 0.01  # 20 dB; eight layers at about 40 dB each leave 30


def test_biases_are_corrected(tiny_detector: onnx.ModelProto, symmetric: onnx.ModelProto) -> None:
    before = {t.name: numpy_helper.to_array(t) for t in tiny_detector.graph.initializer}
    editor = GraphEditor(symmetric)
    moved = [
        node.name
        for node in quantized_convolutions(editor)
        if not np.array_equal(editor.constants[node.input[2]], before[f"{node.name}.bias"])
    ]
    # NNCF leaves biases alone where the mean of the output did not move.
    assert len(moved) >= 4
