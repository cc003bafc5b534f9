"""Channel order and scale move into the first convolution, exactly."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from edgeyolo.exporters.tflite_input import fold_input
from edgeyolo.tflite.graph import AxisOptions, ConvOptions, Graph, Kind, Padding, SliceOptions
from edgeyolo.tflite.writer import to_bytes

HW = (8, 8)


def preprocessed(graph: Graph) -> str:
    """Pixels as RGB / 255."""
    pixels = graph.activation("images", (1, *HW, 3), np.uint8)
    graph.inputs = (pixels,)
    shape = (1, *HW, 3)
    values = graph.add(Kind.CAST, [pixels], "values", shape)
    order = graph.constant("order", np.asarray([2, 1, 0], np.int32))
    values = graph.add(Kind.GATHER, [values, order], "rgb", shape, options=AxisOptions(3))
    scale = graph.constant("scale", np.asarray([1 / 255], np.float32))
    return graph.add(Kind.MUL, [values, scale], "scaled", shape)


def conv(graph: Graph, image: str) -> None:
    batch, height, width, channels = graph.tensors[image].shape
    random = np.random.default_rng(0)
    weights = graph.constant("w", random.standard_normal((5, 3, 3, channels), np.float32))
    bias = graph.constant("b", random.standard_normal(5, np.float32))
    output = graph.add(
        Kind.CONV_2D, [image, weights, bias], "y", (batch, height, width, 5),
        options=ConvOptions(Padding.SAME),
    )  # fmt: skip
    graph.outputs = (output,)


def space_to_depth(graph: Graph, image: str) -> str:
    """Focus and ReOrg: four strided slices side by side."""
    shape = (1, HW[0] // 2, HW[1] // 2, 3)
    parts = []
    for row, column in ((0, 0), (1, 0), (0, 1), (1, 1)):
        bounds = [
            graph.constant(f"c{row}{column}", np.asarray(numbers, np.int32))
            for numbers in ([0, row, column, 0], [1, *HW, 3], [1, 2, 2, 1])
        ]
        parts.append(
            graph.add(
                Kind.STRIDED_SLICE, [image, *bounds], f"part{row}{column}", shape,
                options=SliceOptions(),
            )
        )  # fmt: skip
    return graph.add(Kind.CONCATENATION, parts, "cells", (*shape[:3], 12), options=AxisOptions(3))


def run(graph: Graph) -> NDArray[np.float32]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=to_bytes(graph), num_threads=1)
    interpreter.allocate_tensors()
    pixels = np.random.default_rng(1).integers(0, 256, (1, *HW, 3), np.uint8)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    result: NDArray[np.float32] = interpreter.get_tensor(
        interpreter.get_output_details()[0]["index"]
    )
    return result


@pytest.mark.parametrize("focus", [False, True])
def test_a_folded_graph_computes_the_same_without_touching_pixels(focus: bool) -> None:
    graph = Graph()
    image = preprocessed(graph)
    conv(graph, space_to_depth(graph, image) if focus else image)
    folded = fold_input(graph)
    kinds = {operator.kind for operator in folded.operators}
    assert not kinds & {Kind.GATHER, Kind.MUL}
    assert_allclose(run(folded), run(graph), rtol=1e-5, atol=1e-5)


def test_a_picture_that_something_else_reads_stays_preprocessed() -> None:
    graph = Graph()
    image = preprocessed(graph)
    graph.outputs = (graph.add(Kind.LOGISTIC, [image], "y", (1, *HW, 3)),)
    assert fold_input(graph) is graph


def test_a_mean_is_not_folded() -> None:
    graph = Graph()
    image = preprocessed(graph)
    mean = graph.constant("mean", np.full(3, 0.5, np.float32))
    centred = graph.add(Kind.SUB, [image, mean], "centred", (1, *HW, 3))
    conv(graph, centred)
    kinds = [operator.kind for operator in fold_input(graph).operators]
    assert Kind.SUB in kinds
