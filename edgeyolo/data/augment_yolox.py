"""YOLOX training samples: mosaic, affine map, MixUp, HSV, mirror, letterbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from edgeyolo.data.augment_color import HsvOffsets, add_hsv, draw_hsv_offsets
from edgeyolo.data.augment_geometry import AffineDraws, affine
from edgeyolo.data.augment_mixing import YoloxMixupDraws, mirrored, yolox_mixup
from edgeyolo.data.augment_mosaic import draw_centre, mosaic_of_four
from edgeyolo.data.ranges import PART, Range, check_ranges
from edgeyolo.data.sample import Sample, blank, fitted
from edgeyolo.data.sample_source import SampleSource

_SCALE = Range(0.01, 10, ordered=True)
YOLOX_AUGMENTATION_RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "mosaic": PART,
        "mosaic_scale": _SCALE,
        "mixup": PART,
        "mixup_scale": _SCALE,
        "degrees": Range(0, 180),
        "translate": PART,
        "shear": Range(0, 89),
        "hsv": PART,
        "hsv_offsets": Range(0, 255),
        "mirror": PART,
    }
)


@dataclass(frozen=True, slots=True)
class YoloxAugmentation:
    """YOLOX's augmentation, defaults as published for s, m, l and x.

    Attributes:
        mosaic: Probability of a mosaic.
        mosaic_scale: Range of the affine map's scale.
        mixup: Probability of MixUp after a mosaic.
        mixup_scale: Size jitter of the second picture.
        degrees: Largest turn.
        translate: Largest shift, as part of the input size.
        shear: Largest shear, degrees.
        hsv: Probability of colour changes.
        hsv_offsets: Largest change of hue, saturation, value.
        mirror: Probability of exchanging left and right.
    """

    mosaic: float = 1.0
    mosaic_scale: tuple[float, float] = (0.1, 2.0)
    mixup: float = 1.0
    mixup_scale: tuple[float, float] = (0.5, 1.5)
    degrees: float = 10.0
    translate: float = 0.1
    shear: float = 2.0
    hsv: float = 1.0
    hsv_offsets: tuple[float, float, float] = (5.0, 30.0, 30.0)
    mirror: float = 0.5

    def __post_init__(self) -> None:
        check_ranges(self, YOLOX_AUGMENTATION_RANGES, "augmentation.")

    def closing(self) -> YoloxAugmentation:
        """For the last epochs: no mosaic, no MixUp."""
        return replace(self, mosaic=0.0, mixup=0.0)

    def sample(
        self,
        source: SampleSource,
        index: int,
        input_hw: tuple[int, int],
        rng: np.random.Generator,
    ) -> Sample:
        """Picture *index*, augmented, exactly *input_hw*."""
        sample = source.load(index)
        if rng.random() < self.mosaic:
            sample = self._mosaic(source, sample, input_hw, rng)
            if len(sample) and rng.random() < self.mixup:
                other = _with_objects(source, rng)
                if other is not None:
                    draws = YoloxMixupDraws.draw(rng, self.mixup_scale)
                    sample = yolox_mixup(sample, other, draws)
        offsets = draw_hsv_offsets(rng, self.hsv_offsets) if rng.random() < self.hsv else None
        return finished(sample, input_hw, offsets=offsets, mirror=bool(rng.random() < self.mirror))

    def _mosaic(
        self,
        source: SampleSource,
        first: Sample,
        input_hw: tuple[int, int],
        rng: np.random.Generator,
    ) -> Sample:
        centre_xy = draw_centre(rng, input_hw)
        others = rng.integers(0, len(source), 3).tolist()
        tiles = [first, *(source.load(index) for index in others)]
        canvas_hw = (2 * input_hw[0], 2 * input_hw[1])
        canvas = mosaic_of_four([fitted(tile, input_hw) for tile in tiles], centre_xy, canvas_hw)
        draws = AffineDraws.draw(
            rng,
            degrees=self.degrees,
            scale=self.mosaic_scale,
            shear=self.shear,
            translate=self.translate,
        )
        return affine(canvas, draws, input_hw)


def finished(
    sample: Sample, input_hw: tuple[int, int], *, offsets: HsvOffsets | None, mirror: bool
) -> Sample:
    """Colour, mirror, letterbox to the top-left; boxes of at most one pixel are dropped.

    Where no box is left the picture is taken without colour change and mirror, with all its
    boxes; a picture without boxes is only letterboxed.
    """
    if not len(sample):
        return _letterboxed(sample, input_hw)
    changed = (
        sample if offsets is None else replace(sample, frame_bgr=add_hsv(sample.frame_bgr, offsets))
    )
    if mirror:
        changed = mirrored(changed)
    result = _letterboxed(changed, input_hw)
    sides = result.boxes_xyxy[:, 2:] - result.boxes_xyxy[:, :2]
    kept = sides.min(axis=1) > 1.0
    return result.keep(kept) if kept.any() else _letterboxed(sample, input_hw)


def _letterboxed(sample: Sample, input_hw: tuple[int, int]) -> Sample:
    small = fitted(sample, input_hw)
    if small.hw == input_hw:
        return small
    canvas = blank(input_hw)
    canvas[: small.hw[0], : small.hw[1]] = small.frame_bgr
    return replace(small, frame_bgr=canvas)


def _with_objects(source: SampleSource, rng: np.random.Generator) -> Sample | None:
    """A random picture that has objects; ``None`` where the data set seems to have none."""
    for _ in range(50):
        index = int(rng.integers(len(source)))
        if source.has_objects(index):
            return source.load(index)
    return None


_SMALL = YoloxAugmentation(mosaic_scale=(0.5, 1.5), mixup=0.0)
# Nano trains with half as many mosaics (FACTS 4.1).
YOLOX_AUGMENTATION: Mapping[str, YoloxAugmentation] = MappingProxyType(
    {
        "nano": replace(_SMALL, mosaic=0.5),
        "tiny": _SMALL,
        "s": YoloxAugmentation(),
        "m": YoloxAugmentation(),
        "l": YoloxAugmentation(),
        "x": YoloxAugmentation(),
    }
)
