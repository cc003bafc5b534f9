"""The public comparison table of the classic networks, beside what was measured here.

Sources: YOLOX from the README of the official repository at 6ddff48; YOLOv7 from arXiv 2207.02696
and the README at a207844; YOLOv7-tiny's accuracy from issue 106 there. The same figures are in
``edgeyolo.models.zoo``, which needs torch; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeyolo.benchmark.records import ArtifactFigures
from edgeyolo.spec import Backend

COCO_CLASSES = 80


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """What the authors printed.

    Attributes:
        name: ``"yolox-nano"``.
        side: Width and height of the input, pixels.
        ap: COCO val2017, percent.
        params_m: Millions.
        gflops: At *side*.
        v100_ms: FP16 on a V100, batch 1, network only, where printed (YOLOv7 prints pictures a
            second: 161 and 114).
    """

    name: str
    side: int
    ap: float
    params_m: float
    gflops: float
    v100_ms: float | None


PUBLISHED: tuple[PublishedModel, ...] = (
    PublishedModel("yolox-nano", 416, 25.8, 0.91, 1.08, None),
    PublishedModel("yolox-tiny", 416, 32.8, 5.06, 6.45, None),
    PublishedModel("yolox-s", 640, 40.5, 9.0, 26.8, 9.8),
    PublishedModel("yolox-m", 640, 46.9, 25.3, 73.8, 12.3),
    PublishedModel("yolox-l", 640, 49.7, 54.2, 155.6, 14.5),
    PublishedModel("yolox-x", 640, 51.1, 99.1, 281.9, 17.3),
    PublishedModel("yolov7-tiny", 416, 35.2, 6.2, 5.8, None),
    PublishedModel("yolov7-l", 640, 51.2, 36.9, 104.7, 1e3 / 161),
    PublishedModel("yolov7-x", 640, 52.9, 71.3, 189.9, 1e3 / 114),
)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One artifact of a published network."""

    artifact: str
    precision: str
    input_hw: tuple[int, int]
    device: str
    bare_ms: float
    ap: float | None

    def text(self, side: int) -> str:
        """``"fp32 5.1"``, with the input size where it is another than the published one."""
        height, width = self.input_hw
        size = "" if self.input_hw == (side, side) else f" at {height}x{width}"
        device = "" if self.device.upper() == "CPU" else f" {self.device}"
        return f"{self.precision} {self.bare_ms:.1f}{size}{device}"


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """A published network and the artifacts of it that were measured."""

    published: PublishedModel
    measured: dict[Backend, tuple[Measurement, ...]]


def comparison(artifacts: Sequence[ArtifactFigures]) -> list[ComparisonRow]:
    """A row for each published network; one with other classes is another network."""
    return [
        ComparisonRow(
            published,
            {
                backend: found
                for backend in Backend
                if (found := _measured(published.name, backend, artifacts))
            },
        )
        for published in PUBLISHED
    ]


def _measured(
    name: str, backend: Backend, artifacts: Sequence[ArtifactFigures]
) -> tuple[Measurement, ...]:
    return tuple(
        Measurement(
            artifact=figures.name,
            precision=str(figures.contract.precision),
            input_hw=figures.contract.model.input_hw,
            device=figures.device,
            bare_ms=figures.bare.p50,
            ap=figures.accuracy.ap if figures.accuracy else None,
        )
        for figures in artifacts
        if figures.contract.model.name == name
        and figures.contract.model.num_classes == COCO_CLASSES
        and figures.contract.backend is backend
    )
