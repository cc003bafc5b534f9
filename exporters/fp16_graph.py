"""FP16 as casts in the ONNX graph.

The network's own types say what runs in FP16 and what in FP32, so every runtime computes the
same, and TensorRT needs no precision flag (version 11 has none). Inputs and outputs keep their
types; decode, and what would overflow, stays in FP32 between casts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeyolo.errors import ParityError
from edgeyolo.exporters.activation_peaks import activation_peaks, overflowing
from edgeyolo.exporters.fp16_quantisers import fold_weight_quantizers, raise_tiny_weight_scales
from edgeyolo.exporters.fp16_rules import (
    FP16_SMALLEST_NORMAL,
    OWN_TYPE_INPUTS,
    Float32Node,
    Float32Reason,
    choose_float32,
)
from edgeyolo.exporters.graph_types import (
    constants_as_initializers,
    drop_unused_initializers,
    element_types,
    name_nodes,
    replace_nodes,
)

# The first opset whose QuantizeLinear and DequantizeLinear take FP16 scales.
_FP16_SCALE_OPSET = 19
_FP16, _FP32 = "/fp16", "/fp32"


@dataclass(frozen=True, slots=True)
class Fp16Report:
    """What became FP16 and what did not.

    Attributes:
        fp16_nodes: Names of nodes that compute in FP16.
        float32_nodes: The others that handle floats, in graph order, with the reason.
        casts: Casts put between the two.
        subnormal_constants: Constants whose FP16 form is below the normal range; they keep an
            absolute error below 2**-25.
        zeroed_constants: Constants that became zero (below 2**-25).
        raised_scales: Weight channels whose INT8 scale was raised to FP16's normal range.
        highest_peak: FP16 tensor with the largest activation seen, and that value in float32;
            ``None`` where the network was not run.
    """

    fp16_nodes: tuple[str, ...]
    float32_nodes: tuple[Float32Node, ...]
    casts: int
    subnormal_constants: int
    zeroed_constants: int
    raised_scales: int
    highest_peak: tuple[str, float] | None = None

    @property
    def islands(self) -> tuple[Float32Node, ...]:
        """Nodes in FP32 for another reason than that decode always is."""
        return tuple(n for n in self.float32_nodes if n.reason is not Float32Reason.DECODE)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know, one line each."""
        lines = [
            f"fp32 island {node.name} ({node.op_type}): {node.reason}"
            + (f", {node.peak:.4g}" if node.peak is not None else "")
            for node in self.islands
        ]
        if self.zeroed_constants:
            lines.append(f"{self.zeroed_constants} weights below 2**-25 became zero in fp16")
        if self.raised_scales:
            lines.append(f"{self.raised_scales} int8 scales were raised to fp16's normal range")
        return tuple(lines)


def to_fp16(
    model: onnx.ModelProto,
    *,
    peaks: Mapping[str, float] | None = None,
    float32_nodes: Collection[str] = (),
) -> tuple[onnx.ModelProto, Fp16Report]:
    """The same network computing in FP16 where that is safe.

    Args:
        model: Float32 network, with Q/DQ or without. Not changed.
        peaks: From :func:`~edgeyolo.exporters.activation_peaks.activation_peaks` of *model*;
            without them overflow is not looked for.
        float32_nodes: Names of nodes to keep in FP32 beside those that must.

    Raises:
        UnsupportedError: The graph has branches, or *float32_nodes* names an unknown node.
    """
    copy = _prepared(model)
    graph = copy.graph
    raised = 0
    if any(node.op_type == "DequantizeLinear" for node in graph.node):
        copy = _with_fp16_scales_allowed(copy)
        graph = copy.graph
        fold_weight_quantizers(graph)
        raised = raise_tiny_weight_scales(graph)
    types = element_types(copy)
    chosen = choose_float32(graph, types, peaks=peaks or {}, asked=float32_nodes)
    surgeon = _Surgeon(graph, types, frozenset(chosen))
    surgeon.rewrite()
    drop_unused_initializers(graph)
    del graph.value_info[:]
    onnx.checker.check_model(copy, full_check=True)
    halves = surgeon.halves.keys() & (peaks or {}).keys()
    highest = max(((n, (peaks or {})[n]) for n in halves), key=lambda item: item[1], default=None)
    return copy, Fp16Report(
        fp16_nodes=tuple(surgeon.fp16_nodes),
        float32_nodes=tuple(chosen.values()),
        casts=surgeon.casts,
        subnormal_constants=surgeon.subnormal,
        zeroed_constants=surgeon.zeroed,
        raised_scales=raised,
        highest_peak=highest,
    )


def to_fp16_on_pictures(
    model: onnx.ModelProto,
    batches: Iterable[NDArray[Any]],
    *,
    float32_nodes: Collection[str] = (),
) -> tuple[onnx.ModelProto, Fp16Report]:
    """:func:`to_fp16` with islands from a float run, then run to see that nothing overflows.

    Args:
        batches: What the network's input takes, one array per call.

    Raises:
        ParityError: A tensor that is finite in float32 became infinite or not a number.
    """
    kept = list(batches)
    peaks = activation_peaks(model, kept)
    converted, report = to_fp16(model, peaks=peaks, float32_nodes=float32_nodes)
    lost_in_float32 = set(overflowing(peaks))
    broken = [
        name
        for name in overflowing(activation_peaks(converted, kept))
        if name.removesuffix(_FP16).removesuffix(_FP32) not in lost_in_float32
    ]
    if broken:
        raise ParityError(
            f"the FP16 network overflows at {broken[0]!r} and {len(broken) - 1} more tensors "
            f"on {len(kept)} calls; keep the node that computes it in FP32"
        )
    return converted, report


def _prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    constants_as_initializers(copy)
    name_nodes(copy.graph)
    return copy


def _with_fp16_scales_allowed(model: onnx.ModelProto) -> onnx.ModelProto:
    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    if opset >= _FP16_SCALE_OPSET:
        return model
    return onnx.version_converter.convert_version(model, _FP16_SCALE_OPSET)


class _Surgeon:
    """Rewrites one graph in place; precision of every node is decided before."""

    def __init__(
        self, graph: onnx.GraphProto, types: Mapping[str, int], float32: frozenset[str]
    ) -> None:
        self.graph = graph
        self.types = types
        self.float32 = float32
        self.constants = {t.name: t for t in graph.initializer if t.data_type == TensorProto.FLOAT}
        self.outputs = {value.name for value in graph.output}
        # Tensor -> name of its form in FP16 or FP32, where that exists.
        self.halves: dict[str, str] = {}
        self.wides: dict[str, str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.fp16_nodes: list[str] = []
        self.casts = self.subnormal = self.zeroed = 0

    def rewrite(self) -> None:
        for value in self.graph.input:
            if self._is_float(value.name):
                self.wides[value.name] = value.name
        for node in list(self.graph.node):
            if node.name in self.float32 or not self._touches_floats(node):
                self._keep(node)
            else:
                self._halve(node)
        for name in sorted(self.outputs & self.halves.keys()):
            self._cast(self.halves[name], name, TensorProto.FLOAT)
        replace_nodes(self.graph, self.nodes)

    def _is_float(self, name: str) -> bool:
        return bool(self.types.get(name) == TensorProto.FLOAT)

    def _touches_floats(self, node: onnx.NodeProto) -> bool:
        return any(self._is_float(name) for name in (*node.input, *node.output))

    def _keep(self, node: onnx.NodeProto) -> None:
        for index, name in enumerate(node.input):
            if self._is_float(name) and name not in self.constants:
                node.input[index] = self._wide(name)
        for name in node.output:
            if self._is_float(name):
                self.wides[name] = name
        self.nodes.append(node)

    def _halve(self, node: onnx.NodeProto) -> None:
        own_types = OWN_TYPE_INPUTS.get(node.op_type, frozenset())
        for index, name in enumerate(node.input):
            if not self._is_float(name):
                continue
            if index not in own_types:
                node.input[index] = self._half(name)
            elif name not in self.constants:
                node.input[index] = self._wide(name)
        for index, name in enumerate(node.output):
            if self._is_float(name):
                # An output of the network keeps its name for its float32 form.
                half = name + _FP16 if name in self.outputs else name
                node.output[index] = self.halves[name] = half
        if node.op_type == "Cast" and self._is_float(self._original(node.output[0])):
            for attribute in node.attribute:
                if attribute.name == "to":
                    attribute.i = TensorProto.FLOAT16
        self.fp16_nodes.append(node.name)
        self.nodes.append(node)

    def _original(self, output: str) -> str:
        return output.removesuffix(_FP16) if output not in self.types else output

    def _half(self, name: str) -> str:
        if name not in self.halves:
            half = name + _FP16
            if name in self.constants:
                self._halve_constant(name, half)
            else:
                self._cast(self.wides[name], half, TensorProto.FLOAT16)
            self.halves[name] = half
        return self.halves[name]

    def _wide(self, name: str) -> str:
        if name not in self.wides:
            wide = name if name in self.outputs else name + _FP32
            self._cast(self.halves[name], wide, TensorProto.FLOAT)
            self.wides[name] = wide
            self.outputs.discard(name)
        return self.wides[name]

    def _cast(self, source: str, target: str, element_type: int) -> None:
        self.nodes.append(
            helper.make_node("Cast", [source], [target], name=f"Cast/{target}", to=element_type)
        )
        self.casts += 1

    def _halve_constant(self, name: str, half: str) -> None:
        wide = numpy_helper.to_array(self.constants[name])
        narrow = wide.astype(np.float16)
        magnitude = np.abs(wide[wide != 0])
        self.subnormal += int(np.count_nonzero(magnitude < FP16_SMALLEST_NORMAL))
        self.zeroed += int(np.count_nonzero(narrow[wide != 0] == 0))
        self.graph.initializer.append(numpy_helper.from_array(narrow, half))
