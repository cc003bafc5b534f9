"""Layers are switched between float and INT8 one by one, exactly."""

from __future__ import annotations

import json
import xml.etree.ElementTree

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from edgeyolo.calibration.block_sensitivity import Network, blocks_of, measure_blocks
from edgeyolo.calibration.budget import Score, ScoreKind
from edgeyolo.calibration.nncf_backend import ActivationScheme
from edgeyolo.calibration.onnx_flavours import for_onnxruntime
from edgeyolo.calibration.onnx_int8 import quantize_onnx
from edgeyolo.calibration.sensitivity import (
    Sensitivity,
    decibel,
    measure_sensitivity,
    output_noise,
)
from edgeyolo.calibration.sensitivity_files import sensitivity_json, sensitivity_svg
from edgeyolo.calibration.settings import Int8Settings
from edgeyolo.calibration.switched_graph import SwitchedGraph

Batches = object
QUANTIZED = {"stem", "pointwise", "bottleneck", "side", "merged", "box_branch", "class_branch"}


@pytest.fixture(scope="module")
def quantized(tiny_detector: onnx.ModelProto, pixels: Batches) -> onnx.ModelProto:
    graph = quantize_onnx(
        tiny_detector,
        pixels,  # type: ignore[arg-type]
        Int8Settings(),
        scheme=ActivationScheme.ASYMMETRIC_PER_TENSOR,
    )
    return for_onnxruntime(graph, pixels)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def switched(tiny_detector: onnx.ModelProto, quantized: onnx.ModelProto) -> SwitchedGraph:
    return SwitchedGraph(tiny_detector, quantized)


@pytest.fixture(scope="module")
def sensitivity(
    tiny_detector: onnx.ModelProto, quantized: onnx.ModelProto, pixels: Batches
) -> Sensitivity:
    return measure_sensitivity(SwitchedGraph(tiny_detector, quantized), tiny_detector, pixels)  # type: ignore[arg-type]


def outputs(model: onnx.ModelProto, pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, {"images": pixels}))


def test_all_switches_off_is_the_float_network(
    tiny_detector: onnx.ModelProto, switched: SwitchedGraph, pixels: Batches
) -> None:
    assert set(switched.layers) == QUANTIZED
    for batch in pixels:  # type: ignore[attr-defined]
        for one, two in zip(switched.run(batch, {}), outputs(tiny_detector, batch), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-6)


def test_all_switches_on_is_the_quantised_network(
    quantized: onnx.ModelProto, switched: SwitchedGraph, pixels: Batches
) -> None:
    noises = []
    for batch in pixels:  # type: ignore[attr-defined]
        found, wanted = switched.run(batch, switched.all_on()), outputs(quantized, batch)
        noises.append(output_noise(*wanted, *found))
    # float + (quantised - float) rounds; a value on the edge between two steps takes the other.
    assert max(noises) < 1e-4


def test_blocks_are_scored_alone_and_left_float(switched: SwitchedGraph, pixels: Batches) -> None:
    pictures = list(pixels)  # type: ignore[call-overload]
    exact = [switched.run(picture, {}) for picture in pictures]

    def score(network: Network) -> Score:
        found = [network(picture) for picture in pictures]
        noise = [output_noise(*one, *two) for one, two in zip(exact, found, strict=True)]
        return Score(1.0 - float(np.mean(noise)), ScoreKind.AP, len(pictures))

    lines: list[str] = []
    blocks = measure_blocks(switched, score, lines.append, most=3)
    assert blocks.float_score == 1.0
    assert blocks.int8_score < 1.0
    assert len(blocks.blocks) == len(lines) == 4
    assert {name for block in blocks.blocks for name in block.layers} == QUANTIZED
    for block in blocks.blocks[:-1]:
        on = dict.fromkeys(block.layers, True)
        found = [switched.run(picture, on) for picture in pictures]
        noise = [output_noise(*one, *two) for one, two in zip(exact, found, strict=True)]
        assert blocks.lost(block) == pytest.approx(np.mean(noise))
        assert block.left_float < 1.0
    assert max(map(blocks.regained, blocks.blocks)) > 0
    assert len(blocks.lines()) == 2 + len(blocks.blocks)


def test_blocks_follow_the_paths_of_the_names() -> None:
    layers = ["/a/1/conv", "/a/2/conv", "/a/3/conv", "/b/x/1", "/b/x/2", "/b/y/1"]
    assert blocks_of(layers, 2) == {"/a": tuple(layers[:3]), "/b": tuple(layers[3:])}
    assert blocks_of(layers, 100) == {layer: (layer,) for layer in layers}
    halves = blocks_of([f"/model.{i}/conv" for i in range(8)], 2)
    assert [len(block) for block in halves.values()] == [4, 4]
    assert list(halves) == ["/model.0/conv .. /model.3/conv", "/model.4/conv .. /model.7/conv"]
    # A part that is left and come back to is two blocks.
    again = blocks_of(["/a/1", "/b/1", "/a/2"], 3)
    assert [*again.values()] == [("/a/1",), ("/b/1",), ("/a/2",)]
    assert blocks_of([], 3) == {}


def test_one_layer_alone_brings_less_noise_than_all(sensitivity: Sensitivity) -> None:
    assert {layer.name for layer in sensitivity.layers} == QUANTIZED
    for layer in sensitivity.layers:
        assert 0 < layer.noise_alone < sensitivity.noise * 1.5
    total = sum(layer.noise_alone for layer in sensitivity.layers)
    assert total > sensitivity.noise / 4


def test_a_layer_with_a_ruined_scale_is_the_most_sensitive(
    tiny_detector: onnx.ModelProto, quantized: onnx.ModelProto, pixels: Batches
) -> None:
    ruined = onnx.ModelProto()
    ruined.CopyFrom(quantized)
    node = next(n for n in ruined.graph.node if n.name == "pointwise")
    makers = {name: n for n in ruined.graph.node for name in n.output}
    scale_name = makers[node.input[1]].input[1]
    scale = next(t for t in ruined.graph.initializer if t.name == scale_name)
    values = onnx.numpy_helper.to_array(scale) * np.float32(1.5)
    scale.CopyFrom(onnx.numpy_helper.from_array(values, scale_name))
    found = measure_sensitivity(SwitchedGraph(tiny_detector, ruined), tiny_detector, pixels)  # type: ignore[arg-type]
    worst = max(found.layers, key=lambda layer: layer.noise_alone)
    assert worst.name == "pointwise"
    assert found.order()[0].name == "pointwise"
    regained = found.regained_share(worst)
    assert regained is not None
    assert regained > 0.5


def test_equal_outputs_have_no_noise() -> None:
    boxes = np.array([[[0, 0, 10, 10], [5, 5, 9, 9]]], np.float32)
    scores = np.array([[[0.9, 0.1], [0.2, 0.3]]], np.float32)
    assert output_noise(boxes, scores, boxes, scores) == 0.0
    assert output_noise(boxes, scores, boxes + 1, scores) > 0.0
    assert output_noise(boxes, scores, boxes, scores * 0.9) == pytest.approx(0.01)
    assert decibel(0.01) == pytest.approx(20.0)


def test_the_picture_and_the_table_name_every_layer(sensitivity: Sensitivity) -> None:
    svg = sensitivity_svg(sensitivity, frozenset({"stem"}))
    root = xml.etree.ElementTree.fromstring(svg)
    texts = {element.text for element in root.iter() if element.tag.endswith("text")}
    assert texts >= QUANTIZED
    assert "orange: left in float" in svg
    layers = json.loads(sensitivity_json(sensitivity))["layers"]
    assert {layer["name"] for layer in layers} == QUANTIZED
    assert sum(layer["work_share"] for layer in layers) < 1.0
    assert len(sensitivity.lines()) == 2 + len(QUANTIZED)
