"""The published variants as data, and how to build them.

Sources of the figures: YOLOX from the README of the official repository at 6ddff48; YOLOv7 sizes
and val2017 accuracy from arXiv 2207.02696, test-dev accuracy from the README at a207844.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from edgeyolo.models.architecture import Activation, AnchorsPx, Architecture, Form
from edgeyolo.models.detector import Detector
from edgeyolo.models.yolov7 import YoloV7
from edgeyolo.models.yolov7_plans import PLANS
from edgeyolo.models.yolox import STRIDES as YOLOX_STRIDES
from edgeyolo.models.yolox import Yolox
from edgeyolo.spec import Family

COCO_CLASSES = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One published network.

    Attributes:
        architecture: Its training form with the 80 COCO classes.
        input_hw: Usual input size in pixels.
        published_hw: Input size of the published figures; *input_hw* but for YOLOv7-tiny.
        published_params_m: Parameters in millions, as printed by the authors.
        published_gflops: As printed by the authors, at *published_hw*.
        published_ap: COCO AP in percent on val2017, at *published_hw*.
        published_test_ap: COCO AP in percent on test-dev, where printed.
        published_form: Form that the printed parameters and operations belong to.
    """

    architecture: Architecture
    input_hw: tuple[int, int]
    published_hw: tuple[int, int]
    published_params_m: float
    published_gflops: float
    published_ap: float
    published_test_ap: float | None = None
    published_form: Form = Form.TRAINING

    @property
    def name(self) -> str:
        return self.architecture.name


def yolox_architecture(
    *,
    depth: float,
    width: float,
    depthwise: bool,
    num_classes: int,
    activation: Activation = Activation.SILU,
) -> Architecture:
    """The YOLOX of a depth and width multiple, named when it is a published one."""
    published = {
        (variant.architecture.depth, variant.architecture.width, variant.architecture.depthwise): (
            variant.architecture.variant
        )
        for variant in VARIANTS.values()
        if variant.architecture.family is Family.YOLOX
    }
    return Architecture(
        family=Family.YOLOX,
        variant=published.get((depth, width, depthwise), "custom"),
        graph="yolox",
        num_classes=num_classes,
        depth=depth,
        width=width,
        depthwise=depthwise,
        activation=activation,
        anchors_px=None,
    )


def _yolox(
    variant: str,
    depth: float,
    width: float,
    side: int,
    params_m: float,
    gflops: float,
    ap: float,
    test_ap: float | None,
) -> Variant:
    return Variant(
        architecture=Architecture(
            family=Family.YOLOX,
            variant=variant,
            graph="yolox",
            num_classes=COCO_CLASSES,
            depth=depth,
            width=width,
            depthwise=variant == "nano",
            activation=Activation.SILU,
            anchors_px=None,
        ),
        input_hw=(side, side),
        published_hw=(side, side),
        published_params_m=params_m,
        published_gflops=gflops,
        published_ap=ap,
        published_test_ap=test_ap,
    )


def yolov7_architecture(
    *,
    graph: str,
    width: float,
    num_classes: int,
    activation: Activation | None = None,
    anchors_px: AnchorsPx | None = None,
    form: Form = Form.TRAINING,
    folded: bool = False,
    reparameterized: bool = False,
) -> Architecture:
    """One of the seven plans at a width multiple; anchors and activation default to its own."""
    own = Activation.LEAKY_RELU if graph == "tiny" else Activation.SILU
    return Architecture(
        family=Family.YOLOV7,
        variant=graph if width == 1 else "custom",
        graph=graph,
        num_classes=num_classes,
        depth=1.0,
        width=width,
        depthwise=False,
        activation=own if activation is None else activation,
        anchors_px=PLANS[graph].anchors_px if anchors_px is None else anchors_px,
        form=form,
        folded=folded,
        reparameterized=reparameterized,
    )


def _yolov7(
    variant: str,
    side: int,
    params_m: float,
    gflops: float,
    ap: float,
    test_ap: float | None,
    *,
    published_side: int | None = None,
    published_form: Form = Form.DEPLOY,
) -> Variant:
    figures_side = published_side or side
    return Variant(
        architecture=yolov7_architecture(graph=variant, width=1.0, num_classes=COCO_CLASSES),
        input_hw=(side, side),
        published_hw=(figures_side, figures_side),
        published_params_m=params_m,
        published_gflops=gflops,
        published_ap=ap,
        published_test_ap=test_ap,
        published_form=published_form,
    )


_PUBLISHED: tuple[Variant, ...] = (
    _yolox("nano", 0.33, 0.25, 416, 0.91, 1.08, 25.8, None),
    _yolox("tiny", 0.33, 0.375, 416, 5.06, 6.45, 32.8, None),
    _yolox("s", 0.33, 0.50, 640, 9.0, 26.8, 40.5, 40.5),
    _yolox("m", 0.67, 0.75, 640, 25.3, 73.8, 46.9, 47.2),
    _yolox("l", 1.00, 1.00, 640, 54.2, 155.6, 49.7, 50.1),
    _yolox("x", 1.33, 1.25, 640, 99.1, 281.9, 51.1, 51.5),
    _yolov7("tiny", 640, 6.2, 5.8, 35.2, None, published_side=416),
    _yolov7("l", 640, 36.9, 104.7, 51.2, 51.4),
    _yolov7("x", 640, 71.3, 189.9, 52.9, 53.1),
    _yolov7("w6", 1280, 70.4, 360.0, 54.6, 54.9),
    _yolov7("e6", 1280, 97.2, 515.2, 55.9, 56.0),
    # The paper's size of D6 includes the auxiliary heads, unlike its other rows.
    _yolov7("d6", 1280, 154.7, 806.8, 56.3, 56.6, published_form=Form.TRAINING),
    _yolov7("e6e", 1280, 151.7, 843.2, 56.8, 56.8),
)

VARIANTS: Mapping[str, Variant] = {variant.name: variant for variant in _PUBLISHED}
"""Keyed ``"yolox-nano"`` ... ``"yolov7-e6e"``, smallest first within a family."""


def build(
    name: str,
    num_classes: int = COCO_CLASSES,
    *,
    activation: Activation | str | None = None,
    anchors_px: AnchorsPx | None = None,
    training_form: bool = True,
) -> Detector:
    """A published network with freshly initialised weights.

    Args:
        name: A key of :data:`VARIANTS`.
        num_classes: Any number of classes.
        activation: Instead of the published one.
        anchors_px: Instead of the published ones; YOLOv7 only, same number of levels and
            anchors.
        training_form: False builds YOLOv7's deploy form (plain heads); YOLOX has one form.

    Raises:
        ValueError: Unknown name, or anchors that do not fit.
    """
    if name not in VARIANTS:
        raise ValueError(f"unknown variant {name!r}; choose one of: {', '.join(VARIANTS)}")
    architecture = replace(VARIANTS[name].architecture, num_classes=num_classes)
    if activation is not None:
        architecture = replace(architecture, activation=Activation(activation))
    if anchors_px is not None:
        architecture = replace(architecture, anchors_px=anchors_px)
    if not training_form and architecture.family is Family.YOLOV7:
        architecture = replace(architecture, form=Form.DEPLOY)
    return build_architecture(architecture)


def build_architecture(architecture: Architecture) -> Detector:
    """The network of an architecture, freshly initialised, in train mode."""
    return _NETWORKS[architecture.family](architecture)


def strides_of(architecture: Architecture) -> tuple[int, ...]:
    """Input pixels per cell of every level, fine to coarse."""
    if architecture.family is Family.YOLOX:
        return YOLOX_STRIDES
    return PLANS[architecture.graph].strides


_NETWORKS: Mapping[Family, Callable[[Architecture], Detector]] = {
    Family.YOLOX: Yolox,
    Family.YOLOV7: YoloV7,
}
