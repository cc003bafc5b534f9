"""Reading and rewriting ONNX graphs: constants, who computes a tensor, who reads it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.errors import needs

if TYPE_CHECKING:
    import onnx


class GraphEditor:
    """A copy of a graph under edit, with its lookups kept up to date by :meth:`refresh`.

    ``Constant`` nodes become initializers, every node gets a unique name, and the types of inner
    tensors are dropped, since they change with the quantisers.

    Attributes:
        model: The copy.
        constants: Initializer name -> value.
        producers: Tensor name -> the node that computes it.
        readers: Tensor name -> the nodes that read it.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        with needs("onnx", extra="quantize"):
            from onnx import numpy_helper

        self.model = type(model)()
        self.model.CopyFrom(model)
        graph = self.model.graph
        del graph.value_info[:]
        for node in [node for node in graph.node if node.op_type == "Constant"]:
            tensor = next(item.t for item in node.attribute if item.name == "value")
            constant = graph.initializer.add()
            constant.CopyFrom(tensor)
            constant.name = node.output[0]
            graph.node.remove(node)
        _name_nodes(graph)
        self.constants: dict[str, NDArray[Any]] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer
        }
        self.producers: dict[str, onnx.NodeProto] = {}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        self.refresh()

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """The nodes, as a list that may be kept while the graph changes."""
        return list(self.model.graph.node)

    def refresh(self) -> None:
        """Build the lookups again after nodes or their inputs changed."""
        self.producers = {name: node for node in self.model.graph.node for name in node.output}
        self.readers = {}
        for node in self.model.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def producer(self, tensor: str) -> onnx.NodeProto | None:
        return self.producers.get(tensor)

    def add_constant(self, name: str, value: NDArray[Any]) -> str:
        """Add an initializer; returns its name."""
        from onnx import numpy_helper

        if name in self.constants:
            raise ValueError(f"constant {name!r} exists already")
        self.constants[name] = value
        self.model.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def add_node(self, op_type: str, inputs: list[str], output: str, **attributes: Any) -> None:
        """Append a node named after its output; :meth:`finish` puts it in its place."""
        from onnx import helper

        self.model.graph.node.append(
            helper.make_node(op_type, inputs, [output], name=output, **attributes)
        )

    def remove(self, nodes: Iterable[onnx.NodeProto]) -> None:
        for node in nodes:
            self.model.graph.node.remove(node)

    def redirect(self, old: str, new: str, nodes: Iterable[onnx.NodeProto]) -> None:
        """Make *nodes* read tensor *new* where they read *old*."""
        for node in nodes:
            for index, name in enumerate(node.input):
                if name == old:
                    node.input[index] = new

    def finish(self) -> onnx.ModelProto:
        """The graph in topological order, without unused constants and foreign opset domains.

        Quantisation tools declare opset domains that no node uses, and some readers refuse them.
        """
        graph = self.model.graph
        ordered = _topological(graph)
        del graph.node[:]
        graph.node.extend(ordered)
        used = {name for node in graph.node for name in _reads(node)}
        used |= {output.name for output in graph.output}
        kept = [tensor for tensor in graph.initializer if tensor.name in used]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        domains = {node.domain for node in graph.node}
        opsets = [item for item in self.model.opset_import if item.domain in domains | {""}]
        del self.model.opset_import[:]
        self.model.opset_import.extend(opsets)
        return self.model


def _name_nodes(graph: onnx.GraphProto) -> None:
    taken: set[str] = set()
    for index, node in enumerate(graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{index}_{node.output[0]}"
        taken.add(node.name)


def _topological(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    known = {""} | {item.name for item in graph.initializer} | {item.name for item in graph.input}
    waiting = [type(node).FromString(node.SerializeToString()) for node in graph.node]
    ordered: list[onnx.NodeProto] = []
    while waiting:
        ready = []
        later = []
        for node in waiting:
            if all(name in known for name in _reads(node)):
                ready.append(node)
                known.update(node.output)
            else:
                later.append(node)
        if not ready:
            raise ValueError(f"the graph has a cycle at {later[0].name!r}")
        ordered += ready
        waiting = later
    return ordered


def _reads(node: onnx.NodeProto) -> set[str]:
    """Names of the tensors that a node reads, those that its branches (``If``) read included."""
    read = set(node.input)
    for attribute in node.attribute:
        branch = attribute.g
        own = {name for inner in branch.node for name in inner.output}
        own |= {tensor.name for tensor in branch.initializer}
        read |= {name for inner in branch.node for name in _reads(inner)} - own
    return read


def scalar(value: NDArray[Any]) -> bool:
    """Whether a scale or zero-point holds for the whole tensor."""
    return int(np.size(value)) == 1
