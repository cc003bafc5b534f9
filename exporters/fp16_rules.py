"""Which nodes of a network may compute in FP16, and why the others may not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from edgeyolo.errors import UnsupportedError
from edgeyolo.exporters.graph_types import WEIGHTED_OPS, producers, readers

FP16_MAX = float(np.finfo(np.float16).max)
FP16_SMALLEST_NORMAL = float(np.finfo(np.float16).smallest_normal)
# Other pictures than the calibration ones reach higher; two bits of headroom are left.
OVERFLOW_SAFETY = 4.0
# Rounding normal numbers to FP16 costs at most 2**-11 = 4.9e-4; more than twice that means
# that numbers below FP16's normal range carry the weight.
MAX_CONSTANT_LOSS = 1e-3

# fmt: off
FP16_OPS = frozenset({
    "Add", "AveragePool", "Cast", "Clip", "Concat", "Conv", "ConvTranspose", "DepthToSpace",
    "DequantizeLinear", "Div", "Flatten", "Gather", "Gemm", "GlobalAveragePool", "HardSigmoid",
    "HardSwish", "Identity", "LeakyRelu", "MatMul", "Max", "MaxPool", "Min", "Mul", "Neg",
    "PRelu", "Pad", "QuantizeLinear", "Relu", "Reshape", "Resize", "Sigmoid", "Slice",
    "SpaceToDepth", "Split", "Squeeze", "Sub", "Tanh", "Transpose", "Unsqueeze",
})
# fmt: on
# What a Cast may turn into FP16; wider integers reach beyond its end.
_SMALL_INTEGERS = frozenset({TensorProto.UINT8, TensorProto.INT8, TensorProto.BOOL})
# Resize's region and scales have their own types.
OWN_TYPE_INPUTS: Mapping[str, frozenset[int]] = {"Resize": frozenset({1, 2})}


class Float32Reason(str, Enum):
    """Why a node stays in FP32."""

    DECODE = "after the last convolution"
    ASKED = "asked for"
    NO_FP16_FORM = "no safe FP16 form"
    OVERFLOW = "activations come near the end of FP16"
    CONSTANT_OVERFLOW = "a constant is beyond the end of FP16"
    CONSTANT_LOSS = "constants are below the normal range of FP16"
    TINY_SCALE = "a quantisation scale is below the normal range of FP16"
    NEIGHBOUR = "quantises for a node in FP32"

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class Float32Node:
    """A node that stays in FP32.

    Attributes:
        peak: Largest activation seen at its inputs and outputs, where that is the reason.
    """

    name: str
    op_type: str
    reason: Float32Reason
    peak: float | None = None


def choose_float32(
    graph: onnx.GraphProto,
    types: Mapping[str, int],
    *,
    peaks: Mapping[str, float],
    asked: Collection[str],
) -> dict[str, Float32Node]:
    """The nodes that stay in FP32, by name.

    Args:
        graph: Named nodes, constants as initializers.
        types: Element types of all tensors.
        peaks: Largest absolute values seen, per tensor; may be empty.
        asked: Names of nodes that the caller wants in FP32.

    Raises:
        UnsupportedError: *asked* names a node that is not there, or the graph has branches.
    """
    names = {node.name for node in graph.node}
    if missing := sorted(set(asked) - names):
        raise UnsupportedError(f"the graph has no node {missing[0]!r} that could stay in FP32")
    constants = {t.name: t for t in graph.initializer if t.data_type == TensorProto.FLOAT}
    decode = _after_last_weighted(graph)
    chosen: dict[str, Float32Node] = {}
    for node in graph.node:
        if node.op_type in ("If", "Loop", "Scan"):
            raise UnsupportedError(f"{node.op_type} {node.name!r} cannot be converted to FP16")
        touched = [n for n in (*node.input, *node.output) if types.get(n) == TensorProto.FLOAT]
        if not touched:
            continue
        peak = max((peaks.get(name, 0.0) for name in touched), default=0.0)
        reason = _reason(node, constants, decode=decode, asked=asked, peak=peak)
        if reason is None and node.op_type == "Cast" and _widens_integers(node, types):
            reason = Float32Reason.NO_FP16_FORM
        if reason is not None:
            shown = peak if reason is Float32Reason.OVERFLOW else None
            chosen[node.name] = Float32Node(node.name, node.op_type, reason, shown)
    _keep_quantisers_with_neighbours(graph, chosen)
    return chosen


def constant_inputs(
    node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]
) -> list[NDArray[Any]]:
    """Float constants of a node that would become FP16."""
    own = OWN_TYPE_INPUTS.get(node.op_type, frozenset())
    return [
        numpy_helper.to_array(constants[name])
        for index, name in enumerate(node.input)
        if index not in own and name in constants
    ]


def _reason(
    node: onnx.NodeProto,
    constants: Mapping[str, onnx.TensorProto],
    *,
    decode: Collection[str],
    asked: Collection[str],
    peak: float,
) -> Float32Reason | None:
    if node.name in asked:
        return Float32Reason.ASKED
    if node.name in decode:
        return Float32Reason.DECODE
    if node.op_type not in FP16_OPS:
        return Float32Reason.NO_FP16_FORM
    # NaN is not below the limit either.
    if not peak * OVERFLOW_SAFETY <= FP16_MAX:
        return Float32Reason.OVERFLOW
    return _constant_reason(node, constants)


def _widens_integers(node: onnx.NodeProto, types: Mapping[str, int]) -> bool:
    source = types.get(node.input[0])
    is_float = source in (TensorProto.FLOAT, TensorProto.FLOAT16)
    return not is_float and source not in _SMALL_INTEGERS


def _constant_reason(
    node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]
) -> Float32Reason | None:
    arrays = constant_inputs(node, constants)
    if any(array.size and np.abs(array).max() > FP16_MAX for array in arrays):
        return Float32Reason.CONSTANT_OVERFLOW
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        # Weights' own tiny scales are raised instead (fp16_quantisers).
        tiny = any(a.size == 1 and a.max() < FP16_SMALLEST_NORMAL for a in arrays)
        return Float32Reason.TINY_SCALE if tiny else None
    if any(_relative_loss(array) > MAX_CONSTANT_LOSS for array in arrays):
        return Float32Reason.CONSTANT_LOSS
    return None


def _relative_loss(array: NDArray[Any]) -> float:
    """Relative root-mean-square error of an array after a round trip through FP16."""
    wide = array.astype(np.float64)
    norm = float(np.linalg.norm(wide))
    error = float(np.linalg.norm(wide - array.astype(np.float16).astype(np.float64)))
    return error / norm if norm else 0.0


def _after_last_weighted(graph: onnx.GraphProto) -> set[str]:
    """Nodes behind which no convolution follows: decode, the place of exp and of pixels.

    Told by the graph's shape and not by names, so it holds for every head.
    """
    if not any(node.op_type in WEIGHTED_OPS for node in graph.node):
        return set()
    leads_to_weighted: set[str] = set()
    made_by = producers(graph)
    for node in reversed(graph.node):
        if node.op_type in WEIGHTED_OPS or node.name in leads_to_weighted:
            sources = (made_by[name] for name in node.input if name in made_by)
            leads_to_weighted.update(source.name for source in sources)
    return {
        node.name
        for node in graph.node
        if node.op_type not in WEIGHTED_OPS and node.name not in leads_to_weighted
    }


def _keep_quantisers_with_neighbours(
    graph: onnx.GraphProto, chosen: dict[str, Float32Node]
) -> None:
    """Let Q follow its source and DQ its readers: a cast between them would undo fusion."""
    made_by, read_by = producers(graph), readers(graph)
    outputs = {value.name for value in graph.output}
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            source = made_by.get(node.input[0])
            follows = source is not None and source.name in chosen
        elif node.op_type == "DequantizeLinear":
            out = node.output[0]
            follows = out in outputs or all(r.name in chosen for r in read_by.get(out, ()))
        else:
            continue
        if follows and node.name not in chosen:
            chosen[node.name] = Float32Node(node.name, node.op_type, Float32Reason.NEIGHBOUR)
        elif (
            not follows and node.name in chosen and chosen[node.name].reason is Float32Reason.DECODE
        ):
            del chosen[node.name]
