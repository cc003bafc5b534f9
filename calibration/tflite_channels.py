"""Which channels of a TFLite graph may be rescaled, and which only together.

A convolution's output channels can be divided by positive factors if every reader, through
activations, pads, pools, resizes and concatenations, is a convolution that multiplies them
back. Tensors that are added must have the same factors: they form one group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from edgeyolo.calibration.tflite_plan import CONVOLUTIONS
from edgeyolo.tflite.graph import DECODE, Graph, Kind, Operator


class Activation(Enum):
    """What stands behind a convolution."""

    SILU = "silu"
    LEAKY = "leaky"


@dataclass(frozen=True, slots=True)
class Branch:
    """A convolution with its activation.

    Attributes:
        raw: Output of the convolution.
        activated: Output of the activation.
        slope: Of the negative side, for LEAKY (0 for a plain ReLU).
    """

    raw: str
    activated: str
    activation: Activation
    slope: float = 0.0


@dataclass(frozen=True, slots=True)
class Channels:
    """The structure of a graph.

    Attributes:
        branches: Raw tensor -> its branch.
        groups: Lists of raw tensors that must have the same factors; each raw tensor that may
            be rescaled is in exactly one.
        parts: Activation -> raw tensors whose channels it holds, in order.
    """

    branches: Mapping[str, Branch]
    groups: tuple[tuple[str, ...], ...]
    parts: Mapping[str, tuple[str, ...]]


_CHANNEL_KEEPERS = frozenset({Kind.PAD, Kind.MAX_POOL_2D, Kind.RESIZE_NEAREST_NEIGHBOR})


def find_channels(graph: Graph) -> Channels:
    """Read the structure of a float graph as lowered."""
    branches = _branches(graph)
    owner = {branch.activated: branch.raw for branch in branches.values()}
    leader = {raw: raw for raw in branches}
    pinned: set[str] = set()
    parts: dict[str, tuple[str, ...]] = {}

    def find(raw: str) -> str:
        while leader[raw] != raw:
            raw = leader[raw]
        return raw

    for operator in graph.operators:
        output = operator.outputs[0]
        sources = [parts.get(name) for name in operator.inputs if graph.tensors[name].data is None]
        if output in owner:
            parts[output] = (owner[output],)
        elif operator.kind in CONVOLUTIONS or _is_gate(operator, branches):
            continue
        elif operator.kind in _CHANNEL_KEEPERS and sources[0] is not None:
            parts[output] = sources[0]
        elif operator.kind is Kind.CONCATENATION and all(source is not None for source in sources):
            parts[output] = tuple(raw for source in sources for raw in source or ())
        elif operator.kind is Kind.ADD and _alike(graph, sources):
            first, second = (source or () for source in sources)
            for one, other in zip(first, second, strict=True):
                leader[find(other)] = find(one)
            parts[output] = first
        else:
            pinned |= {raw for source in sources for raw in source or ()}
    for name in graph.outputs:
        pinned |= set(parts.get(name, ()))
    fixed = {find(raw) for raw in pinned}
    members: dict[str, list[str]] = {}
    for raw in branches:
        if find(raw) not in fixed:
            members.setdefault(find(raw), []).append(raw)
    return Channels(branches, tuple(map(tuple, members.values())), parts)


def _branches(graph: Graph) -> dict[str, Branch]:
    readers = graph.consumers()
    found = {}
    for operator in graph.operators:
        if operator.kind not in CONVOLUTIONS:
            continue
        raw = operator.outputs[0]
        behind = readers.get(raw, [])
        branch = None if raw in graph.outputs else _silu(raw, behind) or _leaky(raw, behind)
        if branch is not None:
            found[raw] = branch
    return found


def _silu(raw: str, behind: list[Operator]) -> Branch | None:
    gates = [operator for operator in behind if operator.kind is Kind.LOGISTIC]
    products = [operator for operator in behind if operator.kind is Kind.MUL]
    if len(behind) != 2 or len(gates) != 1 or len(products) != 1:
        return None
    if {*products[0].inputs} != {raw, gates[0].outputs[0]}:
        return None
    return Branch(raw, products[0].outputs[0], Activation.SILU)


def _leaky(raw: str, behind: list[Operator]) -> Branch | None:
    if len(behind) != 1 or behind[0].kind not in (Kind.LEAKY_RELU, Kind.RELU):
        return None
    slope = getattr(behind[0].options, "alpha", 0.0)
    return Branch(raw, behind[0].outputs[0], Activation.LEAKY, slope)


def _is_gate(operator: Operator, branches: Mapping[str, Branch]) -> bool:
    return operator.source == DECODE or (
        operator.kind is Kind.LOGISTIC and operator.inputs[0] in branches
    )


def _alike(graph: Graph, sources: list[tuple[str, ...] | None]) -> bool:
    """Whether two operands consist of pieces of the same widths."""
    if len(sources) != 2 or None in sources:
        return False
    first, second = ([graph.tensors[raw].shape[-1] for raw in source or ()] for source in sources)
    return first == second
