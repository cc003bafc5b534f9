"""Float values that the tensors of a TFLite graph take on the calibration pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.calibration.settings import Batches
from edgeyolo.calibration.tflite_plan import CONVOLUTIONS
from edgeyolo.errors import BackendError, needs, one_line
from edgeyolo.tflite.graph import DECODE, Graph, Kind, drop_unused
from edgeyolo.tflite.writer import to_bytes

# Rows kept per tensor, and bytes for all of them, whatever the number of pictures.
_MOST_ROWS = 3072
_MOST_BYTES = 256 << 20
# Two of them are the extremes.
_FEWEST_ROWS_PER_PICTURE = 6

# Weight of all extremes together. As heavy as the random rows they forbid all clipping, left out
# the tails go unseen. YOLOX-Nano (.2902 in float): .281 AP with 0.04, .284 with 0.1.
_EXTREMES_SHARE = 0.1
_ARITHMETIC = frozenset({Kind.ADD, Kind.SUB, Kind.MUL, Kind.DIV})


@dataclass(slots=True)
class TensorSamples:
    """One tensor with C channels.

    Attributes:
        rows: (n, C) float32: channel vectors at random places of all pictures, and each
            picture's smallest and largest value per channel, so that the tails are there.
        weights: (n,) float32 with sum 1: how much each row counts in a mean.
        low: (C,) smallest value on any picture.
        high: (C,) largest value.
        mean_low: (C,) mean over the pictures of the smallest value on each.
        mean_high: (C,) likewise, largest.
    """

    rows: NDArray[np.float32]
    weights: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    mean_low: NDArray[np.float32]
    mean_high: NDArray[np.float32]

    def scaled(self, factors: NDArray[np.float32]) -> TensorSamples:
        """The samples of a tensor whose channels are *factors* (> 0) times these."""
        return TensorSamples(
            self.rows * factors,
            self.weights,
            self.low * factors,
            self.high * factors,
            self.mean_low * factors,
            self.mean_high * factors,
        )


def sampled_tensors(graph: Graph) -> tuple[str, ...]:
    """Activations that are worth looking at: the others follow from these."""
    gates = {o.outputs[0] for o in graph.operators if o.kind is Kind.LOGISTIC}
    return tuple(
        operator.outputs[0]
        for operator in graph.operators
        if operator.source != DECODE
        and (operator.kind in CONVOLUTIONS or operator.kind in _ARITHMETIC)
        and not gates & {*operator.inputs}
    )


def collect(
    graph: Graph, batches: Batches, names: Iterable[str], *, seed: int = 0
) -> dict[str, TensorSamples]:
    """Run the float graph on every picture and keep a bounded sample.

    Args:
        names: Activations (B, H, W, C) to look at.
        seed: Of the random places.

    Raises:
        MissingPackageError: LiteRT is not installed.
        BackendError: LiteRT refuses the graph.
    """
    names = tuple(names)
    channels = sum(graph.tensors[name].shape[-1] for name in names)
    most_rows = min(_MOST_ROWS, max(256, _MOST_BYTES // (4 * max(1, channels))))
    batches = batches.sample(max(1, most_rows // _FEWEST_ROWS_PER_PICTURE))
    per_picture = max(_FEWEST_ROWS_PER_PICTURE, most_rows // max(1, len(batches)))
    random = np.random.default_rng(seed)
    observed: dict[str, list[TensorSamples]] = {name: [] for name in names}
    run = _runner(graph, names)
    for pixels in batches:
        for name, values in run(pixels).items():
            observed[name].append(_one_picture(values, per_picture - 2, random))
    return {name: _merged(parts, random) for name, parts in observed.items()}


def _one_picture(
    values: NDArray[np.float32], most: int, random: np.random.Generator
) -> TensorSamples:
    vectors = values[0].reshape(-1, values.shape[-1])
    low, high = vectors.min(axis=0), vectors.max(axis=0)
    chosen = random.integers(0, len(vectors), min(most, len(vectors)))
    rows = np.concatenate((vectors[chosen], low[None], high[None]))
    weights = np.ones(len(rows), np.float32)
    weights[-2:] = _EXTREMES_SHARE / (1 - _EXTREMES_SHARE) * len(chosen) / 2
    return TensorSamples(rows, weights, low, high, low, high)


def _merged(parts: list[TensorSamples], random: np.random.Generator) -> TensorSamples:
    rows = np.concatenate([part.rows for part in parts])
    weights = np.concatenate([part.weights for part in parts])
    # Shuffled, so that every n-th row is a fair sample as well.
    order = random.permutation(len(rows))
    return TensorSamples(
        rows[order],
        weights[order] / weights.sum(),
        np.minimum.reduce([part.low for part in parts]),
        np.maximum.reduce([part.high for part in parts]),
        np.stack([part.low for part in parts]).mean(axis=0),
        np.stack([part.high for part in parts]).mean(axis=0),
    )


def _runner(graph: Graph, names: tuple[str, ...]) -> Any:
    """A function: pixels (1, H, W, 3) to float values (B, H, W, C) by tensor name."""
    with needs("ai-edge-litert", extra="tflite"):
        from ai_edge_litert.interpreter import Interpreter

    watched = drop_unused(
        Graph(graph.tensors, graph.operators, graph.inputs, names, graph.metadata)
    )
    try:
        interpreter = Interpreter(model_content=to_bytes(watched))
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise BackendError(f"LiteRT refuses the float graph: {one_line(error)}") from error
    source = interpreter.get_input_details()[0]
    index = {item["name"]: item["index"] for item in interpreter.get_output_details()}

    count = int(source["shape"][0])

    def run(pixels: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        # A graph for several pictures sees the same one several times.
        batch = np.repeat(pixels.astype(source["dtype"], copy=False), count, axis=0)
        interpreter.set_tensor(source["index"], batch)
        interpreter.invoke()
        return {name: interpreter.get_tensor(place) for name, place in index.items()}

    return run
