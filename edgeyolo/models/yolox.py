"""YOLOX: modified CSP-Darknet, PAFPN neck, decoupled anchor-free head.

Source: arXiv 2107.08430 and the published behaviour of the official repository at 6ddff48.
Module names give the official state-dict keys (``backbone.backbone.dark2.0.conv.weight``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeyolo.models.architecture import Architecture, Form
from edgeyolo.models.detector import Detector, HeadMaps, cell_grid
from edgeyolo.models.layers import (
    ConvUnit,
    DepthwiseUnit,
    PyramidPools,
    UnitStyle,
    space_to_depth,
)

STRIDES = (8, 16, 32)

# Share of positive cells that an untrained class or objectness output predicts.
_PRIOR_PROBABILITY = 0.01

SpatialUnit = Callable[[UnitStyle, int, int, int, int], nn.Module]
"""Makes the 3x3 units: ``ConvUnit``, or ``DepthwiseUnit`` in nano."""


class Bottleneck(nn.Module):
    """1x1 unit, 3x3 unit, and the input added where *shortcut* is on."""

    def __init__(
        self, style: UnitStyle, spatial: SpatialUnit, channels: int, *, shortcut: bool
    ) -> None:
        super().__init__()
        self.conv1 = ConvUnit(style, channels, channels, 1)
        self.conv2 = spatial(style, channels, channels, 3, 1)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(self.conv1(x))
        return y + x if self.shortcut else y


class CspLayer(nn.Module):
    """Half of the channels pass *repeats* bottlenecks, half go past them."""

    def __init__(
        self,
        style: UnitStyle,
        spatial: SpatialUnit,
        in_channels: int,
        out_channels: int,
        repeats: int,
        *,
        shortcut: bool,
    ) -> None:
        super().__init__()
        hidden = out_channels // 2
        self.conv1 = ConvUnit(style, in_channels, hidden, 1)
        self.conv2 = ConvUnit(style, in_channels, hidden, 1)
        self.conv3 = ConvUnit(style, 2 * hidden, out_channels, 1)
        self.m = nn.Sequential(
            *(Bottleneck(style, spatial, hidden, shortcut=shortcut) for _ in range(repeats))
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(  # type: ignore[no-any-return]
            torch.cat((self.m(self.conv1(x)), self.conv2(x)), dim=1)
        )


class SpatialPyramid(nn.Module):
    """1x1 unit to half the channels, pools of three sizes beside it, 1x1 unit."""

    def __init__(self, style: UnitStyle, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = ConvUnit(style, in_channels, in_channels // 2, 1)
        self.pools = PyramidPools(chained=style.chained_pools)
        self.conv2 = ConvUnit(style, in_channels // 2 * 4, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.pools(self.conv1(x)))  # type: ignore[no-any-return]


class Focus(nn.Module):
    """Space to depth, then a 3x3 unit; one 6x6 stride-2 convolution in the export form."""

    def __init__(self, style: UnitStyle, out_channels: int) -> None:
        super().__init__()
        self.merged = style.merged_stem
        self.conv = (
            ConvUnit(style, 3, out_channels, 6, 2)
            if self.merged
            else ConvUnit(style, 12, out_channels, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x if self.merged else space_to_depth(x))  # type: ignore[no-any-return]


class Darknet(nn.Module):
    """The backbone: maps of stride 8, 16 and 32 with 4, 8 and 16 times *base* channels."""

    def __init__(self, style: UnitStyle, spatial: SpatialUnit, base: int, depth: int) -> None:
        super().__init__()

        def stage(in_channels: int, repeats: int) -> list[nn.Module]:
            out_channels = 2 * in_channels
            return [
                spatial(style, in_channels, out_channels, 3, 2),
                CspLayer(style, spatial, out_channels, out_channels, repeats, shortcut=True),
            ]

        self.stem = Focus(style, base)
        self.dark2 = nn.Sequential(*stage(base, depth))
        self.dark3 = nn.Sequential(*stage(2 * base, 3 * depth))
        self.dark4 = nn.Sequential(*stage(4 * base, 3 * depth))
        top = 16 * base
        self.dark5 = nn.Sequential(
            spatial(style, 8 * base, top, 3, 2),
            SpatialPyramid(style, top, top),
            CspLayer(style, spatial, top, top, depth, shortcut=False),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        stride8 = self.dark3(self.dark2(self.stem(x)))
        stride16 = self.dark4(stride8)
        return stride8, stride16, self.dark5(stride16)


class PafpnNeck(nn.Module):
    """Backbone, then a top-down and a bottom-up path that mix its three maps."""

    def __init__(self, style: UnitStyle, spatial: SpatialUnit, base: int, depth: int) -> None:
        super().__init__()
        fine, middle, coarse = 4 * base, 8 * base, 16 * base

        def csp(in_channels: int, out_channels: int) -> CspLayer:
            return CspLayer(style, spatial, in_channels, out_channels, depth, shortcut=False)

        self.backbone = Darknet(style, spatial, base, depth)
        self.lateral_conv0 = ConvUnit(style, coarse, middle, 1)
        self.C3_p4 = csp(2 * middle, middle)
        self.reduce_conv1 = ConvUnit(style, middle, fine, 1)
        self.C3_p3 = csp(2 * fine, fine)
        self.bu_conv2 = spatial(style, fine, fine, 3, 2)
        self.C3_n3 = csp(2 * fine, middle)
        self.bu_conv1 = spatial(style, middle, middle, 3, 2)
        self.C3_n4 = csp(2 * middle, coarse)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        stride8, stride16, stride32 = self.backbone(x)
        top = self.lateral_conv0(stride32)
        middle = self.reduce_conv1(self.C3_p4(torch.cat((_doubled(top), stride16), dim=1)))
        out8 = self.C3_p3(torch.cat((_doubled(middle), stride8), dim=1))
        out16 = self.C3_n3(torch.cat((self.bu_conv2(out8), middle), dim=1))
        out32 = self.C3_n4(torch.cat((self.bu_conv1(out16), top), dim=1))
        return out8, out16, out32


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


class DecoupledHead(nn.Module):
    """Per level a stem, a class branch, and a box branch that also predicts objectness."""

    def __init__(self, style: UnitStyle, spatial: SpatialUnit, base: int, num_classes: int) -> None:
        super().__init__()
        width = 4 * base
        levels = range(len(STRIDES))

        def branch() -> nn.Sequential:
            return nn.Sequential(
                spatial(style, width, width, 3, 1), spatial(style, width, width, 3, 1)
            )

        # The order of these six is the order of the official state dict.
        self.cls_convs = nn.ModuleList(branch() for _ in levels)
        self.reg_convs = nn.ModuleList(branch() for _ in levels)
        self.cls_preds = nn.ModuleList(nn.Conv2d(width, num_classes, 1) for _ in levels)
        self.reg_preds = nn.ModuleList(nn.Conv2d(width, 4, 1) for _ in levels)
        self.obj_preds = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in levels)
        self.stems = nn.ModuleList(ConvUnit(style, width * 2**level, width, 1) for level in levels)
        self._set_prior()

    def _set_prior(self) -> None:
        bias = -math.log((1 - _PRIOR_PROBABILITY) / _PRIOR_PROBABILITY)
        for prediction in (*self.cls_preds, *self.obj_preds):
            nn.init.constant_(prediction.bias, bias)

    def forward(self, features: Sequence[Tensor]) -> list[HeadMaps]:
        return [self._level(level, x) for level, x in enumerate(features)]

    def _level(self, level: int, x: Tensor) -> HeadMaps:
        stem = self.stems[level](x)
        box_features = self.reg_convs[level](stem)
        return HeadMaps(
            box=self.reg_preds[level](box_features),
            objectness=self.obj_preds[level](box_features),
            classes=self.cls_preds[level](self.cls_convs[level](stem)),
        )


class Yolox(Detector):
    """YOLOX of any depth and width; see :class:`~edgeyolo.models.detector.Detector`."""

    strides = STRIDES

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        exported = architecture.form is Form.EXPORT
        style = UnitStyle(
            activation=architecture.activation,
            folded=architecture.folded,
            chained_pools=exported,
            merged_stem=exported,
        )
        spatial: SpatialUnit = DepthwiseUnit if architecture.depthwise else ConvUnit
        base = base_channels(architecture.width)
        depth = base_depth(architecture.depth)
        self.backbone = PafpnNeck(style, spatial, base, depth)
        self.head = DecoupledHead(style, spatial, base, architecture.num_classes)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [torch.cat(maps, dim=1) for maps in self.head_maps(x)]

    def head_maps(self, x: Tensor) -> list[HeadMaps]:
        self.check_input(x)
        return self.head(self.backbone(x))  # type: ignore[no-any-return]

    def decode(self, raw: Sequence[Tensor]) -> Tensor:
        return torch.cat(
            [_decode_level(logits, stride) for logits, stride in zip(raw, STRIDES, strict=True)],
            dim=1,
        )


def _decode_level(logits: Tensor, stride: int) -> Tensor:
    """(B, 5+C, H, W) logits to (B, H*W, 5+C) pixels and probabilities."""
    values = logits.permute(0, 2, 3, 1)
    centre = (values[..., :2] + cell_grid(logits)) * stride
    size = values[..., 2:4].exp() * stride
    return torch.cat((centre, size, values[..., 4:].sigmoid()), dim=-1).flatten(1, 2)


def base_channels(width: float) -> int:
    """Channels behind the stem; every other width is a power of two times this one."""
    return int(64 * width)


def base_depth(depth: float) -> int:
    """Bottlenecks in the shallow CSP layers; the two middle backbone stages have three times."""
    return max(round(3 * depth), 1)
