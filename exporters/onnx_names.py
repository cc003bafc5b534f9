"""Keeps names of a foreign graph and of what is appended to it apart."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import onnx

# Of the nodes and tensors that are appended.
OURS = "edgeyolo/"
_THEIRS = "foreign/"


def without_our_names(proto: onnx.ModelProto, outputs: frozenset[str]) -> onnx.ModelProto:
    """*proto* itself, or where it uses names that are ours, a copy with a prefix on all of its own.

    Args:
        outputs: Tensors that are appended, beside those that begin with ``OURS``.
    """
    names: set[str] = set()

    def collect(name: str) -> str:
        names.add(name)
        return name

    result = copy.deepcopy(proto)
    _rename(result.graph, collect)
    if not names & outputs and not any(name.startswith(OURS) for name in names):
        return proto
    _rename(result.graph, lambda name: f"{_THEIRS}{name}")
    return result


def _rename(graph: onnx.GraphProto, new_name: Callable[[str], str]) -> None:
    """Names of tensors and nodes; one rule for all keeps what subgraphs see of the outer graph."""
    sparse = [part for item in graph.sparse_initializer for part in (item.values, item.indices)]
    values = (graph.input, graph.output, graph.value_info, graph.initializer, graph.node, sparse)
    for named in (item for items in values for item in items):
        if named.name:
            named.name = new_name(named.name)
    for quantised in graph.quantization_annotation:
        quantised.tensor_name = new_name(quantised.tensor_name)
        for entry in quantised.quant_parameter_tensor_names:
            entry.value = new_name(entry.value)
    for node in graph.node:
        # An input that is left out has an empty name.
        node.input[:] = [name and new_name(name) for name in node.input]
        node.output[:] = [name and new_name(name) for name in node.output]
        for subgraph in _subgraphs(node):
            _rename(subgraph, new_name)


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs
