"""Artifacts for TensorRT, made on any workstation: networks and a recipe, no engine yet."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from edgeyolo.errors import BackendError, UnsupportedError
from edgeyolo.exporters.fp16_graph import Fp16Report, to_fp16, to_fp16_on_pictures
from edgeyolo.exporters.fp16_rules import Float32Reason
from edgeyolo.exporters.graph_types import constants_as_initializers, name_nodes
from edgeyolo.exporters.tensorrt_builder import BatchRange
from edgeyolo.exporters.tensorrt_integers import shorten_slice_bounds
from edgeyolo.exporters.tensorrt_pixels import cast_pixels_first
from edgeyolo.exporters.tensorrt_recipe import RECIPE_FILE, BuildRecipe, write_recipe
from edgeyolo.exporters.tensorrt_weights import float_weights_with_quantizers
from edgeyolo.spec import Precision

STRONG, WEAK, RTX = "network.onnx", "network_float32.onnx", "network_rtx.onnx"
DEFAULT_BATCH = BatchRange(1, 1, 8)
# Every TensorRT from 8.6 on reads them from one file; larger needs external data.
_MOST_BYTES = 2**31 - 2**20


def write_networks(
    folder: Path,
    network: onnx.ModelProto,
    precision: Precision,
    *,
    batches: Iterable[NDArray[Any]] = (),
    batch: BatchRange | None = None,
    rtx_network: onnx.ModelProto | None = None,
) -> tuple[tuple[str, ...], Fp16Report | None]:
    """Write what ``edgeyolo build`` builds from.

    Args:
        network: The float32 graph; for INT8 with symmetric Q/DQ pairs, biases float.
        batches: What the input takes; where given, FP32 islands are found on them.
        batch: For a dynamic batch.
        rtx_network: The same for TensorRT for RTX, where it cannot take *network*.

    Returns:
        Names of the files written, the one to check parity on first; what became FP16.

    Raises:
        UnsupportedError: Q/DQ pairs are missing, or there where none should be; pixels are
            computed with as bytes; an integer constant does not fit into INT32.
    """
    quantised = any(node.op_type == "QuantizeLinear" for node in network.graph.node)
    if quantised is not (precision is Precision.INT8):
        raise UnsupportedError(
            f"an artifact for tensorrt {precision} is made from a network "
            f"{'without' if quantised else 'with'} Q/DQ pairs"
        )
    report: Fp16Report | None = None
    files = [STRONG]
    network = _prepared(network)
    kept = list(batches)
    if precision is Precision.FP32:
        _write(folder / STRONG, network)
        recipe = BuildRecipe(strong=STRONG, weak=STRONG, batch=batch)
    else:
        typed, report = _typed(network, precision, kept)
        assert report is not None
        _write(folder / STRONG, typed)
        _write(folder / WEAK, float_weights_with_quantizers(network))
        files.append(WEAK)
        held = tuple(
            node.name for node in report.float32_nodes if node.reason is not Float32Reason.NEIGHBOUR
        )
        recipe = BuildRecipe(strong=STRONG, weak=WEAK, float32_layers=held, batch=batch)
    if rtx_network is not None:
        _write(folder / RTX, _typed(_prepared(rtx_network), precision, kept)[0])
        files.append(RTX)
        recipe = dataclasses.replace(recipe, rtx=RTX)
    write_recipe(folder, recipe)
    return (*files, RECIPE_FILE), report


def _typed(
    network: onnx.ModelProto, precision: Precision, batches: Sequence[NDArray[Any]]
) -> tuple[onnx.ModelProto, Fp16Report | None]:
    """The network for strong typing."""
    if precision is Precision.FP32:
        return network, None
    return to_fp16_on_pictures(network, batches) if batches else to_fp16(network)


def _prepared(network: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that TensorRT reads, whose nodes bear the names that the recipe speaks of."""
    copy = onnx.ModelProto()
    copy.CopyFrom(network)
    constants_as_initializers(copy)
    name_nodes(copy.graph)
    shorten_slice_bounds(copy)
    cast_pixels_first(copy)
    return copy


def _write(path: Path, network: onnx.ModelProto) -> None:
    if network.ByteSize() > _MOST_BYTES:
        raise BackendError(
            f"the network is {network.ByteSize() / 1e9:.1f} GB, at most 2 are possible"
        )
    path.write_bytes(network.SerializeToString())
