"""One TFLite operator computed in float32 by torch, channels-last in and out."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeyolo.errors import UnsupportedError, needs
from edgeyolo.tflite.graph import (
    AxisOptions,
    BlockOptions,
    ConvOptions,
    Graph,
    Kind,
    LeakyOptions,
    Operator,
    Padding,
    PoolOptions,
    SliceOptions,
)

# torch.Tensor, named here because torch is imported where it is used.
Array = Any


def compute(
    graph: Graph, operator: Operator, operands: list[Array], pad_value: float = 0.0
) -> list[Array]:
    """Results of an operator.

    Args:
        operands: Torch tensors in the order of the operator's inputs; constants as in the graph.
        pad_value: What PAD fills with.

    Raises:
        UnsupportedError: An operator of the decode, which is never simulated.
    """
    with needs("torch", extra="quantize"):
        import torch
        import torch.nn.functional as functional
    kind, options = operator.kind, operator.options
    first = operands[0]
    if kind in (Kind.CONV_2D, Kind.DEPTHWISE_CONV_2D):
        assert isinstance(options, ConvOptions)
        return [convolve(first, operands[1], operands[2], options, kind)]
    if kind is Kind.LOGISTIC:
        return [torch.sigmoid(first)]
    if kind is Kind.MUL:
        return [first * operands[1]]
    if kind is Kind.ADD:
        return [first + operands[1]]
    if kind is Kind.SUB:
        return [first - operands[1]]
    if kind is Kind.DIV:
        return [first / operands[1]]
    if kind is Kind.RELU:
        return [torch.relu(first)]
    if kind is Kind.LEAKY_RELU:
        assert isinstance(options, LeakyOptions)
        return [functional.leaky_relu(first, options.alpha)]
    if kind is Kind.CAST:
        return [first.float()]
    if kind is Kind.CONCATENATION:
        assert isinstance(options, AxisOptions)
        return [torch.cat(operands, options.axis)]
    if kind is Kind.MAX_POOL_2D:
        assert isinstance(options, PoolOptions)
        padding = options.kernel_hw[0] // 2 if options.padding is Padding.SAME else 0
        pooled = functional.max_pool2d(
            first.permute(0, 3, 1, 2), options.kernel_hw, options.stride_hw, padding
        )
        return [pooled.permute(0, 2, 3, 1)]
    if kind is Kind.RESIZE_NEAREST_NEIGHBOR:
        height, width = (int(side) for side in operands[1])
        rows = height // first.shape[1]
        columns = width // first.shape[2]
        return [first.repeat_interleave(rows, 1).repeat_interleave(columns, 2)]
    if kind is Kind.PAD:
        widths = [int(n) for pair in reversed(operands[1].tolist()) for n in pair]
        return [functional.pad(first, widths, value=pad_value)]
    if kind is Kind.GATHER:
        assert isinstance(options, AxisOptions)
        return [first.index_select(options.axis, operands[1].long())]
    if kind is Kind.SPLIT_V:
        return list(torch.split(first, operands[1].tolist(), int(operands[2])))
    if kind is Kind.STRIDED_SLICE:
        assert isinstance(options, SliceOptions)
        return [_strided_slice(first, operands[1:], options)]
    if kind is Kind.SPACE_TO_DEPTH:
        assert isinstance(options, BlockOptions)
        block = options.block_size
        batch, height, width, channels = first.shape
        cells = first.reshape(batch, height // block, block, width // block, block, channels)
        return [cells.permute(0, 1, 3, 2, 4, 5).reshape(
            batch, height // block, width // block, block * block * channels
        )]  # fmt: skip
    raise UnsupportedError(f"tflite int8: {operator.source!r} ({kind.value}) is not simulated")


def convolve(image: Array, weights: Array, bias: Array, options: ConvOptions, kind: Kind) -> Array:
    """A convolution on (B, H, W, C) with weights as TFLite stores them."""
    import torch.nn.functional as functional

    depthwise = kind is Kind.DEPTHWISE_CONV_2D
    # (1, kh, kw, C) to (C, 1, kh, kw); (O, kh, kw, I) to (O, I, kh, kw).
    kernel = weights.permute((3, 0, 1, 2) if depthwise else (0, 3, 1, 2)).contiguous()
    channels_first = image.permute(0, 3, 1, 2)
    if options.padding is Padding.SAME:
        widths: list[int] = []
        for axis in (3, 2):
            side, stride = channels_first.shape[axis], options.stride_hw[axis - 2]
            reach = options.dilation_hw[axis - 2] * (kernel.shape[axis] - 1) + 1
            total = max((-(-side // stride) - 1) * stride + reach - side, 0)
            widths += [total // 2, total - total // 2]
        channels_first = functional.pad(channels_first, widths)
    result = functional.conv2d(
        channels_first,
        kernel,
        bias,
        options.stride_hw,
        0,
        options.dilation_hw,
        image.shape[3] if depthwise else 1,
    )
    return result.permute(0, 2, 3, 1)


def _strided_slice(image: Array, bounds: list[Array], options: SliceOptions) -> Array:
    begin, end, strides = (numbers.tolist() for numbers in bounds)
    for axis, (low, high, step) in enumerate(zip(begin, end, strides, strict=True)):
        side = image.shape[axis]
        from_start = bool(options.begin_mask >> axis & 1)
        to_end = bool(options.end_mask >> axis & 1)
        picked = np.arange(side)[slice(None if from_start else low, None if to_end else high, step)]
        if len(picked) != side or step != 1:
            import torch

            image = image.index_select(axis, torch.from_numpy(picked.copy()))
    return image
