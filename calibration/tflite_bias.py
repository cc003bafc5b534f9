"""Bias correction: the int8 network keeps the mean of every convolution's output.

Convolutions that stay float have theirs corrected, too: what they read is off.

The float network and a simulation of the int8 one run side by side, operator by operator, on a
few pictures. Rounding of weights and activations shifts the mean of what a convolution gives;
the shift goes into its bias before the next operator is simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.calibration.tflite_emit import QuantizedConv, on_grid, weight_scales
from edgeyolo.calibration.tflite_plan import CONVOLUTIONS, Plan
from edgeyolo.calibration.tflite_torch import compute, convolve
from edgeyolo.errors import needs
from edgeyolo.tflite.graph import DECODE, ConvOptions, Graph, Operator, Quantization

# Of all tensors alive at once, float and simulated.
_MOST_BYTES = 900 << 20
_MOST_PICTURES = 32


@dataclass(frozen=True, slots=True)
class Corrected:
    """What came of it.

    Attributes:
        convolutions: Output name of each int8 convolution -> its numbers.
        float_biases: Output name of each float convolution -> (C,) float32.
        noise: Likewise -> error of its output, squared, over the variance of the exact one.
    """

    convolutions: dict[str, QuantizedConv] = field(default_factory=dict)
    float_biases: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    noise: dict[str, float] = field(default_factory=dict)

    def take(
        self, graph: Graph, operator: Operator, operands: list[Any], exact: Any, *, is_int8: bool
    ) -> Any:
        """Add one convolution; its output with the corrected bias."""
        import torch

        weights, bias = (graph.tensors[name].data for name in operator.inputs[1:])
        assert weights is not None
        assert bias is not None
        assert isinstance(operator.options, ConvOptions)
        scales = weight_scales(weights, operator.kind)
        stored = on_grid(weights, scales, operator.kind) if is_int8 else weights
        result = convolve(
            operands[0],
            torch.from_numpy(stored),
            torch.from_numpy(bias),
            operator.options,
            operator.kind,
        )
        shift = (exact - result).mean((0, 1, 2))
        name, total = operator.outputs[0], bias + shift.numpy()
        if is_int8:
            self.convolutions[name] = QuantizedConv(weights, scales, total)
        else:
            self.float_biases[name] = total
            variance = float(exact.var(dim=(0, 1, 2), correction=0).mean())
            error = float((exact - result - shift).square().mean())
            self.noise[name] = error / max(variance, 1e-12)
        return result + shift


def pictures_for(graph: Graph) -> int:
    """How many pictures fit into the memory that the simulation may take."""
    last_reader = _last_readers(graph)
    alive = most = 0
    sizes = {name: 8 * int(np.prod(tensor.shape)) for name, tensor in graph.tensors.items()}
    for position, operator in enumerate(graph.operators):
        alive += sum(sizes[name] for name in operator.outputs)
        most = max(most, alive)
        alive -= sum(
            sizes[name]
            for name in {*operator.inputs}
            if last_reader[name] == position and graph.tensors[name].data is None
        )
    return max(1, min(_MOST_PICTURES, _MOST_BYTES // (2 * max(1, most))))


def correct_biases(
    graph: Graph,
    plan: Plan,
    activations: Mapping[str, Quantization],
    pixels: NDArray[np.uint8],
) -> Corrected:
    """Numbers of every convolution before the decode.

    Args:
        pixels: (n, H, W, 3) uint8 BGR letterboxed pictures.
    """
    with needs("torch", extra="quantize"):
        import torch

    constants = {
        name: torch.from_numpy(np.ascontiguousarray(tensor.data))
        for name, tensor in graph.tensors.items()
        if tensor.data is not None
    }
    last_reader = _last_readers(graph)
    exact: dict[str, Any] = {graph.inputs[0]: torch.from_numpy(pixels)}
    simulated: dict[str, Any] = dict(exact)
    corrected = Corrected()
    with torch.no_grad():
        for position, operator in enumerate(graph.operators):
            if operator.source == DECODE:
                continue
            is_int8 = plan.quantized[position]
            exact_operands = [constants.get(n, exact.get(n)) for n in operator.inputs]
            operands = [constants.get(n, simulated.get(n)) for n in operator.inputs]
            if is_int8:
                operands = [
                    _rounded(operand, activations[name]) if name not in constants else operand
                    for name, operand in zip(operator.inputs, operands, strict=True)
                ]
            exact_results = compute(graph, operator, exact_operands)
            if operator.kind in CONVOLUTIONS:
                results = [
                    corrected.take(graph, operator, operands, exact_results[0], is_int8=is_int8)
                ]
            else:
                results = compute(graph, operator, operands)
            for name, exact_result, result in zip(
                operator.outputs, exact_results, results, strict=True
            ):
                exact[name] = exact_result
                simulated[name] = _rounded(result, activations[name]) if is_int8 else result
            for name in {*operator.inputs}:
                if last_reader[name] == position:
                    exact.pop(name, None)
                    simulated.pop(name, None)
    return corrected


def _rounded(values: Any, numbers: Quantization) -> Any:
    import torch

    scale, zero_point = numbers.scales[0], numbers.zero_points[0]
    stored = torch.round(values.float() / scale)
    return stored.clamp_(-128 - zero_point, 127 - zero_point).mul_(scale)


def _last_readers(graph: Graph) -> dict[str, int]:
    last = {}
    for position, operator in enumerate(graph.operators):
        for name in operator.inputs:
            last[name] = position
    return last
