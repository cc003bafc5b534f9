"""Every operator of the closed set gives what ONNX Runtime gives, without a transposition."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.helper as oh
import onnxruntime
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from edgeyolo.errors import UnsupportedError
from edgeyolo.exporters.tflite_lowering import CHANNELS_LAST, lower_body
from edgeyolo.tflite.graph import Kind
from edgeyolo.tflite.writer import to_bytes

RNG = np.random.default_rng(7)


def image_graph(
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray[Any]],
    image_chw: tuple[int, int, int] = (4, 8, 10),
    opset: int = 17,
) -> onnx.ModelProto:
    """``x`` (1, C, H, W) float32 to ``y``."""
    graph = oh.make_graph(
        nodes,
        "test",
        [oh.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, *image_chw])],
        [oh.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(data, name) for name, data in constants.items()],
    )
    model = oh.make_model(graph, opset_imports=[oh.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def run_onnx(model: onnx.ModelProto, x: NDArray[Any]) -> NDArray[Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    result: NDArray[Any] = session.run(["y"], {model.graph.input[0].name: x})[0]
    return result


def run_tflite(model: onnx.ModelProto, x: NDArray[Any]) -> NDArray[Any]:
    """Lower, run and return ``y`` in ONNX's axis order; *x* is NCHW."""
    from ai_edge_litert.interpreter import Interpreter

    graph, values = lower_body(model, batch=len(x))
    value = values["y"]
    graph.outputs = (value.tensor,)
    interpreter = Interpreter(model_content=to_bytes(graph), num_threads=1)
    interpreter.allocate_tensors()
    stored = np.ascontiguousarray(x.transpose(CHANNELS_LAST))
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], stored)
    interpreter.invoke()
    result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    back = np.argsort(value.order)
    return np.asarray(result).transpose(back)


def normal(*shape: int) -> NDArray[np.float32]:
    return RNG.standard_normal(shape, np.float32)


def conv_node(**attributes: Any) -> list[onnx.NodeProto]:
    return [oh.make_node("Conv", ["x", "w", "b"], ["y"], name="conv", **attributes)]


def integers(*values: int) -> NDArray[np.int64]:
    return np.asarray(values, np.int64)


CASES: dict[str, tuple[list[onnx.NodeProto], dict[str, NDArray[Any]]]] = {
    "conv 3x3": (conv_node(pads=[1, 1, 1, 1]), {"w": normal(6, 4, 3, 3), "b": normal(6)}),
    "conv 1x1": (conv_node(), {"w": normal(6, 4, 1, 1), "b": normal(6)}),
    "conv 3x3 stride 2": (
        conv_node(pads=[1, 1, 1, 1], strides=[2, 2]),
        {"w": normal(6, 4, 3, 3), "b": normal(6)},
    ),
    "conv 6x6 stride 2": (
        conv_node(pads=[2, 2, 2, 2], strides=[2, 2]),
        {"w": normal(6, 4, 6, 6), "b": normal(6)},
    ),
    "depthwise conv 3x3": (
        conv_node(pads=[1, 1, 1, 1], group=4),
        {"w": normal(4, 1, 3, 3), "b": normal(4)},
    ),
    "depthwise conv 5x5 stride 2": (
        conv_node(pads=[2, 2, 2, 2], strides=[2, 2], group=4),
        {"w": normal(4, 1, 5, 5), "b": normal(4)},
    ),
    "conv without bias, asymmetric pads": (
        [oh.make_node("Conv", ["x", "w"], ["y"], name="conv", pads=[0, 1, 1, 0])],
        {"w": normal(6, 4, 3, 3)},
    ),
    "silu": (
        [
            oh.make_node("Sigmoid", ["x"], ["s"], name="gate"),
            oh.make_node("Mul", ["x", "s"], ["y"], name="silu"),
        ],
        {},
    ),
    "leaky relu": ([oh.make_node("LeakyRelu", ["x"], ["y"], name="leaky", alpha=0.1)], {}),
    "relu": ([oh.make_node("Relu", ["x"], ["y"], name="relu")], {}),
    "spp": (
        [
            oh.make_node(
                "MaxPool", ["x"], [f"p{k}"], name=f"pool{k}", kernel_shape=[k, k], pads=[k // 2] * 4
            )
            for k in (13, 5, 9)
        ]
        + [oh.make_node("Concat", ["x", "p5", "p9", "p13"], ["y"], name="spp", axis=1)],
        {},
    ),
    "max pool 2x2 stride 2": (
        [oh.make_node("MaxPool", ["x"], ["y"], name="p", kernel_shape=[2, 2], strides=[2, 2])],
        {},
    ),
    "concat with a negative axis": (
        [oh.make_node("Concat", ["x", "x"], ["y"], name="concat", axis=-3)],
        {},
    ),
    "nearest resize by scales": (
        [
            oh.make_node(
                "Resize",
                ["x", "", "s"],
                ["y"],
                name="up",
                mode="nearest",
                nearest_mode="floor",
                coordinate_transformation_mode="asymmetric",
            )
        ],
        {"s": np.asarray([1, 1, 2, 2], np.float32)},
    ),
    "nearest resize by size, half pixels": (
        [oh.make_node("Resize", ["x", "", "", "s"], ["y"], name="up", mode="nearest")],
        {"s": integers(1, 4, 24, 20)},
    ),
    "arithmetic with per-channel constants": (
        [
            oh.make_node("Sub", ["x", "mean"], ["a"], name="sub"),
            oh.make_node("Div", ["a", "std"], ["b"], name="div"),
            oh.make_node("Exp", ["b"], ["c"], name="exp"),
            oh.make_node("Add", ["c", "x"], ["d"], name="add"),
            oh.make_node("Mul", ["two", "d"], ["y"], name="mul"),
        ],
        {
            "mean": normal(1, 4, 1, 1),
            "std": np.abs(normal(4, 1, 1)) + 1,
            "two": np.asarray(2, np.float32),
        },
    ),
    "focus by slices": (
        [
            oh.make_node("Slice", ["x", f"r{r}", "e", "a2", "s"], [f"r{r}x"], name=f"rows{r}")
            for r in (0, 1)
        ]
        + [
            oh.make_node(
                "Slice", [f"r{r}x", f"r{c}", "e", "a3", "s"], [f"q{r}{c}"], name=f"columns{r}{c}"
            )
            for r in (0, 1)
            for c in (0, 1)
        ]
        + [oh.make_node("Concat", ["q00", "q10", "q01", "q11"], ["y"], name="focus", axis=1)],
        {
            "r0": integers(0),
            "r1": integers(1),
            "e": integers(2**31),
            "a2": integers(2),
            "a3": integers(3),
            "s": integers(2),
        },
    ),
    "channels reversed by a slice": (
        [oh.make_node("Slice", ["x", "s", "e", "a", "m"], ["y"], name="bgr")],
        {"s": integers(-1), "e": integers(-(2**31)), "a": integers(1), "m": integers(-1)},
    ),
    "channels chosen by a gather": (
        [oh.make_node("Gather", ["x", "i"], ["y"], name="bgr", axis=1)],
        {"i": integers(3, -2, 0)},
    ),
    "split and joined in another order": (
        [
            oh.make_node("Split", ["x", "n"], ["a", "b"], name="split", axis=1),
            oh.make_node("Concat", ["b", "a"], ["y"], name="join", axis=1),
        ],
        {"n": integers(1, 3)},
    ),
    "transposed there and back": (
        [
            oh.make_node("Transpose", ["x"], ["t"], name="there", perm=[0, 2, 3, 1]),
            oh.make_node("Sigmoid", ["t"], ["u"], name="sigmoid"),
            oh.make_node("Transpose", ["u"], ["y"], name="back", perm=[0, 3, 1, 2]),
        ],
        {},
    ),
    "constants computed from constants": (
        [
            oh.make_node("Mul", ["a", "b"], ["c"], name="folded"),
            oh.make_node("Mul", ["x", "c"], ["y"], name="mul"),
        ],
        {"a": normal(1, 4, 1, 1), "b": normal(1, 4, 1, 1)},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_operator_gives_what_onnx_runtime_gives(name: str) -> None:
    model = image_graph(*CASES[name])
    x = normal(1, 4, 8, 10)
    # float32 sums of at most 144 products in another order.
    assert_allclose(run_tflite(model, x), run_onnx(model, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_no_lowered_graph_holds_a_transposition(name: str) -> None:
    graph, _ = lower_body(image_graph(*CASES[name]), batch=1)
    assert "TRANSPOSE" not in {operator.kind.value for operator in graph.operators}


def test_pools_of_nine_and_thirteen_become_chained_pools_of_five() -> None:
    graph, _ = lower_body(image_graph(*CASES["spp"]), batch=1)
    pools = [operator for operator in graph.operators if operator.kind is Kind.MAX_POOL_2D]
    assert [pool.options.kernel_hw for pool in pools] == [(5, 5)] * 3  # type: ignore[union-attr]


def test_a_stride_two_convolution_is_padded_explicitly() -> None:
    graph, _ = lower_body(image_graph(*CASES["conv 3x3 stride 2"]), batch=1)
    assert [operator.kind for operator in graph.operators] == [Kind.PAD, Kind.CONV_2D]


def test_a_convolution_whose_padding_same_would_give_is_not_padded() -> None:
    """The 6x6 stem with stride 2 that Focus folds into: 2 cells on every side."""
    graph, _ = lower_body(image_graph(*CASES["conv 6x6 stride 2"]), batch=1)
    assert [operator.kind for operator in graph.operators] == [Kind.CONV_2D]


def test_the_batch_is_the_one_asked_for() -> None:
    model = image_graph(*CASES["conv 3x3"])
    x = normal(3, 4, 8, 10)
    assert_allclose(run_tflite(model, x)[2:], run_onnx(model, x[2:]), rtol=1e-5, atol=1e-5)


def test_uint8_pixels_are_cast_and_their_transposition_costs_nothing() -> None:
    nodes = [
        oh.make_node("Cast", ["images"], ["f"], name="cast", to=onnx.TensorProto.FLOAT),
        oh.make_node("Transpose", ["f"], ["t"], name="layout", perm=[0, 3, 1, 2]),
        oh.make_node("Conv", ["t", "w"], ["y"], name="conv"),
    ]
    graph = oh.make_graph(
        nodes,
        "test",
        [oh.make_tensor_value_info("images", onnx.TensorProto.UINT8, [1, 8, 8, 3])],
        [oh.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(normal(2, 3, 1, 1), "w")],
    )
    model = oh.make_model(graph, opset_imports=[oh.make_opsetid("", 17)], ir_version=8)
    lowered, values = lower_body(model, batch=1)
    assert [operator.kind for operator in lowered.operators] == [Kind.CAST, Kind.CONV_2D]
    assert values["y"].order == CHANNELS_LAST


@pytest.mark.parametrize(
    ("node", "named"),
    [
        (oh.make_node("Softmax", ["x"], ["y"], name="attention", axis=1), "'attention' .Softmax"),
        (oh.make_node("Transpose", ["x"], ["y"], name="turn", perm=[0, 1, 3, 2]), "'turn'"),
        (
            oh.make_node("MaxPool", ["x"], ["y"], name="odd", kernel_shape=[3, 3], strides=[2, 2],
                         pads=[1, 1, 1, 1]),
            "'odd'",
        ),
        (oh.make_node("Conv", ["x", "w"], ["y"], name="grouped", group=2), "'grouped'"),
    ],
)  # fmt: skip
def test_a_node_outside_the_set_is_refused_by_name(node: onnx.NodeProto, named: str) -> None:
    model = image_graph([node], {"w": normal(4, 2, 1, 1)})
    with pytest.raises(UnsupportedError, match=named):
        lower_body(model, batch=1)
