"""Exact rewrites of weights: the same function with fewer operations.

All sums are taken in float64 and rounded once, so that the result is the nearest float32
network to the exact one, also for weights that were stored in half precision.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from edgeyolo.models.layers import BN_EPS

State = Mapping[str, Tensor]


def batch_norm_scale_shift(state: State, prefix: str) -> tuple[Tensor, Tensor]:
    """A batch norm as ``y = x * scale + shift`` per channel, float64."""
    gamma, beta, mean, variance = (
        state[f"{prefix}.{name}"].double()
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / torch.sqrt(variance + BN_EPS)
    return scale, beta - mean * scale


def folded_batch_norm(state: State, conv: str, norm: str) -> tuple[Tensor, Tensor]:
    """Weight and bias, float64, of one convolution that does *conv* and then *norm*."""
    scale, shift = batch_norm_scale_shift(state, norm)
    weight = state[f"{conv}.weight"].double() * scale[:, None, None, None]
    bias = state.get(f"{conv}.bias")
    return weight, shift if bias is None else shift + bias.double() * scale


def merged_branches(state: State, prefix: str) -> tuple[Tensor, Tensor]:
    """Weight and bias, float64, of the 3x3 convolution that a RepConv block amounts to.

    The sum of convolutions is the convolution with the sum of kernels: the 1x1 kernel sits in
    the centre of the 3x3, the identity branch is a one there per channel.
    """
    weight, bias = folded_batch_norm(state, f"{prefix}.rbr_dense.0", f"{prefix}.rbr_dense.1")
    point, point_bias = folded_batch_norm(state, f"{prefix}.rbr_1x1.0", f"{prefix}.rbr_1x1.1")
    weight = weight + functional.pad(point, (1, 1, 1, 1))
    bias = bias + point_bias
    if f"{prefix}.rbr_identity.weight" in state:
        scale, shift = batch_norm_scale_shift(state, f"{prefix}.rbr_identity")
        identity = torch.diag(scale)[:, :, None, None]
        weight = weight + functional.pad(identity, (1, 1, 1, 1))
        bias = bias + shift
    return weight, bias


def folded_implicit(
    weight: Tensor, bias: Tensor, added: Tensor, factor: Tensor
) -> tuple[Tensor, Tensor]:
    """Weight and bias, float64, of ``(conv(x + added)) * factor`` for a 1x1 convolution.

    Args:
        weight: (out, in, 1, 1).
        bias: (out,).
        added: (1, in, 1, 1), implicit knowledge added to the input.
        factor: (1, out, 1, 1), implicit knowledge multiplied onto the output.
    """
    weight, bias, factor = weight.double(), bias.double(), factor.double().reshape(-1)
    shifted = bias + weight[:, :, 0, 0] @ added.double().reshape(-1)
    return weight * factor[:, None, None, None], shifted * factor


def merged_space_to_depth(weight: Tensor) -> Tensor:
    """(out, 12, 3, 3) behind space-to-depth as (out, 3, 6, 6) with stride 2 and padding 2."""
    out_channels = weight.shape[0]
    merged = weight.new_zeros(out_channels, 3, 6, 6)
    for group, (row, column) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1))):
        merged[:, :, row::2, column::2] = weight[:, 3 * group : 3 * group + 3]
    return merged
