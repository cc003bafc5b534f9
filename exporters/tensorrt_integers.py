"""INT64 constants that TensorRT 8.x can hold: it has no INT64 and clamps to INT32 with a warning.

torch writes "to the end" of a Slice as the largest INT64 (NVIDIA/TensorRT#3007, #4177). No axis is
longer than INT32 counts, so the largest INT32 means the same, in every version.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from edgeyolo.errors import UnsupportedError

_INT32 = np.iinfo(np.int32)
# Inputs of a Slice that the operator itself clamps to the axis: starts and ends.
_CLAMPED_INPUTS = (1, 2)
_SUFFIX = "/int32"


def shorten_slice_bounds(model: onnx.ModelProto) -> None:
    """Write bounds of Slice beyond INT32 as the largest or least INT32, in place.

    Raises:
        UnsupportedError: Another constant holds a value beyond INT32, which would be changed.
    """
    graph = model.graph
    wide = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in graph.initializer
        if tensor.data_type == TensorProto.INT64 and _is_wide(tensor)
    }
    if not wide:
        return
    shortened: set[str] = set()
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name not in wide:
                continue
            if node.op_type != "Slice" or index not in _CLAMPED_INPUTS:
                values = wide[name].ravel()
                value = values[(values > _INT32.max) | (values < _INT32.min)][0]
                raise UnsupportedError(
                    f"constant {name!r} of node {node.name!r} ({node.op_type}) is {value}; "
                    "TensorRT 8.x has integers up to 2147483647 only"
                )
            node.input[index] = name + _SUFFIX
            shortened.add(name)
    kept = [tensor for tensor in graph.initializer if tensor.name not in wide]
    kept += [
        numpy_helper.from_array(wide[name].clip(_INT32.min, _INT32.max), name + _SUFFIX)
        for name in sorted(shortened)
    ]
    copies = [TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
    del graph.initializer[:]
    graph.initializer.extend(copies)


def _is_wide(tensor: onnx.TensorProto) -> bool:
    values = numpy_helper.to_array(tensor)
    return bool(((values > _INT32.max) | (values < _INT32.min)).any())
