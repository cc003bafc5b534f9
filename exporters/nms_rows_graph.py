"""Non-maximum suppression inside the graph without an operator for it, and of fixed size.

TensorRT for RTX has no kernel for NonMaxSuppression, nor for anything else whose output size
depends on the data. Greedy suppression is also the fixed point of "a box stays unless a better
one that stays overlaps it"; a few rounds of elementwise operators reach it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeyolo.contract import Thresholds
from edgeyolo.exporters.nms_graph import OUTPUT_NAME, decoded_shape

# Best boxes of a picture that are looked at; TensorRT's TopK gives at most 3840.
MOST_CANDIDATES = 1024
# Every round settles one more link of the longest chain of boxes that each overlap the next. Of
# 40 random crowds of 1024 boxes, at IoU .3 to .65, none needed more than 9.
ROUNDS = 24
# Score of rows that hold nothing.
EMPTY = -1.0
_PREFIX = "nms/"


def append_suppression_rows(model: onnx.ModelProto, thresholds: Thresholds) -> onnx.ModelProto:
    """A copy of a DECODED graph that ends in SUPPRESSED rows, always equally many.

    Equal to :func:`~edgeyolo.exporters.nms_graph.append_suppression` for pictures with at most
    ``MOST_CANDIDATES`` boxes above ``min_score``; beyond, the best are looked at. Rows that hold
    nothing have score -1, which no reader's threshold lets pass.

    Args:
        model: Outputs ``boxes`` (B, N, 4) xyxy and ``scores`` (B, N, C), float32. Not changed.

    Raises:
        UnsupportedError: *model* is no DECODED graph.
    """
    boxes, _ = decoded_shape(model)
    candidates = min(boxes, MOST_CANDIDATES)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    graph.initializer.extend(
        numpy_helper.from_array(value, _PREFIX + name)
        for name, value in _constants(candidates, thresholds).items()
    )
    graph.node.extend(_nodes())
    del graph.output[:]
    rows = helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["detections", 7])
    graph.output.append(rows)
    onnx.checker.check_model(copy, full_check=True)
    return copy


def _constants(candidates: int, thresholds: Thresholds) -> dict[str, NDArray[np.generic]]:
    return {
        "count": np.array([candidates], np.int64),
        "four": np.array([1, 1, 4], np.int64),
        "last": np.array([2], np.int64),
        "middle": np.array([1], np.int64),
        "zero": np.array(0, np.float32),
        "one": np.array(1, np.float32),
        "empty": np.array(EMPTY, np.float32),
        "min_score": np.array(thresholds.min_score, np.float32),
        "iou_threshold": np.array(thresholds.iou_threshold, np.float32),
        # Row j suppresses column i only where it is better: j < i.
        "better": np.triu(np.ones((1, candidates, candidates), np.float32), 1),
        "start": np.array(0, np.int64),
        "step": np.array(1, np.int64),
        "rows": np.array([-1, 7], np.int64),
        **{f"side{i}": np.array([i], np.int64) for i in range(4)},
    }


def _nodes() -> list[onnx.NodeProto]:
    made: list[onnx.NodeProto] = []

    def put(op: str, inputs: str, outputs: str, **attributes: int | list[int]) -> None:
        names = [n if n in ("boxes", "scores") else _PREFIX + n for n in inputs.split()]
        targets = [n if n == OUTPUT_NAME else _PREFIX + n for n in outputs.split()]
        made.append(helper.make_node(op, names, targets, targets[0], **attributes))

    # The best boxes, each with its best class.
    put("ReduceMax", "scores", "best_score", axes=[2], keepdims=0)
    put("ArgMax", "scores", "best_class", axis=2, keepdims=0)
    put("TopK", "best_score count", "score place", axis=1)
    put("Unsqueeze", "place last", "place3")
    put("Expand", "place3 four", "place4")
    put("GatherElements", "boxes place4", "box", axis=1)
    put("GatherElements", "best_class place", "class_id", axis=1)
    put("Cast", "class_id", "class", to=TensorProto.FLOAT)
    _put_overlaps(put)
    # conflict (B, K, K): 1 where row j, if it stays, suppresses column i.
    put("Unsqueeze", "class last", "class_row")
    put("Unsqueeze", "class middle", "class_column")
    put("Equal", "class_row class_column", "same_class")
    put("Greater", "iou iou_threshold", "overlaps")
    put("And", "same_class overlaps", "rivals")
    put("Where", "rivals better zero", "conflict")
    put("Less", "score min_score", "low")
    put("Where", "low zero one", "valid")
    kept = "valid"
    for number in range(ROUNDS):
        put("Unsqueeze", f"{kept} last", f"stays{number}")
        put("Mul", f"conflict stays{number}", f"beats{number}")
        put("ReduceMax", f"beats{number}", f"beaten{number}", axes=[1], keepdims=0)
        put("Sub", f"valid beaten{number}", f"left{number}")
        put("Max", f"left{number} zero", f"kept{number}")
        kept = f"kept{number}"
    put("Greater", f"{kept} zero", "is_kept")
    put("Where", "is_kept score empty", "final_score")
    # Rows (picture, x1, y1, x2, y2, score, class).
    put("Unsqueeze", "final_score last", "score_column")
    put("Shape", "score_column", "shape")
    put("Gather", "shape start", "pictures", axis=0)
    put("Range", "start pictures step", "numbers")
    put("Cast", "numbers", "numbers_float", to=TensorProto.FLOAT)
    put("Unsqueeze", "numbers_float middle", "numbers2")
    put("Unsqueeze", "numbers2 last", "numbers3")
    put("Mul", "score_column zero", "nothing")
    put("Add", "nothing numbers3", "picture_column")
    put("Concat", "picture_column box score_column class_row", "table", axis=2)
    put("Reshape", "table rows", OUTPUT_NAME)
    return made


def _put_overlaps(put: Callable[..., None]) -> None:
    """IoU (B, K, K) of all pairs, in the order of operations that the host has."""
    for side, name in enumerate(("x1", "y1", "x2", "y2")):
        put("Gather", f"box side{side}", f"{name}_row", axis=2)
        put("Transpose", f"{name}_row", f"{name}_column", perm=[0, 2, 1])
    for axis in "xy":
        put("Min", f"{axis}2_row {axis}2_column", f"{axis}_end")
        put("Max", f"{axis}1_row {axis}1_column", f"{axis}_start")
        put("Sub", f"{axis}_end {axis}_start", f"{axis}_common")
        put("Max", f"{axis}_common zero", f"{axis}_shared")
        put("Sub", f"{axis}2_row {axis}1_row", f"{axis}_length")
    put("Mul", "x_shared y_shared", "intersection")
    put("Mul", "x_length y_length", "area_row")
    put("Transpose", "area_row", "area_column", perm=[0, 2, 1])
    put("Add", "area_row area_column", "both_areas")
    put("Sub", "both_areas intersection", "union")
    put("Div", "intersection union", "iou")
