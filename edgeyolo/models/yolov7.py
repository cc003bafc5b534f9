"""YOLOv7: a plan of numbered layers and a detection layer at the end of it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from edgeyolo.models.architecture import Architecture, Form
from edgeyolo.models.detector import Detector, HeadMaps
from edgeyolo.models.layer_list import IMAGE, LayerListBuilder, Node, Schedule
from edgeyolo.models.layers import UnitStyle
from edgeyolo.models.yolov7_heads import DetectionLayer, PlainHead, SplitHead, TrainingHead
from edgeyolo.models.yolov7_plans import PLANS, HeadInputs


class YoloV7(Detector):
    """Any of the seven networks, any width; see :class:`~edgeyolo.models.detector.Detector`.

    Attributes:
        model: All layers under their official numbers, the detection layer last.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        plan = PLANS[architecture.graph]
        self.strides = plan.strides
        exported = architecture.form is Form.EXPORT
        net = LayerListBuilder(
            UnitStyle(
                activation=architecture.activation,
                folded=architecture.folded,
                chained_pools=exported,
                merged_stem=exported,
            ),
            width=architecture.width,
            reparameterized=architecture.reparameterized,
        )
        training_form = architecture.form is Form.TRAINING
        reads = plan.add_layers(net, Node(IMAGE, 3), training_form)
        lead = [node.index for node in reads.lead]
        self._lead = Schedule(net.sources, lead)
        self._lead_and_auxiliary = Schedule(
            net.sources, [*lead, *(node.index for node in reads.auxiliary)]
        )
        assert len(net.modules) == (plan.training_head if training_form else plan.deploy_head)
        self._has_auxiliary = bool(reads.auxiliary)
        self.model = nn.ModuleList([*net.modules, _detection_layer(architecture, reads)])

    @property
    def head(self) -> DetectionLayer:
        """The detection layer."""
        layer = self.model[-1]
        assert isinstance(layer, DetectionLayer)
        return layer

    def forward(self, x: Tensor) -> list[Tensor]:
        head = self.head
        if self._has_auxiliary and head.training:
            return self._with_auxiliary(x)
        return head(self._features(x))  # type: ignore[no-any-return]

    def _with_auxiliary(self, x: Tensor) -> list[Tensor]:
        self.check_input(x)
        head = self.head
        assert isinstance(head, TrainingHead)
        features = self._lead_and_auxiliary.run(self.model, x)
        levels = len(self.strides)
        raw: list[Tensor] = head(features[:levels])
        return raw + head.auxiliary(features[levels:])

    def _features(self, x: Tensor) -> list[Tensor]:
        self.check_input(x)
        return self._lead.run(self.model, x)

    def head_maps(self, x: Tensor) -> list[HeadMaps]:
        return self.head.head_maps(self._features(x))

    def decode(self, raw: Sequence[Tensor]) -> Tensor:
        return self.head.decode(raw)


def _detection_layer(architecture: Architecture, reads: HeadInputs) -> DetectionLayer:
    strides = PLANS[architecture.graph].strides
    anchors_px = architecture.anchors_px
    if anchors_px is None or len(anchors_px) != len(strides):
        raise ValueError(
            f"{architecture.name} needs anchors for {len(strides)} levels, got {anchors_px}"
        )
    if len({len(level) for level in anchors_px}) != 1:
        raise ValueError(f"every level needs the same number of anchors, got {anchors_px}")
    channels = [node.channels for node in reads.lead]
    if architecture.form is Form.EXPORT:
        return SplitHead(channels, architecture.num_classes, anchors_px, strides)
    if architecture.form is Form.DEPLOY:
        return PlainHead(channels, architecture.num_classes, anchors_px, strides)
    return TrainingHead(
        channels,
        [node.channels for node in reads.auxiliary],
        architecture.num_classes,
        anchors_px,
        strides,
        folded=architecture.folded,
    )
