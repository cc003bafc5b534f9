"""What every detector offers, whatever its family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from edgeyolo.models.architecture import AnchorsPx, Architecture
from edgeyolo.spec import Family


class HeadMaps(NamedTuple):
    """Logits of one level, as the prediction convolutions give them; A anchors per cell.

    Attributes:
        box: (B, A*4, H, W), anchor-major.
        objectness: (B, A, H, W).
        classes: (B, A*C, H, W), anchor-major.
    """

    box: Tensor
    objectness: Tensor
    classes: Tensor


class Detector(nn.Module, ABC):
    """A network from preprocessed pictures to logits.

    The input is float32 NCHW, preprocessed as the family wants it (YOLOX: BGR 0..255, YOLOv7:
    RGB 0..1), with sides that are multiples of the coarsest stride.

    Attributes:
        architecture: What was built.
        strides: Input pixels per cell, per level, fine to coarse.
    """

    architecture: Architecture
    strides: tuple[int, ...]

    @property
    def family(self) -> Family:
        return self.architecture.family

    @property
    def variant(self) -> str:
        return self.architecture.variant

    @property
    def num_classes(self) -> int:
        return self.architecture.num_classes

    @property
    def anchors_px(self) -> AnchorsPx | None:
        return self.architecture.anchors_px

    @property
    def input_multiple(self) -> int:
        """Input sides must be multiples of this many pixels."""
        return max(self.strides)

    @abstractmethod
    def forward(self, x: Tensor) -> list[Tensor]:
        """Raw logits per level, fine to coarse, before any decoding.

        Returns:
            YOLOX: (B, 5+C, H, W), channels box 4, objectness 1, classes C.
            YOLOv7: (B, A, H, W, 5+C), implicit terms applied; in train mode the auxiliary
            levels of P6 training forms follow the lead levels.
        """

    @abstractmethod
    def head_maps(self, x: Tensor) -> list[HeadMaps]:
        """The logits of :meth:`forward` (without auxiliary levels), split by meaning."""

    @abstractmethod
    def decode(self, raw: Sequence[Tensor]) -> Tensor:
        """Boxes and scores as the official models return them.

        Args:
            raw: What :meth:`forward` gave in eval mode.

        Returns:
            (B, N, 5+C): centre x, centre y, width, height in input pixels, then objectness and
            class probabilities, not multiplied. Order of N: level, anchor, row, column.
        """

    def check_input(self, x: Tensor) -> None:
        """Raise ``ValueError`` unless *x* is (B, 3, H, W) with sides the network can halve."""
        # While a graph is recorded, sizes are values of the graph, not numbers to compare.
        if torch.jit.is_tracing():  # type: ignore[attr-defined]
            return
        sides = x.shape[2:]
        if x.ndim != 4 or x.shape[1] != 3 or any(side % self.input_multiple for side in sides):
            raise ValueError(
                f"{self.architecture.name} takes (B, 3, H, W) with H and W multiples of "
                f"{self.input_multiple}, got {tuple(x.shape)}"
            )


def cell_grid(like: Tensor) -> Tensor:
    """(H, W, 2) column and row of every cell of a map whose last two axes are H and W."""
    rows = torch.arange(like.shape[-2], device=like.device, dtype=like.dtype)
    columns = torch.arange(like.shape[-1], device=like.device, dtype=like.dtype)
    row_map, column_map = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack((column_map, row_map), dim=-1)
