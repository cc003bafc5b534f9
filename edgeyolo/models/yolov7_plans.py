"""The seven YOLOv7 networks as plans of blocks.

Compound scaling lives here, in :class:`CompoundScale`, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from edgeyolo.models.architecture import AnchorsPx
from edgeyolo.models.layer_list import LayerListBuilder, Node
from edgeyolo.models.yolov7_blocks import (
    DoubleElan,
    Taps,
    down_c,
    e_elan,
    elan,
    mp_conv,
    plain_pyramid,
    rep_conv,
    space_to_depth_stem,
    sppcspc,
    strided_conv,
)


@dataclass(frozen=True, slots=True)
class CompoundScale:
    """Depth and width of concatenation-based blocks, scaled together (arXiv 2207.02696, 3.2).

    A deeper ELAN concatenates more maps, so its output widens by itself; the transitions
    between blocks are widened by the matching factor. Widths inside the blocks stay.

    Attributes:
        convs: 3x3 convolutions in the chain of every ELAN.
        transition: Factor of the widths between blocks.
    """

    convs: int
    transition: float

    def __call__(self, channels: int) -> int:
        """A transition width after scaling."""
        return int(channels * self.transition)


BASE = CompoundScale(convs=4, transition=1.0)
"""l and w6, from which x, e6 and d6 are scaled."""
DEPTH_1_5 = CompoundScale(convs=6, transition=1.25)
DEPTH_2 = CompoundScale(convs=8, transition=1.5)


@dataclass(frozen=True, slots=True)
class HeadInputs:
    """Nodes that the detection layer reads, fine to coarse.

    Attributes:
        lead: One per level.
        auxiliary: One per level in training forms of P6 networks, else none.
    """

    lead: tuple[Node, ...]
    auxiliary: tuple[Node, ...] = ()


Builder = Callable[[LayerListBuilder, Node, bool], HeadInputs]
"""Adds all layers but the detection layer: (network, picture, with auxiliary heads)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One of the seven networks.

    Attributes:
        add_layers: Writes it down.
        strides: Input pixels per cell, fine to coarse.
        anchors_px: Published anchors.
        training_head: Number of the detection layer in the training form.
        deploy_head: The same without auxiliary heads.
    """

    add_layers: Builder
    strides: tuple[int, ...]
    anchors_px: AnchorsPx
    training_head: int
    deploy_head: int


def _tiny(net: LayerListBuilder, picture: Node, _auxiliary: bool) -> HeadInputs:
    def block(x: Node, hidden: int) -> Node:
        return elan(net, x, hidden, hidden, 2 * hidden, convs=2, taps=Taps.ALL)

    def down(x: Node) -> Node:
        return net.max_pool(x, 2, 2)

    stride4 = block(net.conv(net.conv(picture, 32, 3, 2), 64, 3, 2), 32)
    stride8 = block(down(stride4), 64)
    stride16 = block(down(stride8), 128)
    stride32 = block(down(stride16), 256)

    past = net.conv(stride32, 256)
    pooled = net.conv(plain_pyramid(net, net.conv(stride32, 256)), 256)
    top = net.conv(net.concat(pooled, past), 256)

    middle = block(_enlarged(net, top, 128, stride16), 64)
    out8 = block(_enlarged(net, middle, 64, stride8), 32)
    out16 = block(net.concat(net.conv(out8, 128, 3, 2), middle), 64)
    out32 = block(net.concat(net.conv(out16, 256, 3, 2), top), 128)
    return HeadInputs((net.conv(out8, 128, 3), net.conv(out16, 256, 3), net.conv(out32, 512, 3)))


def _enlarged(net: LayerListBuilder, coarse: Node, out: int, route: Node) -> Node:
    """Top-down step: the coarse map enlarged, behind the backbone's map of that size."""
    enlarged = net.upsample(net.conv(coarse, out))
    return net.concat(net.conv(route, out), enlarged)


def _p5(
    net: LayerListBuilder,
    picture: Node,
    _auxiliary: bool,
    *,
    scale: CompoundScale,
    neck_taps: Taps,
    lead: Callable[[LayerListBuilder, Node, int], Node],
) -> HeadInputs:
    """l and x: MP-conv between stages, three levels."""

    def stage(x: Node, hidden: int, out: int) -> Node:
        return elan(net, x, hidden, hidden, scale(out), convs=scale.convs, taps=Taps.EVEN)

    def neck(x: Node, hidden: int, out: int) -> Node:
        # l taps every convolution and makes them half as wide; x repeats the backbone's style.
        width = hidden // 2 if neck_taps is Taps.ALL else hidden
        return elan(net, x, hidden, width, scale(out), convs=scale.convs, taps=neck_taps)

    x = net.conv(picture, scale(32), 3)
    x = net.conv(net.conv(x, scale(64), 3, 2), scale(64), 3)
    stride4 = stage(net.conv(x, scale(128), 3, 2), 64, 256)
    stride8 = stage(mp_conv(net, stride4, scale(128)), 128, 512)
    stride16 = stage(mp_conv(net, stride8, scale(256)), 256, 1024)
    stride32 = stage(mp_conv(net, stride16, scale(512)), 256, 1024)

    top = sppcspc(net, stride32, scale(512))
    middle = neck(_enlarged(net, top, scale(256), stride16), 256, 256)
    out8 = neck(_enlarged(net, middle, scale(128), stride8), 128, 128)
    out16 = neck(mp_conv(net, out8, scale(128), middle), 256, 256)
    out32 = neck(mp_conv(net, out16, scale(256), top), 512, 512)
    return HeadInputs(
        (lead(net, out8, scale(256)), lead(net, out16, scale(512)), lead(net, out32, scale(1024)))
    )


def _plain_lead(net: LayerListBuilder, x: Node, out: int) -> Node:
    return net.conv(x, out, 3)


def _single(
    net: LayerListBuilder, x: Node, hidden: int, width: int, out: int, *, convs: int, taps: Taps
) -> DoubleElan:
    """One ELAN where E6E has two; the auxiliary heads then read the block's only output."""
    only = elan(net, x, hidden, width, out, convs=convs, taps=taps)
    return DoubleElan(total=only, second=only)


def _p6(
    net: LayerListBuilder,
    picture: Node,
    auxiliary: bool,
    *,
    scale: CompoundScale,
    down: Callable[[LayerListBuilder, Node, int], Node],
    block: Callable[..., DoubleElan],
    auxiliary_widths: tuple[int, int, int, int],
) -> HeadInputs:
    """w6, e6, d6, e6e: space-to-depth stem, five stages, four levels."""

    def stage(x: Node, hidden: int, out: int) -> Node:
        halved = down(net, x, scale(out))
        return block(  # the backbone taps every second convolution
            net, halved, hidden, hidden, scale(out), convs=scale.convs, taps=Taps.EVEN
        ).total

    def neck(x: Node, hidden: int, out: int) -> DoubleElan:
        return block(net, x, hidden, hidden // 2, scale(out), convs=scale.convs, taps=Taps.ALL)

    stride4 = stage(space_to_depth_stem(net, picture, scale(64)), 64, 128)
    stride8 = stage(stride4, 128, 256)
    stride16 = stage(stride8, 256, 512)
    stride32 = stage(stride16, 384, 768)
    stride64 = stage(stride32, 512, 1024)

    top = sppcspc(net, stride64, scale(512))
    coarse = neck(_enlarged(net, top, scale(384), stride32), 384, 384)
    middle = neck(_enlarged(net, coarse.total, scale(256), stride16), 256, 256)
    fine = neck(_enlarged(net, middle.total, scale(128), stride8), 128, 128)
    out16 = neck(net.concat(down(net, fine.total, scale(256)), middle.total), 256, 256)
    out32 = neck(net.concat(down(net, out16.total, scale(384)), coarse.total), 384, 384)
    out64 = neck(net.concat(down(net, out32.total, scale(512)), top), 512, 512)

    lead_reads = (fine.total, out16.total, out32.total, out64.total)
    lead = tuple(
        net.conv(x, scale(width), 3)
        for x, width in zip(lead_reads, (256, 512, 768, 1024), strict=True)
    )
    if not auxiliary:
        return HeadInputs(lead)
    # Coarse-to-fine supervision: these heads see the network before its bottom-up path.
    auxiliary_reads = (fine.second, middle.second, coarse.second, top)
    return HeadInputs(
        lead,
        tuple(
            net.conv(x, width, 3)
            for x, width in zip(auxiliary_reads, auxiliary_widths, strict=True)
        ),
    )


_TINY_ANCHORS: AnchorsPx = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
_P5_ANCHORS: AnchorsPx = (
    ((12, 16), (19, 36), (40, 28)),
    ((36, 75), (76, 55), (72, 146)),
    ((142, 110), (192, 243), (459, 401)),
)
_P6_ANCHORS: AnchorsPx = (
    ((19, 27), (44, 40), (38, 94)),
    ((96, 68), (86, 152), (180, 137)),
    ((140, 301), (303, 264), (238, 542)),
    ((436, 615), (739, 380), (925, 792)),
)
_P5_STRIDES = (8, 16, 32)
_P6_STRIDES = (8, 16, 32, 64)


def _p5_plan(layers: Builder, head: int) -> Plan:
    return Plan(layers, _P5_STRIDES, _P5_ANCHORS, training_head=head, deploy_head=head)


def _p6_plan(
    scale: CompoundScale,
    down: Callable[[LayerListBuilder, Node, int], Node],
    block: Callable[..., DoubleElan],
    auxiliary_widths: tuple[int, int, int, int],
    head: int,
) -> Plan:
    layers = partial(_p6, scale=scale, down=down, block=block, auxiliary_widths=auxiliary_widths)
    levels = len(_P6_STRIDES)  # one auxiliary layer each
    return Plan(layers, _P6_STRIDES, _P6_ANCHORS, training_head=head, deploy_head=head - levels)


PLANS: Mapping[str, Plan] = {
    "tiny": Plan(_tiny, _P5_STRIDES, _TINY_ANCHORS, training_head=77, deploy_head=77),
    "l": _p5_plan(partial(_p5, scale=BASE, neck_taps=Taps.ALL, lead=rep_conv), 105),
    "x": _p5_plan(partial(_p5, scale=DEPTH_1_5, neck_taps=Taps.EVEN, lead=_plain_lead), 121),
    "w6": _p6_plan(BASE, strided_conv, _single, (320, 640, 960, 1280), 122),
    "e6": _p6_plan(DEPTH_1_5, down_c, _single, (320, 640, 960, 1280), 144),
    "d6": _p6_plan(DEPTH_2, down_c, _single, (384, 768, 1152, 1536), 166),
    "e6e": _p6_plan(DEPTH_1_5, down_c, e_elan, (320, 640, 960, 1280), 265),
}
"""Keyed by variant."""
