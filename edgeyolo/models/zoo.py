"""The published variants as data, and how to build them.

Sources of the figures: the READMEs of the official repositories and, where *accuracy_source*
says so, arXiv 2207.02696 (YOLOv7) or a statement of its maintainers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgeyolo.models.architecture import Activation, AnchorsPx, Architecture, Form
from edgeyolo.models.detector import Detector
from edgeyolo.models.yolox import Yolox
from edgeyolo.spec import Family

COCO_CLASSES = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One published network.

    Attributes:
        architecture: Its training form with the 80 COCO classes.
        input_hw: Input size of the published figures, in pixels.
        published_params_m: Parameters in millions, as printed by the authors.
        published_gflops: As printed by the authors, at *input_hw* unless the note says otherwise.
        published_ap: COCO AP in percent on val2017, at *input_hw* unless the note says otherwise.
        published_test_ap: COCO AP in percent on test-dev, where printed.
        note: What to know when comparing with the published figures.
    """

    architecture: Architecture
    input_hw: tuple[int, int]
    published_params_m: float
    published_gflops: float
    published_ap: float
    published_test_ap: float | None = None
    note: str = ""

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
        published_params_m=params_m,
        published_gflops=gflops,
        published_ap=ap,
        published_test_ap=test_ap,
    )


_PUBLISHED: tuple[Variant, ...] = (
    _yolox("nano", 0.33, 0.25, 416, 0.91, 1.08, 25.8, None),
    _yolox("tiny", 0.33, 0.375, 416, 5.06, 6.45, 32.8, None),
    _yolox("s", 0.33, 0.50, 640, 9.0, 26.8, 40.5, 40.5),
    _yolox("m", 0.67, 0.75, 640, 25.3, 73.8, 46.9, 47.2),
    _yolox("l", 1.00, 1.00, 640, 54.2, 155.6, 49.7, 50.1),
    _yolox("x", 1.33, 1.25, 640, 99.1, 281.9, 51.1, 51.5),
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
    return Yolox(architecture)
