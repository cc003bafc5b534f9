"""Non-maximum suppression inside the graph, as the standard ONNX operator."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeyolo.contract import OutputSpec, Thresholds
from edgeyolo.errors import UnsupportedError
from edgeyolo.spec import OutputKind

OUTPUT_NAME = "detections"
_PREFIX = "nms/"


def suppressed_output() -> OutputSpec:
    """The output of :func:`append_suppression`."""
    return OutputSpec(kind=OutputKind.SUPPRESSED, names=(OUTPUT_NAME,))


def append_suppression(model: onnx.ModelProto, thresholds: Thresholds) -> onnx.ModelProto:
    """A copy of a DECODED graph that ends in SUPPRESSED rows.

    The same as :func:`edgeyolo.suppression.suppress` per picture: a box counts for its best
    class only, classes do not suppress each other, a score equal to ``min_score`` passes, a box
    is dropped where IoU is greater than ``iou_threshold``. ``max_detections`` bounds each class
    here; the reader cuts the total.

    Args:
        model: Outputs ``boxes`` (B, N, 4) xyxy and ``scores`` (B, N, C), float32. Not changed.
        thresholds: Fixed in the graph.

    Raises:
        UnsupportedError: *model* is no DECODED graph.
    """
    _, classes = decoded_shape(model)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    graph.initializer.extend(_constants(classes, thresholds))
    graph.node.extend(_nodes())
    del graph.output[:]
    rows = helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["detections", 7])
    graph.output.append(rows)
    onnx.checker.check_model(copy, full_check=True)
    return copy


def decoded_shape(model: onnx.ModelProto) -> tuple[int, int]:
    """Numbers of boxes a picture and of classes.

    Raises:
        UnsupportedError: *model* is no DECODED graph of fixed size.
    """
    outputs = {value.name: value for value in model.graph.output}
    if set(outputs) != {"boxes", "scores"}:
        raise UnsupportedError(
            f"suppression follows the outputs boxes and scores, the graph has {sorted(outputs)}"
        )
    boxes, classes = (dim.dim_value for dim in outputs["scores"].type.tensor_type.shape.dim[1:3])
    if not boxes or not classes:
        raise UnsupportedError("the numbers of boxes and classes are not fixed in the graph")
    return boxes, classes


def _constants(classes: int, thresholds: Thresholds) -> list[onnx.TensorProto]:
    # The operator keeps scores greater than its threshold, we keep equal ones too.
    just_below = np.nextafter(np.float32(thresholds.min_score), np.float32(-1))
    values = {
        "class_ids": np.arange(classes, dtype=np.int64).reshape(1, 1, classes),
        # Below every threshold: classes that are not a box's best.
        "never": np.array(-1, np.float32),
        "per_class": np.array([thresholds.max_detections], np.int64),
        "iou_threshold": np.array([thresholds.iou_threshold], np.float32),
        "min_score": np.array([just_below], np.float32),
        "picture_column": np.array([0], np.int64),
        "class_column": np.array([1], np.int64),
        "box_column": np.array([2], np.int64),
    }
    return [numpy_helper.from_array(value, _PREFIX + name) for name, value in values.items()]


def _nodes() -> list[onnx.NodeProto]:
    """Operators that ONNX Runtime and TensorRT 8.6 to 11 have, at opset 13."""

    def node(op: str, inputs: str, output: str, **attributes: int | list[int]) -> onnx.NodeProto:
        names = [n if n in ("boxes", "scores") else _PREFIX + n for n in inputs.split()]
        target = output if output == OUTPUT_NAME else _PREFIX + output
        return helper.make_node(op, names, [target], _PREFIX + output, **attributes)

    return [
        # ArgMax takes the first of equal classes, as the host does.
        node("ArgMax", "scores", "best", axis=2, keepdims=1),
        node("Equal", "best class_ids", "is_best"),
        node("Where", "is_best scores never", "best_scores"),
        node("Transpose", "best_scores", "scores_by_class", perm=[0, 2, 1]),
        node(
            "NonMaxSuppression",
            "boxes scores_by_class per_class iou_threshold min_score",
            "kept",
            # Opposite corners; the operator does not mind that x comes first.
            center_point_box=0,
        ),
        node("Gather", "kept picture_column", "picture", axis=1),
        node("Gather", "kept class_column", "class", axis=1),
        node("Gather", "kept box_column", "box", axis=1),
        node("Concat", "picture box", "box_place", axis=1),
        node("GatherND", "boxes box_place", "kept_boxes"),
        node("Concat", "picture class box", "score_place", axis=1),
        node("GatherND", "scores_by_class score_place", "kept_scores_flat"),
        node("Unsqueeze", "kept_scores_flat class_column", "kept_scores"),
        node("Cast", "picture", "picture_number", to=TensorProto.FLOAT),
        node("Cast", "class", "class_number", to=TensorProto.FLOAT),
        node("Concat", "picture_number kept_boxes kept_scores class_number", OUTPUT_NAME, axis=1),
    ]
