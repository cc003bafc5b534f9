"""A picture in memory with its objects, as the augmentations hand it on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeyolo.data.dataset import Segments

Picture = NDArray[np.uint8]
Boxes = NDArray[np.float64]
PAD_VALUE = 114


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A picture and its objects.

    Attributes:
        frame_bgr: (H, W, 3) uint8.
        boxes_xyxy: (N, 4) float64 pixels of *frame_bgr*.
        class_ids: (N,) int64.
        segments: Per object its outline polygons, each (K, 2) float32 pixels.
    """

    frame_bgr: Picture
    boxes_xyxy: Boxes
    class_ids: NDArray[np.int64]
    segments: Segments

    def __len__(self) -> int:
        return len(self.class_ids)

    @property
    def hw(self) -> tuple[int, int]:
        return self.frame_bgr.shape[0], self.frame_bgr.shape[1]

    def keep(self, mask: NDArray[np.bool_]) -> Sample:
        """Only the objects where *mask* (N,) is true."""
        kept = np.flatnonzero(mask)
        return replace(
            self,
            boxes_xyxy=self.boxes_xyxy[kept],
            class_ids=self.class_ids[kept],
            segments=tuple(self.segments[index] for index in kept.tolist()),
        )

    def moved(
        self, frame_bgr: Picture, scale_xy: tuple[float, float], shift_xy: tuple[float, float]
    ) -> Sample:
        """The objects on another picture: coordinates times *scale_xy* plus *shift_xy*."""
        scale, shift = np.array(scale_xy * 2), np.array(shift_xy * 2)
        scale32, shift32 = np.array(scale_xy, np.float32), np.array(shift_xy, np.float32)
        return Sample(
            frame_bgr,
            self.boxes_xyxy * scale + shift,
            self.class_ids,
            tuple(
                tuple(polygon * scale32 + shift32 for polygon in polygons)
                for polygons in self.segments
            ),
        )


def blank(hw: tuple[int, int]) -> Picture:
    """A canvas of the padding grey."""
    return np.full((*hw, 3), PAD_VALUE, np.uint8)


def joined(frame_bgr: Picture, samples: Sequence[Sample]) -> Sample:
    """The objects of several samples, which share *frame_bgr*'s coordinates."""
    return Sample(
        frame_bgr,
        np.concatenate([sample.boxes_xyxy for sample in samples]).reshape(-1, 4),
        np.concatenate([sample.class_ids for sample in samples]),
        tuple(polygons for sample in samples for polygons in sample.segments),
    )


def clipped(sample: Sample, hw: tuple[int, int]) -> Sample:
    """Boxes and segments limited to 0..width, 0..height."""
    corner = np.array([hw[1], hw[0]], np.float64)
    return replace(
        sample,
        boxes_xyxy=np.clip(sample.boxes_xyxy, 0.0, np.tile(corner, 2)),
        segments=tuple(
            tuple(np.clip(polygon, 0, corner.astype(np.float32)) for polygon in polygons)
            for polygons in sample.segments
        ),
    )


def fitted_hw(hw: tuple[int, int], input_hw: tuple[int, int]) -> tuple[int, int]:
    """Size of a picture after :func:`fitted`; sides truncated as in both families, at least 1."""
    ratio = min(input_hw[0] / hw[0], input_hw[1] / hw[1])
    return max(int(hw[0] * ratio), 1), max(int(hw[1] * ratio), 1)


def resized(frame_bgr: Picture, hw: tuple[int, int]) -> Picture:
    """Bilinear resize; the same array where the size is already right."""
    if frame_bgr.shape[:2] == hw:
        return frame_bgr
    return np.asarray(
        cv2.resize(frame_bgr, (hw[1], hw[0]), interpolation=cv2.INTER_LINEAR), np.uint8
    )


def fitted(sample: Sample, input_hw: tuple[int, int]) -> Sample:
    """The sample resized so that it just fits *input_hw*, aspect ratio kept."""
    ratio = min(input_hw[0] / sample.hw[0], input_hw[1] / sample.hw[1])
    frame = resized(sample.frame_bgr, fitted_hw(sample.hw, input_hw))
    # Boxes follow the ratio, not the truncated size, as the originals do.
    return sample.moved(frame, (ratio, ratio), (0.0, 0.0))


def centres(boxes_xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
    """x1 y1 x2 y2 as cx, cy, w, h."""
    low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    return np.concatenate(((low + high) / 2, high - low), axis=1)
