"""Inner tensors of an ONNX graph, observed while onnxruntime runs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.errors import needs

if TYPE_CHECKING:
    import onnx

# Bytes of tensors that one run may hand out at a time.
_BYTES_AT_ONCE = 256 * 2**20


class TensorTap:
    """Runs a graph on onnxruntime and hands out inner tensors.

    Args:
        model: Not changed.
        tensors: Names of what :meth:`run` returns.
    """

    def __init__(self, model: onnx.ModelProto, tensors: Sequence[str]) -> None:
        tapped = type(model)()
        tapped.CopyFrom(model)
        del tapped.graph.output[:]
        for name in tensors:
            tapped.graph.output.add().name = name
        self._names = list(tensors)
        # Without an arena, memory goes back after each run instead of growing to the peak.
        self._session = open_graph(tapped, arena=False)
        self._input = self._session.get_inputs()[0].name

    def run(self, pixels: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Tensor name -> value on one batch."""
        values = self._session.run(self._names, {self._input: pixels})
        return dict(zip(self._names, values, strict=True))


def open_graph(model: onnx.ModelProto, *, arena: bool = True) -> Any:
    """An ``onnxruntime.InferenceSession`` on the CPU that leaves the machine to others, too.

    Threads that spin while they wait take four times as long as threads that sleep where another
    program computes at the same time.

    Raises:
        MissingPackageError: onnxruntime is not installed.
    """
    with needs("onnxruntime", extra="onnx"):
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = arena
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def groups_that_fit(model: onnx.ModelProto, names: list[str]) -> list[list[str]]:
    """*names* in groups whose tensors fit into memory together."""
    groups: list[list[str]] = []
    if not names:
        return groups
    size = 0
    import onnx as onnx_package

    inferred = onnx_package.shape_inference.infer_shapes(model)
    bytes_of = {
        info.name: 4
        * int(np.prod([max(1, axis.dim_value) for axis in info.type.tensor_type.shape.dim]))
        for info in inferred.graph.value_info
    }
    for name in names:
        needed = bytes_of.get(name, _BYTES_AT_ONCE)
        if not groups or size + needed > _BYTES_AT_ONCE:
            groups.append([])
            size = 0
        groups[-1].append(name)
        size += needed
    return groups
