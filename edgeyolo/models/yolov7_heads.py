"""YOLOv7's detection layer in its three forms: implicit knowledge, plain, split for export."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgeyolo.models.architecture import AnchorsPx
from edgeyolo.models.detector import HeadMaps, cell_grid

# Standard deviation of freshly initialised implicit knowledge, around 0 (added) or 1 (factor).
_IMPLICIT_STD = 0.02


class ImplicitKnowledge(nn.Module):
    """A learned vector that does not depend on the picture, (1, channels, 1, 1)."""

    def __init__(self, channels: int, mean: float) -> None:
        super().__init__()
        self.implicit = nn.Parameter(torch.empty(1, channels, 1, 1))
        nn.init.normal_(self.implicit, mean, _IMPLICIT_STD)


class DetectionLayer(nn.Module):
    """What every form has: anchors, and how logits are arranged and decoded.

    Attributes:
        anchors: (levels, A, 2) width and height in units of the level's stride.
        anchor_grid: (levels, 1, A, 1, 1, 2) the same in input pixels.
    """

    anchors: Tensor
    anchor_grid: Tensor

    def __init__(self, num_classes: int, anchors_px: AnchorsPx, strides: Sequence[int]) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.strides = tuple(strides)
        pixels = torch.tensor(anchors_px, dtype=torch.float32)
        self.anchors_per_cell = pixels.shape[1]
        per_stride = torch.tensor(self.strides, dtype=torch.float32).reshape(-1, 1, 1)
        self.register_buffer("anchors", pixels / per_stride)
        self.register_buffer("anchor_grid", pixels[:, None, :, None, None, :].clone())

    @property
    def outputs_per_anchor(self) -> int:
        """Box 4, objectness 1, classes."""
        return 5 + self.num_classes

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """(B, A, H, W, 5+C) logits per level, fine to coarse."""
        raise NotImplementedError

    def head_maps(self, features: Sequence[Tensor]) -> list[HeadMaps]:
        """The same logits, split by meaning."""
        raise NotImplementedError

    def decode(self, raw: Sequence[Tensor]) -> Tensor:
        """(B, N, 5+C): centre, size in pixels, probabilities; level, anchor, row, column."""
        levels = []
        for level, stride in enumerate(self.strides):
            values = raw[level].sigmoid()
            grid = cell_grid(values[..., 0])
            centre = (values[..., :2] * 2 - 0.5 + grid) * stride
            size = (values[..., 2:4] * 2) ** 2 * self.anchor_grid[level]
            levels.append(torch.cat((centre, size, values[..., 4:]), dim=-1).flatten(1, 3))
        return torch.cat(levels, dim=1)

    def _arranged(self, logits: Tensor) -> Tensor:
        """(B, A*(5+C), H, W), anchor-major, as (B, A, H, W, 5+C)."""
        batch, _, height, width = logits.shape
        apart = logits.view(batch, self.anchors_per_cell, self.outputs_per_anchor, height, width)
        return apart.permute(0, 1, 3, 4, 2)

    def _split(self, logits: Tensor) -> HeadMaps:
        """(B, A*(5+C), H, W), anchor-major, as three maps."""
        batch, _, height, width = logits.shape
        apart = logits.view(batch, self.anchors_per_cell, self.outputs_per_anchor, height, width)
        return HeadMaps(
            box=apart[:, :, :4].flatten(1, 2),
            objectness=apart[:, :, 4],
            classes=apart[:, :, 5:].flatten(1, 2),
        )


class PlainHead(DetectionLayer):
    """Deploy form: one 1x1 convolution per level."""

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        anchors_px: AnchorsPx,
        strides: Sequence[int],
    ) -> None:
        super().__init__(num_classes, anchors_px, strides)
        self.m = nn.ModuleList(
            nn.Conv2d(channels, self.anchors_per_cell * self.outputs_per_anchor, 1)
            for channels in in_channels
        )
        self._set_prior(self.m)

    def _set_prior(self, predictions: nn.ModuleList) -> None:
        """About 8 objects in a 640-pixel picture, and all classes equally likely."""
        for prediction, stride in zip(predictions, self.strides, strict=True):
            bias = prediction.bias
            assert isinstance(bias, nn.Parameter)
            with torch.no_grad():
                per_anchor = bias.view(self.anchors_per_cell, -1)
                per_anchor[:, 4] += math.log(8 / (640 / stride) ** 2)
                per_anchor[:, 5:] += math.log(0.6 / (self.num_classes - 0.99))

    def _logits(self, level: int, x: Tensor) -> Tensor:
        return self.m[level](x)  # type: ignore[no-any-return]

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return [self._arranged(self._logits(level, x)) for level, x in enumerate(features)]

    def head_maps(self, features: Sequence[Tensor]) -> list[HeadMaps]:
        return [self._split(self._logits(level, x)) for level, x in enumerate(features)]


class TrainingHead(PlainHead):
    """Implicit knowledge added to the input and multiplied onto the output; auxiliary levels.

    In the official fused form the implicit terms are already inside the convolutions but stay
    in the state dict; *folded* then leaves them alone.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        auxiliary_channels: Sequence[int],
        num_classes: int,
        anchors_px: AnchorsPx,
        strides: Sequence[int],
        *,
        folded: bool,
    ) -> None:
        super().__init__(in_channels, num_classes, anchors_px, strides)
        self.folded = folded
        outputs = self.anchors_per_cell * self.outputs_per_anchor
        if auxiliary_channels:
            self.m2 = nn.ModuleList(
                nn.Conv2d(channels, outputs, 1) for channels in auxiliary_channels
            )
            self._set_prior(self.m2)
        self.ia = nn.ModuleList(ImplicitKnowledge(channels, 0.0) for channels in in_channels)
        self.im = nn.ModuleList(ImplicitKnowledge(outputs, 1.0) for _ in in_channels)

    def _logits(self, level: int, x: Tensor) -> Tensor:
        if self.folded:
            return super()._logits(level, x)
        added = self.ia[level].get_parameter("implicit")
        factor = self.im[level].get_parameter("implicit")
        return super()._logits(level, x + added) * factor

    def auxiliary(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Logits of the auxiliary levels, arranged like those of the lead levels."""
        return [self._arranged(predict(x)) for predict, x in zip(self.m2, features, strict=True)]


class SplitHead(DetectionLayer):
    """Export form: separate 1x1 convolutions for box, objectness and classes.

    Quantisation gives every tensor one scale, and boxes and scores must not share one.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        anchors_px: AnchorsPx,
        strides: Sequence[int],
    ) -> None:
        super().__init__(num_classes, anchors_px, strides)

        def predictions(outputs: int) -> nn.ModuleList:
            return nn.ModuleList(
                nn.Conv2d(channels, self.anchors_per_cell * outputs, 1) for channels in in_channels
            )

        self.box = predictions(4)
        self.objectness = predictions(1)
        self.classes = predictions(num_classes)

    def head_maps(self, features: Sequence[Tensor]) -> list[HeadMaps]:
        return [
            HeadMaps(self.box[level](x), self.objectness[level](x), self.classes[level](x))
            for level, x in enumerate(features)
        ]

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return [self._joined(maps) for maps in self.head_maps(features)]

    def _joined(self, maps: HeadMaps) -> Tensor:
        batch, _, height, width = maps.box.shape
        apart = [part.view(batch, self.anchors_per_cell, -1, height, width) for part in maps]
        return torch.cat(apart, dim=2).permute(0, 1, 3, 4, 2)
