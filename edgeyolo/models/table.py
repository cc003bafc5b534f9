"""The table of variants: sizes counted on our own networks beside the published figures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from edgeyolo.models.architecture import Form
from edgeyolo.models.detector import Detector
from edgeyolo.models.flops import count_gflops, count_parameters
from edgeyolo.models.yolov7 import YoloV7
from edgeyolo.models.zoo import VARIANTS, Variant, build_architecture
from edgeyolo.spec import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantRow:
    """One published network; parameters and operations are those of the network that runs.

    Attributes:
        name: What people type.
        input_hw: Size at which operations are counted and accuracy was published, in pixels.
        parameters: Counted here: without auxiliary heads, RepConv as one convolution.
        gflops: Counted here, at *input_hw*, as :mod:`edgeyolo.models.flops` explains.
        published_params_m: Millions.
        published_gflops: As printed by the authors.
        published_ap: COCO val2017, percent.
        published_test_ap: COCO test-dev, percent, where printed.
        note: Why a published figure cannot be compared, else empty.
    """

    name: str
    input_hw: tuple[int, int]
    parameters: int
    gflops: float
    published_params_m: float
    published_gflops: float
    published_ap: float
    published_test_ap: float | None
    note: str


def variant_rows() -> list[VariantRow]:
    """A row per variant, in the order of the zoo. No weights are allocated."""
    return [_row(variant) for variant in VARIANTS.values()]


def published_network(variant: Variant) -> Detector:
    """The network whose parameters and operations the authors printed, without memory.

    Auxiliary heads run exactly where the printed figures include them.
    """
    model = _on_meta(variant, variant.published_form)
    if isinstance(model, YoloV7):
        model.head.train(variant.published_form is Form.TRAINING)
    return model


def _row(variant: Variant) -> VariantRow:
    running_form = Form.DEPLOY if variant.architecture.family is Family.YOLOV7 else Form.TRAINING
    model = _on_meta(variant, running_form)
    note = ""
    if variant.published_form is not running_form:
        note = "published with the auxiliary heads that only training uses"
    return VariantRow(
        name=variant.name,
        input_hw=variant.published_hw,
        parameters=count_parameters(model),
        gflops=count_gflops(model, variant.published_hw),
        published_params_m=variant.published_params_m,
        published_gflops=variant.published_gflops,
        published_ap=variant.published_ap,
        published_test_ap=variant.published_test_ap,
        note=note,
    )


def _on_meta(variant: Variant, form: Form) -> Detector:
    with torch.device("meta"):
        return build_architecture(
            replace(variant.architecture, form=form, reparameterized=True)
        ).eval()
