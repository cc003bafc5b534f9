"""A float TFLite graph and the numbers found for it become an int8 graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.calibration.tflite_plan import CONVOLUTIONS, Plan
from edgeyolo.tflite.graph import Graph, Kind, Operator, Quantization, Tensor, drop_unused

# The scale that TFLite's int8 LOGISTIC insists on.
LOGISTIC = Quantization((1 / 256,), (-128,))

# Pixels 0..255, as they are stored and as int8 kernels want them.
PIXELS_UINT8 = Quantization((1.0,), (0,))
PIXELS_INT8 = Quantization((1.0,), (-128,))

_INT32_LIMIT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class QuantizedConv:
    """Numbers of one int8 convolution.

    Attributes:
        weights: float32, in TFLite's order of axes.
        scales: One per output channel.
        bias: float32, corrected.
    """

    weights: NDArray[np.float32]
    scales: NDArray[np.float32]
    bias: NDArray[np.float32]


def channel_axis(kind: Kind) -> int:
    """Axis of the output channels in a convolution's stored weights."""
    return 3 if kind is Kind.DEPTHWISE_CONV_2D else 0


def weight_scales(weights: NDArray[np.float32], kind: Kind) -> NDArray[np.float32]:
    """Symmetric scale per output channel: the largest weight is 127."""
    axes = tuple(axis for axis in range(4) if axis != channel_axis(kind))
    # A channel of zeros gets the scale 1; anything works.
    largest = np.abs(weights).max(axis=axes)
    return np.where(largest > 0, largest / 127, 1).astype(np.float32)


def on_grid(
    weights: NDArray[np.float32], scales: NDArray[np.float32], kind: Kind
) -> NDArray[np.float32]:
    """Weights as int8 holds them."""
    result: NDArray[np.float32] = _stored(weights, scales, kind) * _aligned(scales, kind)
    return result


def _stored(
    weights: NDArray[np.float32], scales: NDArray[np.float32], kind: Kind
) -> NDArray[np.float32]:
    stored: NDArray[np.float32] = np.rint(weights / _aligned(scales, kind)).clip(-127, 127)
    return stored


def _aligned(scales: NDArray[np.float32], kind: Kind) -> NDArray[np.float32]:
    shape = [1, 1, 1, 1]
    shape[channel_axis(kind)] = -1
    return scales.reshape(shape)


def emit(
    graph: Graph,
    plan: Plan,
    activations: Mapping[str, Quantization],
    convolutions: Mapping[str, QuantizedConv],
    *,
    float_biases: Mapping[str, NDArray[np.float32]],
) -> Graph:
    """Write the int8 graph.

    Args:
        graph: Float.
        plan: Which operators are int8.
        activations: Float activation -> scale and zero point, for everything that an int8
            operator reads or writes.
        convolutions: Output name of each int8 convolution -> its numbers.
        float_biases: Output name of a float convolution -> (C,), in place of its own.
    """
    emitter = _Emitter(graph, activations)
    for operator, is_quantized in zip(graph.operators, plan.quantized, strict=True):
        if not is_quantized:
            emitter.add_float(operator, float_biases.get(operator.outputs[0]))
        elif operator.kind in CONVOLUTIONS:
            emitter.add_conv(operator, convolutions[operator.outputs[0]])
        else:
            emitter.add_int8(operator)
    return emitter.finish()


class _Emitter:
    """The graph while it is written; every activation exists as float, as int8 or as both."""

    def __init__(self, graph: Graph, activations: Mapping[str, Quantization]) -> None:
        self.source = graph
        self.casts = {
            operator.outputs[0]: operator.inputs[0]
            for operator in graph.operators
            if operator.kind is Kind.CAST and operator.inputs[0] in graph.inputs
        }
        self.activations = activations
        self.result = Graph(inputs=graph.inputs, metadata=dict(graph.metadata))
        self.as_float: dict[str, str] = {}
        self.as_int8: dict[str, str] = {}
        for name in graph.inputs:
            tensor = graph.tensors[name]
            if tensor.dtype == np.uint8:
                tensor = replace(tensor, quantization=PIXELS_UINT8)
            self.result.tensors[name] = tensor
            self.as_float[name] = name

    def add_float(self, operator: Operator, bias: NDArray[np.float32] | None = None) -> None:
        inputs = [self._float(name) for name in operator.inputs]
        if bias is not None:
            inputs[2] = self.result.constant(f"{operator.outputs[0]}_corrected_bias", bias)
        self._copy(operator, inputs, self.as_float, quantized=False)

    def add_int8(self, operator: Operator) -> None:
        inputs = [name if self._is_index(name) else self._int8(name) for name in operator.inputs]
        self._copy(operator, inputs, self.as_int8, quantized=True)

    def add_conv(self, operator: Operator, numbers: QuantizedConv) -> None:
        image = self._int8(operator.inputs[0])
        quantization = self.result.tensors[image].quantization
        assert quantization is not None
        zeros = (0,) * len(numbers.scales)
        weights = self.result.constant(
            operator.inputs[1],
            _stored(numbers.weights, numbers.scales, operator.kind).astype(np.int8),
            Quantization(
                tuple(map(float, numbers.scales)), zeros, axis=channel_axis(operator.kind)
            ),
        )
        bias_scales = numbers.scales.astype(np.float64) * quantization.scales[0]
        bias_stored = np.rint(numbers.bias / bias_scales)
        bias = self.result.constant(
            operator.inputs[2],
            np.clip(bias_stored, -_INT32_LIMIT, _INT32_LIMIT).astype(np.int32),
            Quantization(tuple(map(float, bias_scales)), zeros),
        )
        self._copy(operator, [image, weights, bias], self.as_int8, quantized=True)

    def finish(self) -> Graph:
        self.result.outputs = tuple(self._output(name) for name in self.source.outputs)
        return drop_unused(self.result)

    def _output(self, name: str) -> str:
        return self.as_float.get(name) or self.as_int8[name]

    def _is_index(self, name: str) -> bool:
        tensor = self.source.tensors[name]
        if tensor.data is None or tensor.dtype != np.int32:
            return False
        if name not in self.result.tensors:
            self.result.tensors[name] = tensor
        return True

    def _copy(
        self, operator: Operator, inputs: list[str], kept: dict[str, str], *, quantized: bool
    ) -> None:
        outputs = []
        for name in operator.outputs:
            tensor = self.source.tensors[name]
            quantization = self.activations[name] if quantized else None
            dtype: Any = np.int8 if quantized else tensor.dtype
            kept[name] = self.result.activation(name, tensor.shape, dtype, quantization)
            outputs.append(kept[name])
        self.result.operators.append(
            replace(operator, inputs=tuple(inputs), outputs=tuple(outputs))
        )

    def _float(self, name: str) -> str:
        """The float form of an activation or constant."""
        tensor = self.source.tensors[name]
        if tensor.data is not None:
            if name not in self.result.tensors:
                self.result.tensors[name] = tensor
            return name
        if name not in self.as_float:
            self.as_float[name] = self.result.add(
                Kind.DEQUANTIZE, [self.as_int8[name]], f"{name}_float", tensor.shape,
                source="dequantize",
            )  # fmt: skip
        return self.as_float[name]

    def _int8(self, name: str) -> str:
        """The int8 form of an activation or constant."""
        tensor = self.source.tensors[name]
        if tensor.data is not None:
            return self._int8_constant(tensor)
        if name not in self.as_int8:
            quantized = f"{name}_int8"
            self.as_int8[name] = self.result.activation(
                quantized, tensor.shape, np.int8, self.activations[name]
            )
            # Pixels are int8 after subtracting 128; no float in between.
            source = self.casts[name] if name in self.casts else self._float(name)
            self.result.operators.append(
                Operator(Kind.QUANTIZE, (source,), (self.as_int8[name],), source="quantize")
            )
        return self.as_int8[name]

    def _int8_constant(self, tensor: Tensor) -> str:
        assert tensor.data is not None
        scale = float(np.abs(tensor.data).max()) / 127 or 1.0
        data = np.rint(tensor.data / scale).astype(np.int8)
        name = f"{tensor.name}_int8"
        if name in self.result.tensors:
            return name
        return self.result.constant(name, data, Quantization((scale,), (0,)))
