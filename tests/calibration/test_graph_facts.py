"""What the structure of a graph says about its layers."""

from __future__ import annotations

import onnx

from edgeyolo.calibration import graph_facts


def test_prediction_convolutions_are_those_with_no_other_behind(
    tiny_detector: onnx.ModelProto,
) -> None:
    assert set(graph_facts.prediction_convolutions(tiny_detector)) == {"box", "classes"}


def test_decode_is_everything_behind_the_prediction_convolutions(
    tiny_detector: onnx.ModelProto,
) -> None:
    behind = set(graph_facts.prediction_and_decode(tiny_detector))
    assert behind == {
        *("box", "box_flat", "times_stride", "out_boxes"),
        *("classes", "class_flat", "score", "out_scores"),
    }


def test_input_convolutions_are_those_that_see_pixels(tiny_detector: onnx.ModelProto) -> None:
    assert graph_facts.input_convolutions(tiny_detector) == ("stem",)


def test_depthwise_convolutions_have_groups(tiny_detector: onnx.ModelProto) -> None:
    assert graph_facts.depthwise_convolutions(tiny_detector) == ("depthwise",)


def test_work_is_counted_per_convolution(tiny_detector: onnx.ModelProto) -> None:
    counts = graph_facts.multiply_accumulates(tiny_detector)
    assert counts["stem"] == 8 * 3 * 9 * 32 * 32
    assert counts["depthwise"] == 8 * 9 * 16 * 16
    assert counts["merged"] == 16 * 32 * 9 * 16 * 16
