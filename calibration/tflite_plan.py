"""Which operators of a TFLite graph compute in int8, and which tensors must share one scale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edgeyolo.errors import UnsupportedError
from edgeyolo.tflite.graph import Graph, Kind, Operator

CONVOLUTIONS = frozenset({Kind.CONV_2D, Kind.DEPTHWISE_CONV_2D})

# Results whose int8 kernels have the scale of their inputs.
SCALE_KEEPERS = frozenset(
    {
        Kind.CONCATENATION,
        Kind.GATHER,
        Kind.MAX_POOL_2D,
        Kind.PAD,
        Kind.RESHAPE,
        Kind.RESIZE_NEAREST_NEIGHBOR,
        Kind.SPACE_TO_DEPTH,
        Kind.SPLIT_V,
        Kind.STRIDED_SLICE,
    }
)
_ARITHMETIC = frozenset({Kind.ADD, Kind.LEAKY_RELU, Kind.LOGISTIC, Kind.MUL, Kind.RELU, Kind.SUB})
QUANTIZABLE = CONVOLUTIONS | SCALE_KEEPERS | _ARITHMETIC

# Follow their convolution into float, so that no quantiser stands between it and its activation.
_ACTIVATIONS = frozenset({Kind.LEAKY_RELU, Kind.LOGISTIC, Kind.MUL, Kind.RELU})


@dataclass(frozen=True, slots=True)
class Plan:
    """The decision.

    Attributes:
        quantized: Per operator of the graph, whether it computes in int8.
        group: Activation -> the first activation of those that share its scale.
    """

    quantized: tuple[bool, ...]
    group: Mapping[str, str]


def make_plan(
    graph: Graph,
    *,
    float_layers: Iterable[str] = (),
    float_sources: Iterable[str] = (),
    quantize_heads: bool = False,
) -> Plan:
    """Decide.

    Args:
        graph: Float, as lowered.
        float_layers: Source nodes whose operators, and the activations behind them, stay float.
        float_sources: Sources that stay float whatever they are (the decode).
        quantize_heads: Whether the convolutions that make the outputs are int8, too.

    Raises:
        UnsupportedError: A name in *float_layers* is no node of the graph.
    """
    kept_float = {*float_layers}
    unknown = kept_float - {operator.source for operator in graph.operators}
    if unknown:
        raise UnsupportedError(
            f"no layer named {sorted(unknown)[0]!r} in the graph; "
            "layers are named as the nodes of the ONNX graph"
        )
    kept_float |= {*float_sources}
    if not quantize_heads:
        kept_float |= set(prediction_sources(graph, float_sources))
    island: set[str] = set()
    behind: set[str] = set()
    quantized = []
    for operator in graph.operators:
        activations = [name for name in operator.inputs if graph.tensors[name].data is None]
        follows = operator.kind in _ACTIVATIONS and all(name in island for name in activations)
        stays = operator.source in kept_float or operator.kind not in QUANTIZABLE or follows
        # Arithmetic on pixels (subtracting a mean) is as exact as the pixels only in float.
        if operator.kind in CONVOLUTIONS or behind & {*activations}:
            behind |= set(operator.outputs)
        else:
            stays |= operator.kind not in SCALE_KEEPERS
        if stays and operator.kind in CONVOLUTIONS | _ACTIVATIONS:
            island |= set(operator.outputs)
        quantized.append(not stays)
    return Plan(tuple(quantized), _groups(graph, quantized))


def prediction_sources(graph: Graph, decode_sources: Iterable[str] = ()) -> tuple[str, ...]:
    """Sources of the convolutions whose results leave the network or enter its decode."""
    decode = set(decode_sources)
    read_by_decode = {
        name
        for operator in graph.operators
        if operator.source in decode
        for name in operator.inputs
    }
    last = read_by_decode | set(graph.outputs)
    return tuple(
        operator.source
        for operator in graph.operators
        if operator.kind in CONVOLUTIONS and last & set(operator.outputs)
    )


def _groups(graph: Graph, quantized: Iterable[bool]) -> dict[str, str]:
    leader = {name: name for name, tensor in graph.tensors.items() if tensor.data is None}

    def find(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for operator, is_quantized in zip(graph.operators, quantized, strict=True):
        if not is_quantized or operator.kind not in SCALE_KEEPERS:
            continue
        names = [name for name in (*operator.inputs, *operator.outputs) if name in leader]
        first, *others = map(find, names)
        for other in others:
            leader[find(other)] = find(first)
    return {name: find(name) for name in leader}


def constant_inputs(graph: Graph, operator: Operator) -> tuple[str, ...]:
    """Inputs of an operator that are constants."""
    return tuple(name for name in operator.inputs if graph.tensors[name].data is not None)
