"""Preprocessing that the first convolution can do itself: channel order and scale.

Swapping BGR to RGB and dividing by 255 would be two passes over the whole picture; in the
weights they cost nothing. A mean that is subtracted stays: the padding behind it is zero, and
would not be zero before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgeyolo.tflite.graph import (
    AxisOptions,
    Graph,
    Kind,
    Operator,
    SliceOptions,
    Tensor,
    drop_unused,
)


@dataclass(frozen=True, slots=True)
class _Preprocess:
    """Channel j of *last* is ``scales[j]`` times channel ``order[j]`` of *first*."""

    first: str
    last: str
    order: NDArray[np.int64]
    scales: NDArray[np.float32]


def fold_input(graph: Graph) -> Graph:
    """The graph with channel order and scale in the weights of the first convolutions.

    Graphs where something else than a convolution sees the preprocessed picture are returned
    as they are.
    """
    chain = _chain(graph)
    if chain.first == chain.last:
        return graph
    readers = graph.consumers()
    convolutions: dict[str, Operator] = {}
    waiting = [chain.last]
    while waiting:
        for operator in readers.get(waiting.pop(), []):
            if operator.kind is Kind.CONV_2D:
                convolutions[operator.outputs[0]] = operator
            elif _keeps_pixels(graph, operator):
                waiting += operator.outputs
            else:
                return graph
    tensors = dict(graph.tensors)
    operators = []
    for operator in graph.operators:
        if operator.outputs[0] in convolutions:
            operator = _with_folded_weights(operator, tensors, chain)
        inputs = tuple(chain.first if name == chain.last else name for name in operator.inputs)
        operators.append(replace(operator, inputs=inputs))
    folded = Graph(tensors, operators, graph.inputs, graph.outputs, dict(graph.metadata))
    return drop_unused(folded)


def _chain(graph: Graph) -> _Preprocess:
    readers = graph.consumers()
    name = graph.inputs[0]
    following = readers.get(name, [])
    if len(following) == 1 and following[0].kind is Kind.CAST:
        name = following[0].outputs[0]
    channels = graph.tensors[name].shape[-1]
    chain = _Preprocess(name, name, np.arange(channels), np.ones(channels, np.float32))
    while len(following := readers.get(chain.last, [])) == 1:
        step = _step(graph, following[0], chain)
        if step is None:
            break
        chain = step
    return chain


def _step(graph: Graph, operator: Operator, chain: _Preprocess) -> _Preprocess | None:
    """The chain with one more operator, if that is part of it."""
    constants = [graph.tensors[name].data for name in operator.inputs]
    data = next((item for item in constants if item is not None), None)
    if data is None:
        return None
    channels = len(chain.order)
    output = operator.outputs[0]
    if operator.kind is Kind.GATHER and operator.options == AxisOptions(3):
        chosen = data.astype(np.int64)
        if sorted(chosen.tolist()) != list(range(channels)):
            return None
        return _Preprocess(chain.first, output, chain.order[chosen], chain.scales[chosen])
    per_channel = data.size in (1, channels) and (data.size == 1 or data.shape[-1] == channels)
    if not per_channel or (operator.kind is Kind.DIV and constants[1] is None):
        return None
    values = np.broadcast_to(data.reshape(-1), channels).astype(np.float32)
    if operator.kind is Kind.MUL:
        return replace(chain, last=output, scales=chain.scales * values)
    if operator.kind is Kind.DIV:
        return replace(chain, last=output, scales=chain.scales / values)
    return None


def _keeps_pixels(graph: Graph, operator: Operator) -> bool:
    """Whether an operator moves whole pixels and zeros only."""
    if operator.kind is Kind.PAD:
        return True
    if operator.kind is Kind.CONCATENATION:
        return operator.options == AxisOptions(3)
    if operator.kind is Kind.STRIDED_SLICE and isinstance(operator.options, SliceOptions):
        shapes = [graph.tensors[name].shape for name in (operator.inputs[0], operator.outputs[0])]
        strides = graph.tensors[operator.inputs[3]].data
        return shapes[0][-1] == shapes[1][-1] and strides is not None and strides[-1] == 1
    return False


def _with_folded_weights(
    operator: Operator, tensors: dict[str, Tensor], chain: _Preprocess
) -> Operator:
    weights = tensors[operator.inputs[1]].data
    assert weights is not None
    folded = np.zeros_like(weights)
    channels = len(chain.order)
    # Focus and ReOrg put several pixels side by side: groups of channels.
    for start in range(0, weights.shape[3], channels):
        group = weights[..., start : start + channels] * chain.scales
        folded[..., start + chain.order] = group
    name = f"{operator.inputs[1]}_folded"
    tensors[name] = Tensor(name, folded.shape, folded.dtype, folded)
    return replace(operator, inputs=(operator.inputs[0], name, operator.inputs[2]))
