"""The smallest detector: pixels in, ``boxes`` and ``scores`` out, and its contract."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeyolo.contract import BuildTarget, Contract, InputSpec, OutputSpec, Provenance
from edgeyolo.spec import (
    Alignment,
    Backend,
    ColorOrder,
    Family,
    Layout,
    ModelSpec,
    OutputKind,
    Precision,
    Preprocess,
    Rounding,
)

HW = 32
CLASSES = 3


def tiny_detector(
    batch: int | None = 1, *, quantised: bool = False, opset: int = 13
) -> onnx.ModelProto:
    """A convolution with stride 8, 16 cells of 4 box numbers and 3 class scores.

    Args:
        batch: ``None`` for a dynamic one.
        quantised: Q/DQ, symmetric, before the first convolution and on its weights.
    """
    rng = np.random.default_rng(5)
    # Not negative, like what it is applied to: x2 >= x1 and y2 >= y1.
    box_weights = np.abs(rng.normal(0, 0.05, (4, 8, 1, 1))).astype(np.float32)
    box_weights[2:] += box_weights[:2]
    count: int | str = "batch" if batch is None else batch
    constants = {
        "w": rng.normal(0, 0.02, (8, 3, 8, 8)).astype(np.float32),
        "wb": box_weights,
        "ws": rng.normal(0, 0.02, (CLASSES, 8, 1, 1)).astype(np.float32),
        "to_boxes": np.array([0, 4, 16], np.int64),
        "to_scores": np.array([0, CLASSES, 16], np.int64),
    }
    quantisers: list[onnx.NodeProto] = []
    if quantised:
        constants |= {
            "s": np.array(2.0, np.float32),
            "z": np.array(0, np.int8),
            "sw": np.full(8, 0.001, np.float32),
            "zw": np.zeros(8, np.int8),
        }
        quantisers = [
            helper.make_node("QuantizeLinear", ["nchw", "s", "z"], ["xq"], "q"),
            helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"], "dq"),
            helper.make_node("QuantizeLinear", ["w", "sw", "zw"], ["wq"], "wq", axis=0),
            helper.make_node("DequantizeLinear", ["wq", "sw", "zw"], ["wd"], "wdq", axis=0),
        ]
    stem = ["xd", "wd"] if quantised else ["nchw", "w"]
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["pixels"], "cast", to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["pixels"], ["nchw"], "nchw", perm=[0, 3, 1, 2]),
            *quantisers,
            helper.make_node("Conv", stem, ["c"], "stem", strides=[8, 8]),
            helper.make_node("Relu", ["c"], ["r"], "relu"),
            helper.make_node("Conv", ["r", "wb"], ["box"], "box"),
            helper.make_node("Conv", ["r", "ws"], ["class"], "class"),
            helper.make_node("Reshape", ["box", "to_boxes"], ["box_rows"], "box_rows"),
            helper.make_node("Transpose", ["box_rows"], ["boxes"], "boxes", perm=[0, 2, 1]),
            helper.make_node("Reshape", ["class", "to_scores"], ["class_rows"], "class_rows"),
            helper.make_node("Transpose", ["class_rows"], ["logits"], "logits", perm=[0, 2, 1]),
            helper.make_node("Sigmoid", ["logits"], ["scores"], "scores"),
        ],
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, [count, HW, HW, 3])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [count, 16, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [count, 16, CLASSES]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def tiny_contract(
    entry: str,
    content: bytes | None = None,
    *,
    batch: int | None = 1,
    precision: Precision = Precision.FP32,
    target: BuildTarget | None = None,
) -> Contract:
    """The contract of :func:`tiny_detector` as a TensorRT artifact.

    Args:
        content: Of the entry file; its digest is entered.
    """
    preprocess = Preprocess(
        input_hw=(HW, HW),
        color_order=ColorOrder.BGR,
        scale=1.0,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        alignment=Alignment.TOP_LEFT,
        rounding=Rounding.TRUNCATE,
    )
    digests = {} if content is None else {entry: hashlib.sha256(content).hexdigest()}
    return Contract(
        model=ModelSpec(
            family=Family.YOLOX,
            variant="custom",
            class_names=("cat", "dog", "cup"),
            strides=(8,),
            anchors_px=None,
            preprocess=preprocess,
        ),
        backend=Backend.TENSORRT,
        precision=precision,
        input=InputSpec(
            name="images",
            layout=Layout.NHWC,
            dtype="uint8",
            preprocessed_in_graph=True,
            batch=batch,
        ),
        output=OutputSpec(kind=OutputKind.DECODED, names=("boxes", "scores")),
        entry=entry,
        provenance=Provenance(
            source_name="tiny.pth",
            source_sha256="0" * 64,
            created="2026-11-22T00:00:00Z",
            tools={"edgeyolo": "0"},
        ),
        build_target=target,
        files=digests,
    )
