"""The decode inside the file equals the decode on the host, for both families."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from edgeyolo.exporters.tflite_decode import append_decode
from edgeyolo.families import FAMILIES
from edgeyolo.spec import Family, ModelSpec
from edgeyolo.tflite.graph import Graph
from edgeyolo.tflite.writer import to_bytes

INPUT_HW = (64, 96)
ANCHORS_PX = (((12.0, 16.0), (19.0, 36.0)), ((36.0, 75.0), (76.0, 55.0)))


def model_spec(family: Family, num_classes: int) -> ModelSpec:
    return ModelSpec(
        family=family,
        variant="custom",
        class_names=tuple(f"thing {number}" for number in range(num_classes)),
        strides=(8, 16),
        anchors_px=ANCHORS_PX if family is Family.YOLOV7 else None,
        preprocess=FAMILIES[family].preprocess(INPUT_HW),
    )


def decode_inside(
    heads: list[NDArray[np.float32]], spec: ModelSpec
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    from ai_edge_litert.interpreter import Interpreter

    graph = Graph()
    names = [graph.activation(f"head{i}", head.shape) for i, head in enumerate(heads)]
    graph.inputs = tuple(names)
    append_decode(graph, names, spec)
    interpreter = Interpreter(model_content=to_bytes(graph), num_threads=1)
    interpreter.allocate_tensors()
    index = {item["name"]: item["index"] for item in interpreter.get_input_details()}
    for name, head in zip(names, heads, strict=True):
        interpreter.set_tensor(index[name], head)
    interpreter.invoke()
    result = {
        item["name"]: interpreter.get_tensor(item["index"])
        for item in interpreter.get_output_details()
    }
    return result["boxes"], result["scores"]


@pytest.mark.parametrize("num_classes", [1, 7])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("family", list(Family))
def test_the_decode_in_the_graph_equals_the_decode_on_the_host(
    family: Family, batch: int, num_classes: int
) -> None:
    spec = model_spec(family, num_classes)
    anchors = 1 if spec.anchors_px is None else 2
    rng = np.random.default_rng(3)
    heads = [
        rng.standard_normal((batch, INPUT_HW[0] // s, INPUT_HW[1] // s, anchors * c), np.float32)
        for s in spec.strides
        for c in (4, 1, num_classes)
    ]
    boxes, scores = decode_inside(heads, spec)
    expected_boxes, expected_scores = FAMILIES[family].decode(heads, spec)
    # Pixels up to about 1000 in float32.
    assert_allclose(boxes, expected_boxes, rtol=1e-5, atol=1e-3)
    assert_allclose(scores, expected_scores, rtol=1e-5, atol=1e-6)
