"""The public comparison table of the classic networks, beside what was measured here.

The table is the one at docs.ultralytics.com/compare/yolov7-vs-yolox: eight networks with size, mAP,
CPU ONNX ms, T4 TensorRT ms, parameters and FLOPs. It gives no CPU time for any of them, and no
TensorRT time for the two smallest. Under "mAP val" it prints the authors' test-dev figures for
YOLOv7; those for val2017 are from arXiv 2207.02696. Everything else agrees with that paper and the
README of YOLOX at 6ddff48; ``edgeyolo.models.zoo``, which needs torch, has the same figures, and a
test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeyolo.benchmark.records import ArtifactFigures
from edgeyolo.spec import Backend

COCO_CLASSES = 80


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """One row of the public table; ``None`` where it has no figure.

    Attributes:
        name: ``"yolox-nano"``.
        side: Width and height of the input, pixels.
        ap: COCO AP in percent, as the table prints it.
        ap_val: The authors' on val2017, in percent.
        cpu_onnx_ms: ONNX on a CPU.
        t4_tensorrt_ms: TensorRT 10 on a T4.
        params_m: Millions.
        gflops: At *side*.
    """

    name: str
    side: int
    ap: float
    ap_val: float
    cpu_onnx_ms: float | None
    t4_tensorrt_ms: float | None
    params_m: float
    gflops: float


PUBLISHED: tuple[PublishedModel, ...] = (
    PublishedModel("yolov7-l", 640, 51.4, 51.2, None, 6.84, 36.9, 104.7),
    PublishedModel("yolov7-x", 640, 53.1, 52.9, None, 11.57, 71.3, 189.9),
    PublishedModel("yolox-nano", 416, 25.8, 25.8, None, None, 0.91, 1.08),
    PublishedModel("yolox-tiny", 416, 32.8, 32.8, None, None, 5.06, 6.45),
    PublishedModel("yolox-s", 640, 40.5, 40.5, None, 2.56, 9.0, 26.8),
    PublishedModel("yolox-m", 640, 46.9, 46.9, None, 5.43, 25.3, 73.8),
    PublishedModel("yolox-l", 640, 49.7, 49.7, None, 9.04, 54.2, 155.6),
    PublishedModel("yolox-x", 640, 51.1, 51.1, None, 16.1, 99.1, 281.9),
)

# The authors' on val2017, percent. YOLOv7-tiny, from issue 106 of its project, is not in the table.
VAL_AP = {model.name: model.ap_val for model in PUBLISHED} | {"yolov7-tiny": 35.2}

NOTE = (
    "Published: the public table of docs.ultralytics.com/compare/yolov7-vs-yolox, which has no CPU "
    "times of these networks; TensorRT 10 on a T4. In brackets: val2017 by the authors, where the "
    "table prints test-dev. Here: this machine, medians of the bare network; AP on the number of "
    "pictures behind it (val2017 has 5000)."
)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One artifact of a published network.

    Attributes:
        bare_ms: The network alone, median.
        ap: COCO AP of that file, 0..1, on *ap_pictures* pictures.
    """

    artifact: str
    precision: str
    input_hw: tuple[int, int]
    device: str
    bare_ms: float
    ap: float | None
    ap_pictures: int | None

    def text(self, side: int) -> str:
        """``"fp32 5.1"``, with the input size where it is another than the published one."""
        height, width = self.input_hw
        size = "" if self.input_hw == (side, side) else f" at {height}x{width}"
        device = "" if self.device.upper() == "CPU" else f" {self.device}"
        return f"{self.precision} {self.bare_ms:.1f}{size}{device}"

    def accuracy(self) -> str:
        """``"fp32 28.9 (198 pictures)"``; empty where it was not measured."""
        if self.ap is None:
            return ""
        return f"{self.precision} {self.ap * 100:.1f} ({self.ap_pictures} pictures)"


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
            ap_pictures=figures.accuracy.pictures if figures.accuracy else None,
        )
        for figures in artifacts
        if figures.contract.model.name == name
        and figures.contract.model.num_classes == COCO_CLASSES
        and figures.contract.backend is backend
    )
