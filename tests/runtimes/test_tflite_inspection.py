"""Files that cannot work are told from those that can, without running them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeyolo.errors import ArtifactError
from edgeyolo.runtimes.tflite_inspection import inspect_tflite
from edgeyolo.tflite.edgetpu import edgetpu_obstacles
from edgeyolo.tflite.graph import AxisOptions, Graph, Kind, Quantization
from edgeyolo.tflite.reader import read, read_file
from edgeyolo.tflite.writer import to_bytes

PROBABILITIES = Quantization((1 / 256,), (-128,))
PIXELS = Quantization((2.5,), (-128,))


def joined_output(numbers: Quantization) -> Graph:
    """Box logits and sigmoid scores in one int8 tensor."""
    graph = Graph()
    box = graph.activation("box", (1, 6, 4), np.int8, numbers)
    logits = graph.activation("logits", (1, 6, 3), np.int8, numbers)
    graph.inputs = (box, logits)
    shifted = graph.add(Kind.ADD, [box, box], "shifted", (1, 6, 4), dtype=np.int8)
    scores = graph.add(Kind.LOGISTIC, [logits], "sure", (1, 6, 3), dtype=np.int8)
    both = graph.add(
        Kind.CONCATENATION, [shifted, scores], "both", (1, 6, 7), options=AxisOptions(2),
        dtype=np.int8,
    )  # fmt: skip
    for name in (shifted, scores, both):
        tensor = graph.tensors[name]
        graph.tensors[name] = type(tensor)(name, tensor.shape, tensor.dtype, None, numbers)
    graph.outputs = (graph.add(Kind.DEQUANTIZE, [both], "output", (1, 6, 7)),)
    return graph


def write(graph: Graph, folder: Path) -> Path:
    path = folder / "model.tflite"
    path.write_bytes(to_bytes(graph))
    return path


@pytest.mark.parametrize(
    ("numbers", "harm"),
    [(PROBABILITIES, "one scale of 1/256.*boxes are cut off"), (PIXELS, "scale of 2.5.*steps of")],
)
def test_boxes_and_scores_in_one_tensor_are_diagnosed(
    tmp_path: Path, numbers: Quantization, harm: str
) -> None:
    import re

    found = inspect_tflite(write(joined_output(numbers), tmp_path))
    assert not found.sound
    assert re.search(harm, found.findings[0])


def test_a_float_file_with_one_joined_output_is_sound(tmp_path: Path) -> None:
    graph = Graph()
    box, logits = (graph.activation(n, (1, 6, w)) for n, w in (("box", 4), ("logits", 3)))
    graph.inputs = (box, logits)
    scores = graph.add(Kind.LOGISTIC, [logits], "scores", (1, 6, 3))
    output = graph.add(
        Kind.CONCATENATION, [box, scores], "output", (1, 6, 7), options=AxisOptions(2)
    )
    graph.outputs = (output,)
    found = inspect_tflite(write(graph, tmp_path))
    assert found.sound
    assert found.findings == ()
    assert found.facts["float_operators"] == 2


def test_the_broken_file_from_the_wild_is_told_as_what_it_is(shared: Path) -> None:
    path = shared / "assets" / "weights" / "yolox_nano_broken_int8.tflite"
    if not path.is_file():
        pytest.skip(f"{path.name} is not among the assets")
    found = inspect_tflite(path)
    assert not found.sound
    assert "boxes and scores share one scale of 1/256" in found.findings[0]
    assert found.contract is None
    assert found.facts["operators"]["CONV_2D"] == 83


def test_a_file_that_is_none_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "x.tflite"
    path.write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match="not a TFLite file"):
        inspect_tflite(path)


def test_obstacles_for_an_edge_tpu_name_operator_and_tensor(tmp_path: Path) -> None:
    graph = joined_output(PROBABILITIES)
    found = edgetpu_obstacles(read_file(write(graph, tmp_path)))
    assert found == ("DEQUANTIZE making 'output': not among the operators of the Edge TPU",)
    graph.outputs = ("both",)
    graph.operators.pop()
    assert edgetpu_obstacles(read(to_bytes(graph), origin="integer form")) == ()


def test_float_operators_and_batches_are_obstacles() -> None:
    graph = Graph()
    x = graph.activation("x", (2, 4, 4, 3))
    graph.inputs = (x,)
    graph.outputs = (graph.add(Kind.LOGISTIC, [x], "gate", (2, 4, 4, 3)),)
    found = edgetpu_obstacles(read(to_bytes(graph), origin="float"))
    assert found[0] == "LOGISTIC making 'gate': computes in float32, not in integers"
    assert found[1].startswith("batch 2")
