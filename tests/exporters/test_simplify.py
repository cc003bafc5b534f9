"""onnxsim may fold, fail or die; the export survives each."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeyolo.exporters import simplify as simplify_module
from edgeyolo.exporters.simplify import simplify


def added_constants() -> onnx.ModelProto:
    """y = x + (1 + 2), the sum of the constants as an operator of its own."""
    nodes = [
        helper.make_node("Add", ["one", "two"], ["three"]),
        helper.make_node("Add", ["x", "three"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (4,))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (4,))],
        [
            numpy_helper.from_array(np.array([1.0], np.float32), "one"),
            numpy_helper.from_array(np.array([2.0], np.float32), "two"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_constants_are_folded_and_the_report_counts() -> None:
    simplified, report = simplify(added_constants())
    assert (report.nodes_before, report.nodes_after, report.problem) == (2, 1, "")
    assert len(simplified.graph.node) == 1


@pytest.mark.usefixtures("uncovered")
@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os; os.abort()", "status -6"),
        ("import sys; sys.exit('the simplified graph gives other results')", "other results"),
        ("pass", "status 0"),
    ],
    ids=["crash", "other results", "no file"],
)
def test_a_simplifier_that_dies_leaves_the_graph_as_it_was_and_is_reported(
    program: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simplify_module, "_PROGRAM", program)
    proto = added_constants()
    simplified, report = simplify(proto)
    assert simplified is proto
    assert report.nodes_after == report.nodes_before == 2
    assert said in report.problem
