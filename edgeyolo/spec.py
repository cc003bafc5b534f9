"""The closed vocabulary: families, backends, precisions, and how pictures enter a model.

Everything here is plain data, checked once at birth. Nothing imports a framework.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

# A vendor's library starts as many as it is told to, at once: a slip of the hand ends the machine.
MAX_THREADS = 1024


class _Word(str, Enum):
    """An enum whose members print as their value, on Python 3.10 as well."""

    def __str__(self) -> str:
        return str(self.value)


class Family(_Word):
    """A line of detectors with its own preprocessing, head and decode."""

    YOLOX = "yolox"
    YOLOV7 = "yolov7"


class Backend(_Word):
    """A vendor runtime that executes an artifact."""

    ONNX = "onnx"
    OPENVINO = "openvino"
    TFLITE = "tflite"
    TENSORRT = "tensorrt"


class Precision(_Word):
    """Numbers that the bulk of the network is computed with."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class ColorOrder(_Word):
    """Order of the three channels that the network expects. Frames are always BGR."""

    BGR = "bgr"
    RGB = "rgb"


class Alignment(_Word):
    """Where the resized picture lies on the padded canvas."""

    TOP_LEFT = "top_left"
    CENTER = "center"


class Rounding(_Word):
    """How the fractional size of the resized picture becomes whole pixels."""

    TRUNCATE = "truncate"
    HALF_EVEN = "half_even"


class Layout(_Word):
    """Axis order of the input tensor."""

    NHWC = "nhwc"
    NCHW = "nchw"


class OutputKind(_Word):
    """What the outputs of a model file mean.

    DECODED: ``boxes`` (B, N, 4) float32 xyxy in network-input pixels and ``scores`` (B, N, C)
        float32, objectness already multiplied in.
    RAW: head outputs before decoding, three tensors per level (box, objectness, class),
        fine to coarse; ``edgeyolo.families`` decodes them on the host.
    SUPPRESSED: non-maximum suppression is in the graph; one ``detections`` (K, 7) float32
        tensor with rows (picture index, x1, y1, x2, y2, score, class id), boxes as in DECODED;
        rows with a negative score hold nothing.
    """

    DECODED = "decoded"
    RAW = "raw"
    SUPPRESSED = "suppressed"


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How a camera frame becomes the tensor that the first convolution sees.

    The frame is letterboxed (bilinear resize keeping the aspect ratio, then padding), its
    channels are put into *color_order*, and every value v of channel c becomes
    ``(v * scale - mean[c]) / std[c]`` in float32.

    Attributes:
        input_hw: Height and width of the network input in pixels, multiples of 32.
        color_order: Channel order after the conversion; also the order of *mean* and *std*.
        scale: Factor applied to 0-255 values (1/255 for YOLOv7, 1 for YOLOX).
        mean: Subtracted after scaling, per channel.
        std: Divisor after subtracting, per channel.
        alignment: Where the resized picture lies on the canvas.
        rounding: How the resized size becomes whole pixels.
        pad_value: Grey level (0-255) of the padding, before scaling.
        enlarge: Whether pictures smaller than the input are enlarged.
    """

    input_hw: tuple[int, int]
    color_order: ColorOrder
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    alignment: Alignment
    rounding: Rounding
    pad_value: int = 114
    enlarge: bool = True

    def __post_init__(self) -> None:
        check_input_hw(self.input_hw)
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale must be positive and finite, got {self.scale}")
        if not all(math.isfinite(value) for value in self.mean):
            raise ValueError(f"mean must be finite, got {self.mean}")
        if not all(math.isfinite(value) and value > 0 for value in self.std):
            raise ValueError(f"std must be positive and finite, got {self.std}")
        if not 0 <= self.pad_value <= 255:
            raise ValueError(f"pad_value must be within 0..255, got {self.pad_value}")


def check_count(name: str, count: int, most: int) -> None:
    """Raise ``ValueError`` unless *count* is a whole number from 1 to *most*."""
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most}, got {count!r}")


def check_input_hw(input_hw: tuple[int, int], multiple: int = 32) -> None:
    """Raise ``ValueError`` unless both sides are positive multiples of *multiple* up to 8192."""
    if any(side <= 0 or side > 8192 or side % multiple for side in input_hw):
        nearest = [
            min(max((side + multiple // 2) // multiple * multiple, multiple), 8192)
            for side in input_hw
        ]
        raise ValueError(
            f"input size must be multiples of {multiple} from {multiple} to 8192, "
            f"got {input_hw[0]}x{input_hw[1]} (height x width); the nearest is "
            f"{nearest[0]}x{nearest[1]}"
        )


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a detector is, whatever file it lives in.

    Attributes:
        family: Decides decode, default preprocessing and official evaluation settings.
        variant: ``"nano"``, ``"l"``, ``"e6e"``, ...; ``"custom"`` where depth and width are
            not a published pair.
        class_names: Real names, in class-id order; never empty, never invented.
        strides: Input pixels per cell, per head level, fine to coarse.
        anchors_px: Per level, per anchor (width, height) in input pixels; ``None`` for
            anchor-free families.
        preprocess: How frames enter.
        license: Licence of the weights, or ``None`` where unknown.
    """

    family: Family
    variant: str
    class_names: tuple[str, ...]
    strides: tuple[int, ...]
    anchors_px: tuple[tuple[tuple[float, float], ...], ...] | None
    preprocess: Preprocess
    license: str | None = None

    def __post_init__(self) -> None:
        if not self.class_names:
            raise ValueError("class_names is empty; a detector needs the real names of its classes")
        if any(not name.strip() for name in self.class_names):
            raise ValueError(f"class_names has an empty name: {self.class_names}")
        if not self.strides or any(stride <= 0 for stride in self.strides):
            raise ValueError(f"strides must be positive, got {self.strides}")
        if self.anchors_px is not None and len(self.anchors_px) != len(self.strides):
            raise ValueError(
                f"anchors for {len(self.anchors_px)} levels but {len(self.strides)} strides"
            )
        for side in (side for level in self.anchors_px or () for pair in level for side in pair):
            if not (math.isfinite(side) and side > 0):
                raise ValueError(f"anchors must be positive and finite, got {side}")
        try:
            check_input_hw(self.preprocess.input_hw, max(self.strides))
        except ValueError as error:
            raise ValueError(
                f"{self.name} has cells of {max(self.strides)} pixels: {error}"
            ) from None

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def input_hw(self) -> tuple[int, int]:
        return self.preprocess.input_hw

    @property
    def name(self) -> str:
        """``"yolox-nano"``, ``"yolov7-e6e"``: the name people type."""
        return f"{self.family}-{self.variant}"
