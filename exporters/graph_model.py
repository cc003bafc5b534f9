"""The PyTorch module that is traced: frame pixels in, boxes and scores (or raw heads) out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeyolo.exporters.yolov7_decode import YoloV7Decode
from edgeyolo.exporters.yolox_decode import YoloxDecode
from edgeyolo.models.detector import Detector
from edgeyolo.spec import ColorOrder, Family, ModelSpec, OutputKind, Preprocess

# How each family's heads become boxes inside a graph.
DECODERS: dict[Family, type[YoloxDecode] | type[YoloV7Decode]] = {
    Family.YOLOX: YoloxDecode,
    Family.YOLOV7: YoloV7Decode,
}


class PixelInput(nn.Module):
    """Letterboxed pixels to what the first convolution expects.

    (B, H, W, 3) BGR 0..255, uint8 or float32, to (B, 3, H, W) float32.
    """

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self.reverse = preprocess.color_order is ColorOrder.RGB
        self.scale = preprocess.scale
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(preprocess.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocess.std).view(1, 3, 1, 1))
        self.centred = any(preprocess.mean) or any(value != 1.0 for value in preprocess.std)

    def forward(self, images: Tensor) -> Tensor:
        x = images.permute(0, 3, 1, 2).float()
        if self.reverse:
            # Not flip(): it becomes a negative-step Slice, which not every backend takes.
            x = x[:, [2, 1, 0]]
        if self.scale != 1.0:
            x = x * self.scale
        if self.centred:
            x = (x - self.mean) / self.std
        return x


class ExportGraph(nn.Module):
    """Detector with its input conversion and its decode, as one traceable module.

    Args:
        model: In deploy form.
        pixels: uint8 NHWC BGR pixels in; else the detector's own float32 NCHW input.
        form: DECODED or RAW.
    """

    def __init__(self, model: Detector, spec: ModelSpec, *, form: OutputKind, pixels: bool) -> None:
        super().__init__()
        self.model = model
        self.pixels = PixelInput(spec.preprocess) if pixels else None
        self.decoder = DECODERS[spec.family](spec) if form is OutputKind.DECODED else None

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        x = images if self.pixels is None else self.pixels(images)
        heads = self.model.head_maps(x)
        if self.decoder is None:
            return tuple(part for head in heads for part in head)
        decoded: tuple[Tensor, Tensor] = self.decoder(heads)
        return decoded


def output_names(spec: ModelSpec, form: OutputKind) -> tuple[str, ...]:
    """Names of the graph's outputs, in order."""
    if form is OutputKind.DECODED:
        return ("boxes", "scores")
    return tuple(
        f"level{level}_{part}"
        for level in range(len(spec.strides))
        for part in ("box", "objectness", "classes")
    )
