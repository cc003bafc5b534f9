"""Suppression in the graph gives what suppression on the host gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgeyolo.contract import Thresholds
from edgeyolo.errors import MissingPackageError, UnsupportedError
from edgeyolo.exporters.fp16_graph import to_fp16
from edgeyolo.exporters.nms_graph import append_suppression, suppressed_output
from edgeyolo.exporters.nms_rows_graph import ROUNDS, append_suppression_rows
from edgeyolo.exporters.tensorrt_builder import BatchRange, BuildOptions, build_engine
from edgeyolo.runtimes.tensorrt_modules import pick_tensorrt
from edgeyolo.spec import OutputKind, Precision
from edgeyolo.suppression import suppress
from tests.doubles.tiny_detector import tiny_detector

BOXES, CLASSES = 200, 5


def decoded_passthrough() -> onnx.ModelProto:
    """boxes and scores packed into one input, so that a test can choose them."""
    graph = helper.make_graph(
        [helper.make_node("Split", ["packed", "sizes"], ["boxes", "scores"], axis=2)],
        "packed",
        [helper.make_tensor_value_info("packed", TensorProto.FLOAT, ["batch", BOXES, 4 + CLASSES])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["batch", BOXES, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", BOXES, CLASSES]),
        ],
        [onnx.numpy_helper.from_array(np.array([4, CLASSES], np.int64), "sizes")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def candidates(batch: int, seed: int) -> NDArray[np.float32]:
    """Crowded boxes, scores in steps of 1/64 so that equal ones occur and 0.25 is exact."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 200, (batch, BOXES, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(20, 120, (batch, BOXES, 2))], axis=2)
    scores = rng.integers(0, 64, (batch, BOXES, CLASSES)) / 64 * 0.6
    scores[:, :, 1] = np.round(scores[:, :, 1] * 16) / 16
    return np.concatenate([boxes, scores], axis=2).astype(np.float32)


Append = Callable[[onnx.ModelProto, Thresholds], onnx.ModelProto]
BOTH = pytest.mark.parametrize("append", [append_suppression, append_suppression_rows])


def rows(model: onnx.ModelProto, packed: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found: NDArray[np.float32] = session.run(["detections"], {"packed": packed})[0]
    assert found.shape[1] == 7
    return found[found[:, 5] >= 0]  # as every reader does: its threshold is at least 0


@pytest.mark.parametrize("thresholds", [Thresholds(), Thresholds(min_score=0.4, iou_threshold=0.7)])
@pytest.mark.parametrize("batch", [1, 3])
@BOTH
def test_the_graph_keeps_the_boxes_that_the_host_keeps(
    append: Append, batch: int, thresholds: Thresholds
) -> None:
    packed = candidates(batch, seed=batch)
    found = rows(append(decoded_passthrough(), thresholds), packed)
    for index in range(batch):
        wanted = suppress(
            packed[index, :, :4],
            packed[index, :, 4:],
            min_score=thresholds.min_score,
            iou_threshold=thresholds.iou_threshold,
        )
        assert len(wanted) > 20
        own = found[found[:, 0] == index]
        # Equal scores have no order between classes; sort both by everything.
        own = own[np.lexsort(own.T[::-1])]
        expected = np.column_stack(
            [np.full(len(wanted), index), wanted.boxes_xyxy, wanted.scores, wanted.class_ids]
        ).astype(np.float32)
        assert_array_equal(own, expected[np.lexsort(expected.T[::-1])])


@BOTH
def test_a_score_equal_to_the_threshold_passes_and_one_below_does_not(append: Append) -> None:
    packed = np.zeros((1, BOXES, 4 + CLASSES), np.float32)
    packed[0, 0] = [0, 0, 10, 10, 0, 0.25, 0, 0, 0]
    packed[0, 1] = [50, 50, 60, 60, 0, 0, np.nextafter(np.float32(0.25), np.float32(0)), 0, 0]
    found = rows(append(decoded_passthrough(), Thresholds()), packed)
    assert_allclose(found, [[0, 0, 0, 10, 10, 0.25, 1]])


@BOTH
def test_a_box_counts_for_its_best_class_only(append: Append) -> None:
    packed = np.zeros((1, BOXES, 4 + CLASSES), np.float32)
    packed[0, 0] = [0, 0, 10, 10, 0.5, 0.9, 0.9, 0, 0]
    found = rows(append(decoded_passthrough(), Thresholds()), packed)
    assert_allclose(found, [[0, 0, 0, 10, 10, 0.9, 1]])


@BOTH
def test_nothing_found_is_no_row(append: Append) -> None:
    packed = np.zeros((2, BOXES, 4 + CLASSES), np.float32)
    found = rows(append(decoded_passthrough(), Thresholds(min_score=0.0001)), packed)
    assert found.shape == (0, 7)


@BOTH
def test_the_source_is_not_changed_and_the_output_is_described(append: Append) -> None:
    source = decoded_passthrough()
    before = source.SerializeToString()
    model = append(source, Thresholds())
    assert source.SerializeToString() == before
    assert tuple(value.name for value in model.graph.output) == suppressed_output().names
    assert suppressed_output().kind is OutputKind.SUPPRESSED


@BOTH
def test_a_graph_without_boxes_and_scores_is_refused(append: Append) -> None:
    model = append(decoded_passthrough(), Thresholds())
    with pytest.raises(UnsupportedError, match=r"the graph has \['detections'\]"):
        append(model, Thresholds())


@pytest.mark.parametrize("batch", [None, BatchRange(1, 2, 4)])
def test_rtx_parses_it_and_says_that_it_has_no_kernel(batch: BatchRange | None) -> None:
    try:
        rtx = pick_tensorrt("tensorrt_rtx")
    except MissingPackageError as error:
        pytest.skip(str(error))
    model = append_suppression(tiny_detector(None if batch else 1), Thresholds())
    options = BuildOptions(precision=Precision.FP32, batch=batch)
    # 1.7.1 fails only here, in the builder: parsing, types and shapes are accepted.
    with pytest.raises(UnsupportedError, match="no kernel for node nms/kept"):
        build_engine(rtx, model.SerializeToString(), options)


@BOTH
def test_suppression_stays_in_float32(append: Append) -> None:
    model = append(tiny_detector(), Thresholds())
    _, report = to_fp16(model)
    assert not any(name.startswith("nms/") for name in report.fp16_nodes)


def test_long_chains_of_overlapping_boxes_are_settled() -> None:
    packed = np.zeros((1, BOXES, 4 + CLASSES), np.float32)
    # Each box overlaps its neighbours only (IoU 0.54): every other one stays.
    for index in range(ROUNDS):
        packed[0, index] = [index * 30, 0, index * 30 + 100, 100, 0.9 - index / 100, 0, 0, 0, 0]
    found = rows(append_suppression_rows(decoded_passthrough(), Thresholds()), packed)
    assert_array_equal(found[:, 1], np.arange(0, ROUNDS, 2) * 30)


@pytest.mark.parametrize("batch", [None, BatchRange(1, 2, 4)])
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_rtx_builds_rows_of_fixed_number(precision: Precision, batch: BatchRange | None) -> None:
    try:
        rtx = pick_tensorrt("tensorrt_rtx")
    except MissingPackageError as error:
        pytest.skip(str(error))
    model = append_suppression_rows(tiny_detector(None if batch else 1), Thresholds())
    if precision is Precision.FP16:
        model, _ = to_fp16(model)
    options = BuildOptions(precision=precision, batch=batch)
    engine = build_engine(rtx, model.SerializeToString(), options)
    assert engine.plan
    assert engine.warnings == ()
