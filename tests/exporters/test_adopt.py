"""Foreign graphs get their decode whatever their own tensors are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeyolo.errors import UnsupportedError
from edgeyolo.exporters.adopt import Adopted, AdoptRequest, adopt
from edgeyolo.spec import Family

BOXES, COLUMNS = 21, 7  # strides 8, 16 and 32 at 32x32; two classes
PLAIN = ("images", "features", "weights", "picked", "rows")


def foreign_detector(path: Path, names: tuple[str, ...] = PLAIN, opset: int = 13) -> Path:
    """One matrix product, and a branch whose subgraphs read tensors of the outer graph.

    Args:
        names: Of input, features, weights, the branch's result and the output.
    """
    images, features, weights, picked, rows = names
    values = np.random.default_rng(3).normal(0, 0.02, (3 * 32 * 32, BOXES * COLUMNS))
    branches = {
        f"{side}_branch": helper.make_graph(
            # A name that both branches and the outer graph may use.
            [helper.make_node(operator, [features], [f"{picked}_{side}"], name=picked)],
            side,
            [],
            [helper.make_tensor_value_info(f"{picked}_{side}", TensorProto.FLOAT, None)],
        )
        for side, operator in (("then", "Sigmoid"), ("else", "Tanh"))
    }
    nodes = [
        helper.make_node("Flatten", [images], ["flat"], name=rows),
        helper.make_node("MatMul", ["flat", weights], [features], name="edgeyolo/boxes"),
        helper.make_node("If", ["sure"], [picked], **branches),
        # The lower bound is left out.
        helper.make_node("Clip", [picked, "", "most"], ["clipped"]),
        helper.make_node("Reshape", ["clipped", "shape"], [rows]),
    ]
    constants = {
        weights: values.astype(np.float32),
        "sure": np.array(True),
        "most": np.array(0.9, np.float32),
        "shape": np.array([1, BOXES, COLUMNS]),
    }
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info(images, TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info(rows, TensorProto.FLOAT, [1, BOXES, COLUMNS])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=7), path)
    return path


def adopted(file: Path) -> Adopted:
    return adopt(AdoptRequest(file=file, family=Family.YOLOX, class_names=("cup", "plate")))


def outputs_of(model: Adopted) -> list[NDArray[np.float32]]:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(model.proto.SerializeToString())
    x = np.random.default_rng(4).normal(0, 1, (1, 3, 32, 32)).astype(np.float32)
    found: list[NDArray[np.float32]] = session.run(["boxes", "scores"], {model.input.name: x})
    return found


@pytest.mark.parametrize(
    "names",
    [
        ("images", "features", "weights", "picked", "scores"),
        ("images", "boxes", "weights", "scores", "rows"),
        ("boxes", "edgeyolo/centre", "edgeyolo/stride", "edgeyolo/grid", "scores"),
        ("images", "features", "foreign/boxes", "boxes", "foreign/scores"),
    ],
)
def test_tensors_with_our_names_do_no_harm(tmp_path: Path, names: tuple[str, ...]) -> None:
    expected = outputs_of(adopted(foreign_detector(tmp_path / "plain.onnx")))
    found = adopted(foreign_detector(tmp_path / "ours.onnx", names))
    for ours, theirs in zip(outputs_of(found), expected, strict=True):
        assert_array_equal(ours, theirs)


def test_a_graph_without_our_names_keeps_its_own(tmp_path: Path) -> None:
    model = foreign_detector(tmp_path / "plain.onnx")
    proto = onnx.load(model)
    proto.graph.node[1].name = "product"
    onnx.save(proto, model)
    found = adopted(model)
    assert found.input.name == "images"
    assert {"features", "picked", "rows"} <= {
        name for node in found.proto.graph.node for name in node.output
    }


def test_a_graph_that_cannot_take_the_decode_is_one_line(tmp_path: Path) -> None:
    proto = onnx.load(foreign_detector(tmp_path / "old.onnx"))
    proto.opset_import[0].version = 9
    del proto.graph.node[2:4]  # Clip takes no tensors there
    proto.graph.node[-1].input[0] = "features"
    onnx.save(proto, tmp_path / "old.onnx")
    with pytest.raises(UnsupportedError, match=r"old\.onnx \(opset 9\).*opset 11") as refused:
        adopted(tmp_path / "old.onnx")
    assert "\n" not in str(refused.value)
