"""Convolutions and max pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeyolo.exporters.tflite_lowering import (
    CHANNELS_LAST,
    Lowering,
    Value,
    attributes,
    unsupported,
)
from edgeyolo.tflite.graph import ConvOptions, Kind, Padding, PoolOptions


def conv(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Ordinary and depthwise 2-D convolutions."""
    value = _image(lowering, node)
    weights = lowering.constant(node, 1)
    if weights.ndim != 4:
        raise unsupported(node, f"its weights are {weights.ndim}-D, not 4-D")
    out_channels, in_per_group, *kernel_hw = weights.shape
    settings = attributes(node)
    channels = lowering.onnx_shape(value)[1]
    group = settings.get("group", 1)
    depthwise = group > 1 and group == channels and in_per_group == 1
    if group > 1 and not depthwise:
        raise unsupported(node, f"group {group} of {channels} channels is not depthwise")
    stride_hw = _pair(settings.get("strides", (1, 1)))
    dilation_hw = _pair(settings.get("dilations", (1, 1)))
    source, padding = _padded(lowering, node, value, kernel_hw, stride_hw, dilation_hw)
    bias = lowering.optional(node, 2)
    if bias is None:
        bias = np.zeros(out_channels, np.float32)
    # Ordinary: (O, kh, kw, I). Depthwise: (1, kh, kw, C * multiplier).
    stored = weights.transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
    names = (
        lowering.graph.constant(node.input[1], stored.astype(np.float32)),
        lowering.graph.constant(f"{node.output[0]}_bias", bias.astype(np.float32)),
    )
    batch, height, width, _ = lowering.graph.tensors[source].shape
    shape = (
        batch,
        _out_side(height, kernel_hw[0], stride_hw[0], dilation_hw[0], padding),
        _out_side(width, kernel_hw[1], stride_hw[1], dilation_hw[1], padding),
        out_channels,
    )
    multiplier = out_channels // channels if depthwise else 0
    tensor = lowering.graph.add(
        Kind.DEPTHWISE_CONV_2D if depthwise else Kind.CONV_2D,
        (source, *names),
        node.output[0],
        shape,
        options=ConvOptions(padding, stride_hw, dilation_hw, multiplier),
        source=node.name,
    )
    lowering.result(node, tensor, CHANNELS_LAST)


def max_pool(lowering: Lowering, node: onnx.NodeProto) -> None:
    """Pools of stride 1 that keep the size, and pools without padding."""
    value = _image(lowering, node)
    settings = attributes(node)
    kernel_hw = _pair(settings["kernel_shape"])
    stride_hw = _pair(settings.get("strides", (1, 1)))
    top, left, bottom, right = pads_of(settings)
    if settings.get("ceil_mode", 0) or _pair(settings.get("dilations", (1, 1))) != (1, 1):
        raise unsupported(node, "ceil_mode and dilations are not known")
    kernel = kernel_hw[0]
    same = (top, left, bottom, right) == (kernel // 2,) * 4
    if stride_hw == (1, 1) and kernel_hw[1] == kernel and kernel % 2 and same:
        tensor = _same_pool(lowering, node, value.tensor, kernel)
    elif not any((top, left, bottom, right)):
        batch, height, width, channels = lowering.shape(value)
        shape = (
            batch,
            _out_side(height, kernel_hw[0], stride_hw[0], 1, Padding.VALID),
            _out_side(width, kernel_hw[1], stride_hw[1], 1, Padding.VALID),
            channels,
        )
        tensor = lowering.graph.add(
            Kind.MAX_POOL_2D,
            [value.tensor],
            node.output[0],
            shape,
            options=PoolOptions(Padding.VALID, kernel_hw, stride_hw),
            source=node.name,
        )
    else:
        raise unsupported(
            node, f"kernel {kernel_hw}, stride {stride_hw}, pads {(top, left, bottom, right)}"
        )
    lowering.result(node, tensor, CHANNELS_LAST)


def _same_pool(lowering: Lowering, node: onnx.NodeProto, source: str, kernel: int) -> str:
    """A stride-1 pool; from 7x7 on as a 5x5 pool of the pool that is four smaller (exact)."""
    if (source, kernel) in lowering.pools:
        return lowering.pools[source, kernel]
    chained = kernel > 5
    base = _same_pool(lowering, node, source, kernel - 4) if chained else source
    side = 5 if chained else kernel
    tensor = lowering.graph.add(
        Kind.MAX_POOL_2D,
        [base],
        f"{source}_max{kernel}",
        lowering.graph.tensors[source].shape,
        options=PoolOptions(Padding.SAME, (side, side), (1, 1)),
        source=node.name,
    )
    lowering.pools[source, kernel] = tensor
    return tensor


def pads_of(settings: dict[str, Any]) -> tuple[int, int, int, int]:
    """Top, left, bottom, right; negative where the node leaves them to a rule."""
    if settings.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return (-1, -1, -1, -1)
    top, left, bottom, right = settings.get("pads", (0, 0, 0, 0))
    return (int(top), int(left), int(bottom), int(right))


def _padded(
    lowering: Lowering,
    node: onnx.NodeProto,
    value: Value,
    kernel_hw: list[int],
    stride_hw: tuple[int, int],
    dilation_hw: tuple[int, int],
) -> tuple[str, Padding]:
    """The input of a convolution, padded where SAME would mean something else."""
    pads = pads_of(attributes(node))
    if min(pads) < 0:
        raise unsupported(node, "auto_pad is not known; give explicit pads")
    if not any(pads):
        return value.tensor, Padding.VALID
    top, left, bottom, right = pads
    batch, height, width, channels = lowering.shape(value)
    rows, columns = (
        _same_pads(side, kernel, stride, dilation)
        for side, kernel, stride, dilation in zip(
            (height, width), kernel_hw, stride_hw, dilation_hw, strict=True
        )
    )
    if (rows, columns) == ((top, bottom), (left, right)):
        return value.tensor, Padding.SAME
    # With kernel 3 and stride 2 SAME pads right and bottom only, PyTorch left and top as well.
    widths: NDArray[np.int32] = np.asarray([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
    padded = lowering.graph.add(
        Kind.PAD,
        [value.tensor, lowering.graph.constant(f"{node.output[0]}_pads", widths)],
        f"{node.output[0]}_padded",
        (batch, height + top + bottom, width + left + right, channels),
        source=node.name,
    )
    return padded, Padding.VALID


def _image(lowering: Lowering, node: onnx.NodeProto) -> Value:
    value = lowering.value(node, 0)
    if value.order != CHANNELS_LAST:
        raise unsupported(node, "its input is not (B, C, H, W)")
    return value


def _pair(values: Sequence[int]) -> tuple[int, int]:
    return int(values[0]), int(values[1])


def _same_pads(side: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Cells that TFLite's SAME adds before and after."""
    total = max((-(-side // stride) - 1) * stride + dilation * (kernel - 1) + 1 - side, 0)
    return total // 2, total - total // 2


def _out_side(side: int, kernel: int, stride: int, dilation: int, padding: Padding) -> int:
    if padding is Padding.SAME:
        return -(-side // stride)
    return (side - dilation * (kernel - 1) - 1) // stride + 1
