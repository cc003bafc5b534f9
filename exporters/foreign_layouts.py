"""What exports of other tools look like, family by family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from edgeyolo.models.architecture import AnchorsPx
from edgeyolo.models.yolov7_plans import PLANS
from edgeyolo.spec import Family


class Columns(str, Enum):
    """What the first four columns of a (B, N, 5+C) output are.

    LOGITS: box terms before decoding (official YOLOX export, ``decode_in_inference`` off).
    PIXELS: centre x, centre y, width, height in input pixels (YOLOv7 ``--grid``).
    """

    LOGITS = "logits"
    PIXELS = "pixels"


@dataclass(frozen=True, slots=True)
class ForeignLayout:
    """The one tensor (B, N, 5+C) of a family's exports.

    Attributes:
        columns: Of the official export.
        decodable: Whether undecoded columns can be decoded.
        anchors_per_cell: Boxes of one cell.
        anchors_px: By the number of levels, those to record; boxes come decoded. Empty for
            anchor-free families.
    """

    columns: Columns
    decodable: bool
    anchors_per_cell: int
    anchors_px: Mapping[int, AnchorsPx]


FOREIGN_LAYOUTS: Mapping[Family, ForeignLayout] = {
    Family.YOLOX: ForeignLayout(Columns.LOGITS, decodable=True, anchors_per_cell=1, anchors_px={}),
    Family.YOLOV7: ForeignLayout(
        Columns.PIXELS,
        decodable=False,
        anchors_per_cell=3,
        anchors_px={3: PLANS["l"].anchors_px, 4: PLANS["w6"].anchors_px},
    ),
}
