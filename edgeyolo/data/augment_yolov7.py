"""YOLOv7 training samples: mosaics of four and nine, perspective map, MixUp, paste-in, HSV."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from edgeyolo.data.augment_color import draw_hsv_gains, multiply_hsv
from edgeyolo.data.augment_geometry import PerspectiveDraws, perspective
from edgeyolo.data.augment_mixing import (
    CutOut,
    cut_outs,
    flipped,
    mirrored,
    pasted_in,
    yolov7_mixup,
)
from edgeyolo.data.augment_mosaic import cropped, draw_centre, mosaic_of_four, mosaic_of_nine
from edgeyolo.data.ranges import PART, Range, check_ranges
from edgeyolo.data.sample import Sample, blank, fitted
from edgeyolo.data.sample_source import SampleSource

_ENOUGH_CUT_OUTS = 30
_MOST_CUT_OUT_PICTURES = 24
_MIXUP_BETA = 8.0
YOLOV7_AUGMENTATION_RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "mosaic": PART,
        "nine": PART,
        "mixup": PART,
        "paste_in": PART,
        "degrees": Range(0, 180),
        "translate": PART,
        # Above, nothing would be left of the picture.
        "scale": Range(0, 1, open_high=True),
        "shear": Range(0, 89),
        # What the original allows; more turns corners of large inputs inside out.
        "perspective": Range(0, 0.001),
        "hsv": PART,
        "flip": PART,
        "mirror": PART,
    }
)


@dataclass(frozen=True, slots=True)
class YoloV7Augmentation:
    """YOLOv7's augmentation, defaults as published for training from scratch (P5).

    Attributes:
        mosaic: Probability of a mosaic; without one the picture is letterboxed and warped.
        nine: Share of the mosaics that have nine pictures.
        mixup: Probability of MixUp with a second mosaic.
        paste_in: Probability of pasting objects of other pictures (needs segments).
        degrees: Largest turn.
        translate: Largest shift of the centre, as part of the input size.
        scale: The scale lies between 1 - scale and 1.1 + scale.
        shear: Largest shear, degrees.
        perspective: Largest entry of the projective row.
        hsv: Largest relative change of hue, saturation, value.
        flip: Probability of exchanging top and bottom.
        mirror: Probability of exchanging left and right.
    """

    mosaic: float = 1.0
    nine: float = 0.2
    mixup: float = 0.15
    paste_in: float = 0.15
    degrees: float = 0.0
    translate: float = 0.2
    scale: float = 0.9
    shear: float = 0.0
    perspective: float = 0.0
    hsv: tuple[float, float, float] = (0.015, 0.7, 0.4)
    flip: float = 0.0
    mirror: float = 0.5

    def __post_init__(self) -> None:
        check_ranges(self, YOLOV7_AUGMENTATION_RANGES, "augmentation.")

    def closing(self) -> YoloV7Augmentation:
        """The same: the original never switches its mosaic off."""
        return self

    def sample(
        self,
        source: SampleSource,
        index: int,
        input_hw: tuple[int, int],
        rng: np.random.Generator,
    ) -> Sample:
        """Picture *index*, augmented, exactly *input_hw*."""
        if rng.random() < self.mosaic:
            sample = self._mosaic(source, index, input_hw, rng)
            if rng.random() < self.mixup:
                other = self._mosaic(source, int(rng.integers(len(source))), input_hw, rng)
                sample = yolov7_mixup(sample, other, rng.beta(_MIXUP_BETA, _MIXUP_BETA))
        else:
            sample = self._warped(_centred(source.load(index), input_hw), input_hw, rng)
        gains = draw_hsv_gains(rng, self.hsv)
        sample = replace(sample, frame_bgr=multiply_hsv(sample.frame_bgr, gains))
        if rng.random() < self.paste_in:
            sample = pasted_in(sample, self._cut_outs(source, rng), rng)
        if rng.random() < self.flip:
            sample = flipped(sample)
        if rng.random() < self.mirror:
            sample = mirrored(sample)
        return sample

    def _mosaic(
        self,
        source: SampleSource,
        index: int,
        input_hw: tuple[int, int],
        rng: np.random.Generator,
    ) -> Sample:
        count = 9 if rng.random() < self.nine else 4
        others = rng.integers(0, len(source), count - 1).tolist()
        tiles = [fitted(source.load(number), input_hw) for number in (index, *others)]
        canvas_hw = (2 * input_hw[0], 2 * input_hw[1])
        if count == 4:
            canvas = mosaic_of_four(tiles, draw_centre(rng, input_hw), canvas_hw)
        else:
            corner = (int(rng.integers(input_hw[1] + 1)), int(rng.integers(input_hw[0] + 1)))
            canvas = cropped(mosaic_of_nine(tiles, input_hw), corner, canvas_hw)
        return self._warped(canvas, input_hw, rng)

    def _warped(
        self, sample: Sample, input_hw: tuple[int, int], rng: np.random.Generator
    ) -> Sample:
        draws = PerspectiveDraws.draw(
            rng,
            degrees=self.degrees,
            translate=self.translate,
            scale=self.scale,
            shear=self.shear,
            perspective=self.perspective,
        )
        return perspective(sample, draws, input_hw)

    def _cut_outs(self, source: SampleSource, rng: np.random.Generator) -> list[CutOut]:
        found: list[CutOut] = []
        for _ in range(_MOST_CUT_OUT_PICTURES):
            if len(found) >= _ENOUGH_CUT_OUTS:
                break
            index = int(rng.integers(len(source)))
            if source.has_segments(index):
                found += cut_outs(source.load(index))
        return found


def _centred(sample: Sample, input_hw: tuple[int, int]) -> Sample:
    """Letterboxed with equal padding on both sides."""
    small = fitted(sample, input_hw)
    x, y = (input_hw[1] - small.hw[1]) // 2, (input_hw[0] - small.hw[0]) // 2
    canvas = blank(input_hw)
    canvas[y : y + small.hw[0], x : x + small.hw[1]] = small.frame_bgr
    return small.moved(canvas, (1.0, 1.0), (float(x), float(y)))


YOLOV7_AUGMENTATION: Mapping[str, YoloV7Augmentation] = MappingProxyType(
    {
        "p5": YoloV7Augmentation(),
        "p6": YoloV7Augmentation(),
        "tiny": YoloV7Augmentation(mixup=0.05, paste_in=0.05, translate=0.1, scale=0.5),
        # For fine-tuning on one's own data.
        "custom": YoloV7Augmentation(mixup=0.0, paste_in=0.0, scale=0.5),
    }
)
