"""A TFLite graph before it is a flatbuffer: tensors, operators and their options.

Tensors are known by name; a name is used once. Activations are channels-last (B, H, W, C).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The source of decode operators: arithmetic in pixels, never quantised.
DECODE = "decode"


class Kind(str, Enum):
    """The operators that we write, named as TFLite names them."""

    ADD = "ADD"
    CAST = "CAST"
    CONCATENATION = "CONCATENATION"
    CONV_2D = "CONV_2D"
    DEPTHWISE_CONV_2D = "DEPTHWISE_CONV_2D"
    DEQUANTIZE = "DEQUANTIZE"
    DIV = "DIV"
    EXP = "EXP"
    GATHER = "GATHER"
    LEAKY_RELU = "LEAKY_RELU"
    LOGISTIC = "LOGISTIC"
    MAX_POOL_2D = "MAX_POOL_2D"
    MUL = "MUL"
    PAD = "PAD"
    QUANTIZE = "QUANTIZE"
    RELU = "RELU"
    RESHAPE = "RESHAPE"
    RESIZE_NEAREST_NEIGHBOR = "RESIZE_NEAREST_NEIGHBOR"
    SPACE_TO_DEPTH = "SPACE_TO_DEPTH"
    SPLIT_V = "SPLIT_V"
    STRIDED_SLICE = "STRIDED_SLICE"
    SUB = "SUB"


class Padding(Enum):
    """Numbers of the TFLite schema."""

    SAME = 0
    VALID = 1


@dataclass(frozen=True, slots=True)
class ConvOptions:
    """Options of CONV_2D and, with *depth_multiplier*, of DEPTHWISE_CONV_2D."""

    padding: Padding
    stride_hw: tuple[int, int] = (1, 1)
    dilation_hw: tuple[int, int] = (1, 1)
    depth_multiplier: int = 0


@dataclass(frozen=True, slots=True)
class PoolOptions:
    padding: Padding
    kernel_hw: tuple[int, int]
    stride_hw: tuple[int, int]


@dataclass(frozen=True, slots=True)
class AxisOptions:
    """Options of CONCATENATION and GATHER."""

    axis: int


@dataclass(frozen=True, slots=True)
class SliceOptions:
    """Bit i of a mask: ignore the given begin (end) of axis i and take all there is."""

    begin_mask: int = 0
    end_mask: int = 0


@dataclass(frozen=True, slots=True)
class LeakyOptions:
    alpha: float


@dataclass(frozen=True, slots=True)
class BlockOptions:
    block_size: int


Options = ConvOptions | PoolOptions | AxisOptions | SliceOptions | LeakyOptions | BlockOptions


@dataclass(frozen=True, slots=True)
class Quantization:
    """real = scale * (stored - zero_point), one pair per tensor or one per slice of *axis*."""

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0

    def __post_init__(self) -> None:
        if not self.scales or len(self.scales) != len(self.zero_points):
            raise ValueError(
                f"{len(self.scales)} scales and {len(self.zero_points)} zero points do not pair up"
            )
        if not all(np.isfinite(scale) and scale > 0 for scale in self.scales):
            raise ValueError(f"scales must be positive and finite, got {min(self.scales)}")


@dataclass(frozen=True, slots=True)
class Tensor:
    """A constant where *data* is set, else an activation."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    data: NDArray[Any] | None = None
    quantization: Quantization | None = None


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator.

    Attributes:
        source: Name of the node of the source graph that it comes from.
    """

    kind: Kind
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: Options | None = None
    source: str = ""


@dataclass(slots=True)
class Graph:
    """Operators in an order in which they can run.

    Attributes:
        metadata: Named byte strings that travel in the file.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    operators: list[Operator] = field(default_factory=list)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    metadata: dict[str, bytes] = field(default_factory=dict)

    def activation(
        self,
        name: str,
        shape: Iterable[int],
        dtype: Any = np.float32,
        quantization: Quantization | None = None,
    ) -> str:
        """Declare the result of an operator (or an input); returns its (made unique) name."""
        name = self._unused(name)
        self.tensors[name] = Tensor(name, tuple(shape), np.dtype(dtype), quantization=quantization)
        return name

    def constant(
        self, name: str, data: NDArray[Any], quantization: Quantization | None = None
    ) -> str:
        """Add a constant; returns its (made unique) name."""
        name = self._unused(name)
        data = np.ascontiguousarray(data)
        self.tensors[name] = Tensor(name, data.shape, data.dtype, data, quantization)
        return name

    def add(
        self,
        kind: Kind,
        inputs: Iterable[str],
        output: str,
        shape: Iterable[int],
        *,
        options: Options | None = None,
        source: str = "",
        dtype: Any = np.float32,
    ) -> str:
        """Append an operator with one output; returns that output's name."""
        output = self.activation(output, shape, dtype)
        self.operators.append(Operator(kind, tuple(inputs), (output,), options, source))
        return output

    def consumers(self) -> dict[str, list[Operator]]:
        """Activation or constant name -> operators that read it."""
        readers: dict[str, list[Operator]] = {}
        for operator in self.operators:
            for name in operator.inputs:
                readers.setdefault(name, []).append(operator)
        return readers

    def _unused(self, name: str) -> str:
        if name not in self.tensors:
            return name
        number = 1
        while f"{name}.{number}" in self.tensors:
            number += 1
        return f"{name}.{number}"


def drop_unused(graph: Graph) -> Graph:
    """The graph without operators and tensors that no output needs."""
    needed = set(graph.outputs)
    kept: list[Operator] = []
    for operator in reversed(graph.operators):
        if needed & set(operator.outputs):
            needed |= set(operator.inputs) | set(operator.outputs)
            kept.append(operator)
    needed |= set(graph.inputs)
    return Graph(
        {name: tensor for name, tensor in graph.tensors.items() if name in needed},
        kept[::-1],
        graph.inputs,
        graph.outputs,
        graph.metadata,
    )
