"""What distinguishes one network from another, as plain data.

A record of these few values is enough to build a network whose state dict fits a file, and
:func:`edgeyolo.models.identify.identify` derives the record from such a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edgeyolo.spec import Family

AnchorsPx = tuple[tuple[tuple[float, float], ...], ...]
"""Per level, per anchor: width and height in input pixels."""


class Activation(str, Enum):
    """The non-linearity behind every convolution."""

    SILU = "silu"
    RELU = "relu"
    LEAKY_RELU = "lrelu"
    """Slope 0.1 for negative values."""

    def __str__(self) -> str:
        return str(self.value)


class Form(str, Enum):
    """How far a network is on its way from training to a device.

    TRAINING: as trained: batch norms, RepConv branches, implicit terms, auxiliary heads.
    DEPLOY: implicit terms folded and auxiliary heads gone (YOLOv7 only); what the official
        release files for inference hold.
    EXPORT: nothing left to fold: every unit is one convolution with bias and an activation,
        prediction layers are separate convolutions for box, objectness and classes. Made by
        :func:`edgeyolo.models.deploy.deploy`, never read from an official file.
    """

    TRAINING = "training"
    DEPLOY = "deploy"
    EXPORT = "export"

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Everything needed to build a network.

    Attributes:
        family: YOLOX or YOLOv7.
        variant: ``"nano"``, ..., ``"e6e"``; ``"custom"`` where depth and width are not a
            published pair.
        graph: The plan of blocks: ``"yolox"``, or for YOLOv7 the variant whose plan is followed
            even when the width is another (``"tiny"``, ``"l"``, ...).
        num_classes: Number of classes, at least 1.
        depth: Depth multiple (repetitions of blocks).
        width: Width multiple (channels).
        depthwise: YOLOX only: 3x3 units are depthwise plus pointwise, as in nano.
        activation: Behind every convolution.
        anchors_px: YOLOv7 only, one row per level.
        form: See :class:`Form`.
        folded: Batch norms are folded into their convolutions (with the implicit terms, if any).
        reparameterized: RepConv blocks are a single 3x3 convolution.
    """

    family: Family
    variant: str
    graph: str
    num_classes: int
    depth: float
    width: float
    depthwise: bool
    activation: Activation
    anchors_px: AnchorsPx | None
    form: Form = Form.TRAINING
    folded: bool = False
    reparameterized: bool = False

    def __post_init__(self) -> None:
        if self.num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {self.num_classes}")
        if self.depth <= 0 or self.width <= 0:
            raise ValueError(
                f"depth and width must be positive, got depth {self.depth}, width {self.width}"
            )
        if self.form is Form.EXPORT and not (self.folded and self.reparameterized):
            raise ValueError("the export form has folded batch norms and re-parameterised blocks")

    @property
    def name(self) -> str:
        """``"yolox-nano"``, ``"yolov7-custom"``."""
        return f"{self.family}-{self.variant}"

    @property
    def has_auxiliary_heads(self) -> bool:
        """Whether the training form has a second set of heads: YOLOv7 with four levels (P6)."""
        return len(self.anchors_px or ()) == 4

    @property
    def largest_stride(self) -> int:
        """Pixels that the sides of the input must be multiples of."""
        return 64 if len(self.anchors_px or ()) == 4 else 32
