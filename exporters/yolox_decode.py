"""YOLOX decode as graph operators (arXiv 2107.08430, section 2.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgeyolo.exporters.grid import cell_grid
from edgeyolo.models.detector import HeadMaps
from edgeyolo.spec import ModelSpec


class YoloxDecode(nn.Module):
    """Head maps to boxes (B, N, 4) xyxy in input pixels and scores (B, N, C), float32.

    Grids are constants of the input size; the batch size is left open. Reshapes use constant
    sizes, so that no shape arithmetic enters the graph. Every level is brought into the order of
    the results before they are joined: OpenVINO's convolutions write channels last, and there the
    transposition in front is none, where one behind took 2 % of an INT8 YOLOX-Nano.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.num_classes = spec.num_classes
        self.cells: list[int] = []
        grids, strides = [], []
        for stride in spec.strides:
            height, width = (side // stride for side in spec.input_hw)
            self.cells.append(height * width)
            grids.append(cell_grid(height, width).view(1, 2, -1).transpose(1, 2))
            strides.append(torch.full((1, height * width, 1), float(stride)))
        self.grid: Tensor
        self.stride: Tensor
        self.register_buffer("grid", torch.cat(grids, dim=1))
        self.register_buffer("stride", torch.cat(strides, dim=1))

    def forward(self, heads: Sequence[HeadMaps]) -> tuple[Tensor, Tensor]:
        box = self._join([head.box for head in heads], 4)
        objectness = self._join([head.objectness for head in heads], 1)
        classes = self._join([head.classes for head in heads], self.num_classes)
        centre_xy = (box[..., :2] + self.grid) * self.stride
        half_wh = box[..., 2:].exp() * (self.stride * 0.5)
        boxes_xyxy = torch.cat((centre_xy - half_wh, centre_xy + half_wh), dim=2)
        return boxes_xyxy, objectness.sigmoid() * classes.sigmoid()

    def _join(self, maps: Sequence[Tensor], width: int) -> Tensor:
        """(B, width, H, W) of every level as one (B, N, width)."""
        flat = [
            one.permute(0, 2, 3, 1).reshape(-1, cells, width)
            for one, cells in zip(maps, self.cells, strict=True)
        ]
        return torch.cat(flat, dim=1)
