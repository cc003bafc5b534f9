"""The reader says what a file holds and refuses what points outside of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeyolo.errors import ArtifactError
from edgeyolo.tflite.graph import Graph, Kind, Quantization, drop_unused
from edgeyolo.tflite.reader import read, read_file
from edgeyolo.tflite.writer import set_metadata, to_bytes


def small_graph() -> Graph:
    graph = Graph()
    x = graph.activation("x", (1, 2, 2, 3))
    graph.inputs = (x,)
    two = graph.constant("two", np.full(3, 2, np.float32))
    y = graph.add(Kind.MUL, [x, two], "y", (1, 2, 2, 3), source="double")
    shape = graph.constant("shape", np.asarray([-1, 12], np.int32))
    graph.outputs = (graph.add(Kind.RESHAPE, [y, shape], "flat", (1, 12)),)
    graph.metadata = {"note": "größer".encode()}
    return graph


def test_what_was_written_is_read_back() -> None:
    file = read(to_bytes(small_graph()), origin="test")
    assert [tensor.name for tensor in file.input_tensors] == ["x"]
    assert [tensor.shape for tensor in file.output_tensors] == [(1, 12)]
    assert [operator.kind for operator in file.operators] == ["MUL", "RESHAPE"]
    assert file.metadata == {"note": "größer".encode()}
    constants = {tensor.name: tensor.dtype for tensor in file.tensors if tensor.constant}
    assert constants == {"two": "float32", "shape": "int32"}


def test_scales_and_zero_points_are_read_back() -> None:
    graph = Graph()
    weights = np.zeros((2, 1, 1, 3), np.int8)
    graph.constant("w", weights, Quantization((0.5, 0.25), (0, 0), axis=0))
    graph.inputs = (graph.activation("x", (1, 4), np.int8, Quantization((0.125,), (-3,))),)
    graph.outputs = graph.inputs
    tensors = {tensor.name: tensor for tensor in read(to_bytes(graph), origin="test").tensors}
    assert tensors["w"].quantization == Quantization((0.5, 0.25), (0, 0), axis=0)
    assert tensors["x"].quantization == Quantization((0.125,), (-3,))


def test_constants_start_on_sixteen_bytes() -> None:
    data = to_bytes(small_graph())
    assert data.index(np.full(3, 2, np.float32).tobytes()) % 16 == 0


def test_every_truncation_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    data = to_bytes(small_graph())
    path = tmp_path / "cut.tflite"
    for length in range(0, len(data) - 1, 7):
        path.write_bytes(data[:length])
        with pytest.raises(ArtifactError, match=r"cut\.tflite"):
            read_file(path)


def test_a_file_of_another_kind_is_refused() -> None:
    with pytest.raises(ArtifactError, match="not a TFLite file"):
        read(b"\x08\x08" + bytes(100), origin="model.onnx")


def test_altered_bytes_never_end_the_process() -> None:
    """One changed byte is either refused or still describes tensors inside the file."""
    data = bytearray(to_bytes(small_graph()))
    refused = 0
    for position in range(len(data)):
        kept = data[position]
        data[position] = kept ^ 0xFF
        try:
            file = read(bytes(data), origin="altered")
        except ArtifactError:
            refused += 1
        else:
            assert max((*file.inputs, *file.outputs)) < len(file.tensors)
        data[position] = kept
    assert refused > len(data) // 4


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_file(tmp_path / "absent.tflite")


def test_names_stay_unique_and_unused_parts_are_dropped() -> None:
    graph = small_graph()
    assert graph.constant("two", np.zeros(1, np.float32)) == "two.1"
    graph.add(Kind.RELU, ["x"], "unused", (1, 2, 2, 3))
    kept = drop_unused(graph)
    assert "unused" not in kept.tensors
    assert "two.1" not in kept.tensors
    assert [operator.kind for operator in kept.operators] == [Kind.MUL, Kind.RESHAPE]


def test_metadata_is_added_and_replaced_and_nothing_else_changes() -> None:
    data = to_bytes(small_graph())
    before = read(data, origin="test")
    once = set_metadata(data, "contract", b"first")
    twice = set_metadata(once, "contract", b"second and longer")
    after = read(twice, origin="test")
    assert after.metadata == {**before.metadata, "contract": b"second and longer"}
    assert (after.tensors, after.operators) == (before.tensors, before.operators)
    assert twice.count(b"first") == 0
    assert twice.index(np.full(3, 2, np.float32).tobytes()) % 16 == 0
