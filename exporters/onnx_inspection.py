"""Facts of an ONNX file, and known faults, without running it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from edgeyolo.errors import ArtifactError, one_line


def onnx_facts(path: Path) -> tuple[dict[str, Any], list[str], bool]:
    """Facts by name, findings, and whether the file is sound.

    Raises:
        ArtifactError: Not an ONNX file, or a graph that breaks ONNX's own rules.
    """
    try:
        proto = onnx.load(path)
        onnx.checker.check_model(proto)
    except Exception as error:
        # protobuf and the checker raise classes of their own for every kind of damage
        raise ArtifactError(f"{path} is not a sound ONNX file: {one_line(error)}") from error
    graph = proto.graph
    kinds = Counter(node.op_type for node in graph.node)
    quantized = kinds["QuantizeLinear"] + kinds["DequantizeLinear"]
    facts: dict[str, Any] = {
        "opset": {item.domain or "ai.onnx": item.version for item in proto.opset_import},
        "producer": " ".join(filter(None, (proto.producer_name, proto.producer_version))),
        "inputs": [describe_value(value) for value in graph.input],
        "outputs": [describe_value(value) for value in graph.output],
        "operators": dict(kinds.most_common()),
        "weights": dict(Counter(_type_name(item.data_type) for item in graph.initializer)),
        "quantized": bool(quantized),
    }
    findings = []
    broken = [item.name for item in graph.initializer if not _finite(item)]
    if broken:
        findings.append(f"{len(broken)} weights hold NaN or infinity, the first is {broken[0]}")
    return facts, findings, not broken


def describe_value(value: onnx.ValueInfoProto) -> str:
    """``images uint8 (1, 416, 416, 3)``."""
    tensor = value.type.tensor_type
    sides = ", ".join(str(axis.dim_value or axis.dim_param or "?") for axis in tensor.shape.dim)
    return f"{value.name} {_type_name(tensor.elem_type).lower()} ({sides})"


def _type_name(number: int) -> str:
    known = number in TensorProto.DataType.values()
    return str(TensorProto.DataType.Name(number)) if known else f"type{number}"


def _finite(tensor: onnx.TensorProto) -> bool:
    if tensor.data_type not in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE):
        return True
    try:
        values = numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as error:
        raise ArtifactError(
            f"the weights {tensor.name!r} do not fit their shape {tuple(tensor.dims)}: "
            f"{one_line(error)}"
        ) from error
    return bool(np.isfinite(values).all())
