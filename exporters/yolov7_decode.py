"""YOLOv7 decode as graph operators (arXiv 2207.02696; formulas as in the official tools)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgeyolo.exporters.grid import cell_grid
from edgeyolo.models.detector import HeadMaps
from edgeyolo.spec import ModelSpec


class YoloV7Decode(nn.Module):
    """Head maps to boxes (B, N, 4) xyxy in input pixels and scores (B, N, C), float32.

    N runs over level, anchor, row, column. Grids and anchors are constants of the input size;
    the batch size is left open, and reshapes use constant sizes. With one class the score is
    the objectness.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        if spec.anchors_px is None:
            raise ValueError(f"{spec.name} has no anchors; YOLOv7 heads cannot be decoded without")
        self.num_classes = spec.num_classes
        self.anchors = len(spec.anchors_px[0])
        self.cells: list[int] = []
        offsets, half_anchors, strides = [], [], []
        for stride, anchors in zip(spec.strides, spec.anchors_px, strict=True):
            height, width = (side // stride for side in spec.input_hw)
            cells = height * width
            self.cells.append(cells)
            # (2 s - 0.5 + cell) * stride = s * (2 stride) + (cell - 0.5) * stride
            offset = (cell_grid(height, width).view(1, 2, cells) - 0.5) * stride
            offsets.append(offset.repeat(1, 1, len(anchors)))
            # half of (2 s)^2 * anchor = s^2 * (2 anchor)
            sizes = torch.tensor(anchors, dtype=torch.float32).t() * 2.0
            half_anchors.append(sizes.repeat_interleave(cells, dim=1)[None])
            strides.append(torch.full((1, 1, cells * len(anchors)), 2.0 * stride))
        self.offset: Tensor
        self.half_anchor: Tensor
        self.double_stride: Tensor
        self.register_buffer("offset", torch.cat(offsets, dim=2))
        self.register_buffer("half_anchor", torch.cat(half_anchors, dim=2))
        self.register_buffer("double_stride", torch.cat(strides, dim=2))

    def forward(self, heads: Sequence[HeadMaps]) -> tuple[Tensor, Tensor]:
        place = self._join([head.box for head in heads], 4).sigmoid()
        objectness = self._join([head.objectness for head in heads], 1).sigmoid()
        centre_xy = place[:, :2] * self.double_stride + self.offset
        half_wh = place[:, 2:] * place[:, 2:] * self.half_anchor
        boxes_xyxy = torch.cat((centre_xy - half_wh, centre_xy + half_wh), dim=1)
        scores = objectness
        if self.num_classes > 1:
            classes = self._join([head.classes for head in heads], self.num_classes)
            scores = scores * classes.sigmoid()
        return boxes_xyxy.transpose(1, 2), scores.transpose(1, 2)

    def _join(self, maps: Sequence[Tensor], width: int) -> Tensor:
        """(B, A*width, H, W), anchor-major, of every level as one (B, width, N)."""
        flat = []
        for one, cells in zip(maps, self.cells, strict=True):
            split = one.reshape(-1, self.anchors, width, cells).transpose(1, 2)
            flat.append(split.reshape(-1, width, self.anchors * cells))
        return torch.cat(flat, dim=2)
