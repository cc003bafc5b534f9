"""How large the numbers inside a network become on real pictures.

FP16 ends at 65504; what a network computes on real pictures tells which layers come near.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgeyolo.errors import BackendError, needs, one_line
from edgeyolo.exporters.graph_types import element_types

_MARK = "edgeyolo_peak/"
_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16})


def activation_peaks(model: onnx.ModelProto, batches: Iterable[NDArray[Any]]) -> dict[str, float]:
    """Largest absolute value of every float tensor that a node computes.

    Args:
        model: One input; float32 or FP16 inside. Not changed.
        batches: What the input takes, one array per call; at least one.

    Returns:
        Tensor name -> largest absolute value over all batches; ``inf`` where a value was
        infinite or not a number.

    Raises:
        ValueError: *batches* is empty.
        BackendError: ONNX Runtime refuses the network.
    """
    probe, tensors = _with_peak_outputs(model)
    with needs("onnxruntime", extra="onnx"):
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; warnings about constant folding help nobody
    # Extended ones fuse Q/DQ with FP16 scales into operators that 1.32 then refuses.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    try:
        session = onnxruntime.InferenceSession(
            probe.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise BackendError(f"ONNX Runtime cannot load the network: {one_line(error)}") from error
    name = session.get_inputs()[0].name
    marks = [_MARK + tensor for tensor in tensors]
    peaks = np.zeros(len(tensors))
    calls = 0
    for calls, batch in enumerate(batches, start=1):  # noqa: B007 (counted)
        found = np.array([float(value) for value in session.run(marks, {name: batch})])
        # A not-a-number is as useless as an infinity, and fmax would hide it.
        peaks = np.maximum(peaks, np.where(np.isnan(found), math.inf, found))
    if not calls:
        raise ValueError("activation_peaks needs at least one batch of pictures")
    return dict(zip(tensors, peaks.tolist(), strict=True))


def overflowing(peaks: Mapping[str, float]) -> tuple[str, ...]:
    """Names of tensors that became infinite or not a number."""
    return tuple(name for name, peak in peaks.items() if not math.isfinite(peak))


def _with_peak_outputs(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """A copy whose outputs are one scalar per float tensor, instead of the tensors themselves.

    All tensors of a 640 network are gigabytes; their maxima are nothing.
    """
    types = element_types(model)
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    graph = probe.graph
    # ReduceMax took its axes as an attribute before opset 18; without axes both are the same.
    tensors = [
        name
        for node in model.graph.node
        if node.op_type != "Constant"
        for name in node.output
        if name and types.get(name) in _FLOATS
    ]
    del graph.output[:]
    for tensor in tensors:
        absolute = f"{_MARK}abs/{tensor}"
        graph.node.extend(
            [
                helper.make_node("Abs", [tensor], [absolute]),
                helper.make_node("ReduceMax", [absolute], [_MARK + tensor], keepdims=0),
            ]
        )
        # In the tensor's own type: ONNX Runtime computes FP16 in float32 where it has no FP16
        # kernel and drops casts in between; at an FP16 output it cannot drop the overflow.
        graph.output.append(helper.make_tensor_value_info(_MARK + tensor, types[tensor], []))
    return probe, tensors
