"""The decode of each family, appended to a channels-last graph without a transposition.

A head map (B, H, W, A*c) is split by anchor and reshaped to (B, H*W, c): that is already the
order of the decoded outputs (level, anchor, row, column). The levels are joined first, so that
the arithmetic is a handful of operators on whole outputs. Everything here stays float.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeyolo.errors import UnsupportedError
from edgeyolo.families.numerics import cell_grid
from edgeyolo.spec import Family, ModelSpec
from edgeyolo.tflite.graph import DECODE, AxisOptions, Graph, Kind, Operator, SliceOptions


def append_raw(graph: Graph, heads: Sequence[str]) -> None:
    """Make the head maps the outputs; they are named in the source graph already."""
    graph.outputs = tuple(heads)


def append_decode(graph: Graph, heads: Sequence[str], spec: ModelSpec) -> None:
    """Append the decode and make ``boxes`` (B, N, 4) and ``scores`` (B, N, C) the outputs.

    Args:
        heads: Box, objectness, class map per level, fine to coarse, (B, H, W, A*c) logits.
    """
    anchors = 1 if spec.anchors_px is None else len(spec.anchors_px[0])
    box = _rows(graph, heads[0::3], anchors, 4, "box")
    objectness = _rows(graph, heads[1::3], anchors, 1, "objectness")
    classes = _rows(graph, heads[2::3], anchors, spec.num_classes, "classes")
    sides = [graph.tensors[head].shape[1:3] for head in heads[0::3]]
    if spec.family is Family.YOLOX:
        boxes = _yolox_boxes(graph, box, sides, spec)
    elif spec.family is Family.YOLOV7:
        boxes = _yolov7_boxes(graph, box, sides, spec)
    else:
        raise UnsupportedError(f"tflite: no decode for family {spec.family}")
    scores = _scores(graph, objectness, classes, spec)
    graph.outputs = (boxes, scores)


def _rows(graph: Graph, maps: Sequence[str], anchors: int, width: int, name: str) -> str:
    """Head maps (B, H, W, A*width) as one (B, N, width)."""
    parts = []
    for level, head in enumerate(maps):
        batch, rows, columns, _ = graph.tensors[head].shape
        for anchor, piece in enumerate(_split_anchors(graph, head, anchors, width)):
            # -1: the batch can be resized.
            shape = graph.constant(
                f"{name}_shape", np.asarray([-1, rows * columns, width], np.int32)
            )
            parts.append(
                graph.add(
                    Kind.RESHAPE,
                    [piece, shape],
                    f"{name}_level{level}_anchor{anchor}",
                    (batch, rows * columns, width),
                    source=DECODE,
                )
            )
    if len(parts) == 1:
        return parts[0]
    count = sum(graph.tensors[part].shape[1] for part in parts)
    return graph.add(
        Kind.CONCATENATION,
        parts,
        f"{name}_rows",
        (batch, count, width),
        options=AxisOptions(1),
        source=DECODE,
    )


def _split_anchors(graph: Graph, head: str, anchors: int, width: int) -> tuple[str, ...]:
    if anchors == 1:
        return (head,)
    batch, rows, columns, _ = graph.tensors[head].shape
    pieces = tuple(
        graph.activation(f"{head}_anchor{anchor}", (batch, rows, columns, width))
        for anchor in range(anchors)
    )
    lengths = graph.constant(f"{head}_lengths", np.full(anchors, width, np.int32))
    axis = graph.constant(f"{head}_axis", np.asarray(3, np.int32))
    graph.operators.append(Operator(Kind.SPLIT_V, (head, lengths, axis), pieces, source=DECODE))
    return pieces


def _yolox_boxes(graph: Graph, box: str, sides: Sequence[tuple[int, ...]], spec: ModelSpec) -> str:
    """centre = (t_xy + grid) * stride, size = exp(t_wh) * stride."""
    stride, origin = _cells(sides, spec, anchors=1, offset=0.0)
    place, size = _halves(graph, box)
    centre = _binary(graph, Kind.MUL, place, stride, "centre_scaled")
    centre = _binary(graph, Kind.ADD, centre, origin, "centre")
    exponent = graph.add(Kind.EXP, [size], "size_exp", graph.tensors[size].shape, source=DECODE)
    half = _binary(graph, Kind.MUL, exponent, stride * np.float32(0.5), "half_size")
    return _corners(graph, centre, half)


def _yolov7_boxes(graph: Graph, box: str, sides: Sequence[tuple[int, ...]], spec: ModelSpec) -> str:
    """centre = (2 s - 0.5 + grid) * stride, size = (2 s)^2 * anchor, s = sigmoid(t)."""
    if spec.anchors_px is None:
        raise UnsupportedError(f"tflite: {spec.name} has no anchors, its heads cannot be decoded")
    stride, origin = _cells(sides, spec, anchors=len(spec.anchors_px[0]), offset=-0.5)
    gate = graph.add(Kind.LOGISTIC, [box], "box_gate", graph.tensors[box].shape, source=DECODE)
    place, size = _halves(graph, gate)
    centre = _binary(graph, Kind.MUL, place, stride * np.float32(2), "centre_scaled")
    centre = _binary(graph, Kind.ADD, centre, origin, "centre")
    anchors = [
        np.tile(np.asarray(anchor, np.float32), (height * width, 1))
        for (height, width), level in zip(sides, spec.anchors_px, strict=True)
        for anchor in level
    ]
    # Half of (2 s)^2 * anchor.
    half_anchor = np.concatenate(anchors)[None] * np.float32(2)
    square = graph.add(
        Kind.MUL, [size, size], "size_square", graph.tensors[size].shape, source=DECODE
    )
    half = _binary(graph, Kind.MUL, square, half_anchor, "half_size")
    return _corners(graph, centre, half)


def _cells(
    sides: Sequence[tuple[int, ...]], spec: ModelSpec, *, anchors: int, offset: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(1, N, 1) stride and (1, N, 2) centre of a zero offset, in input pixels."""
    strides, origins = [], []
    for (height, width), stride in zip(sides, spec.strides, strict=True):
        grid = (cell_grid(height, width).reshape(-1, 2) + np.float32(offset)) * np.float32(stride)
        for _ in range(anchors):
            strides.append(np.full((height * width, 1), stride, np.float32))
            origins.append(grid)
    return np.concatenate(strides)[None], np.concatenate(origins)[None]


def _halves(graph: Graph, rows: str) -> tuple[str, str]:
    """(B, N, 4) as x, y and width, height."""
    batch, count, _ = graph.tensors[rows].shape
    parts = []
    for name, begin, end in (("xy", 0, 2), ("wh", 2, 4)):
        constants = [
            graph.constant(f"{name}_{part}", np.asarray(numbers, np.int32))
            for part, numbers in (
                ("begin", [0, 0, begin]),
                ("end", [0, 0, end]),
                ("strides", [1, 1, 1]),
            )
        ]
        parts.append(
            graph.add(
                Kind.STRIDED_SLICE,
                [rows, *constants],
                f"{rows}_{name}",
                (batch, count, 2),
                # All pictures, all rows.
                options=SliceOptions(begin_mask=0b011, end_mask=0b011),
                source=DECODE,
            )
        )
    return parts[0], parts[1]


def _corners(graph: Graph, centre: str, half: str) -> str:
    batch, count, _ = graph.tensors[centre].shape
    shape = (batch, count, 2)
    low = graph.add(Kind.SUB, [centre, half], "corner_low", shape, source=DECODE)
    high = graph.add(Kind.ADD, [centre, half], "corner_high", shape, source=DECODE)
    return graph.add(
        Kind.CONCATENATION,
        [low, high],
        "boxes",
        (batch, count, 4),
        options=AxisOptions(2),
        source=DECODE,
    )


def _scores(graph: Graph, objectness: str, classes: str, spec: ModelSpec) -> str:
    shape = graph.tensors[classes].shape
    gate = graph.tensors[objectness].shape
    # With one class YOLOv7 takes the objectness as the score.
    if spec.family is Family.YOLOV7 and spec.num_classes == 1:
        return graph.add(Kind.LOGISTIC, [objectness], "scores", gate, source=DECODE)
    sure = graph.add(Kind.LOGISTIC, [objectness], "objectness_gate", gate, source=DECODE)
    likely = graph.add(Kind.LOGISTIC, [classes], "classes_gate", shape, source=DECODE)
    return graph.add(Kind.MUL, [likely, sure], "scores", shape, source=DECODE)


def _binary(graph: Graph, kind: Kind, tensor: str, constant: NDArray[np.float32], name: str) -> str:
    operand = graph.constant(f"{name}_factor", constant)
    return graph.add(kind, [tensor, operand], name, graph.tensors[tensor].shape, source=DECODE)
