"""The official weight files: where they are published, how large they are, their digests.

Sizes and SHA-256 of YOLOX are those of independent public copies that agree with each other;
those of YOLOv7 likewise, the sizes being confirmed by the genuine pickles. Where no digest is
known it is ``None``, and the file is only used after an explicit trust on first use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_YOLOX = "https://github.com/Megvii-BaseDetection/YOLOX/releases/download"
_YOLOV7 = "https://github.com/WongKinYiu/yolov7/releases/download"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialWeights:
    """One published file.

    Attributes:
        name: What people type: ``"yolox-s"``, ``"yolov7-w6-training"``.
        release: Folder in the cache; two releases may use one file name.
        url: Where the authors publish it.
        size_bytes: ``None`` where not known.
        sha256: ``None`` where not known.
        license: Of the repository that publishes it (SPDX).
    """

    name: str
    release: str
    url: str
    size_bytes: int | None
    sha256: str | None
    license: str

    @property
    def file_name(self) -> str:
        return self.url.rpartition("/")[2]


def _yolox(variant: str, size_bytes: int, sha256: str) -> OfficialWeights:
    return OfficialWeights(
        name=f"yolox-{variant}",
        release="yolox-0.1.1rc0",
        url=f"{_YOLOX}/0.1.1rc0/yolox_{variant}.pth",
        size_bytes=size_bytes,
        sha256=sha256,
        license="Apache-2.0",
    )


def _yolov7(
    name: str, file_name: str, size_bytes: int | None = None, sha256: str | None = None
) -> OfficialWeights:
    return OfficialWeights(
        name=f"yolov7-{name}",
        release="yolov7-v0.1",
        url=f"{_YOLOV7}/v0.1/{file_name}",
        size_bytes=size_bytes,
        sha256=sha256,
        license="GPL-3.0",
    )


_FILES = (
    _yolox("nano", 7_694_953, "cd28f55fbbc1829f99d9ac9b38a16d259a22889739c8728ea877610201feff7b"),
    _yolox("tiny", 40_755_013, "9de513de589ac98bb92d3bca53b5af7b9acfa9b0bacb831f7999d0f7afaee8f0"),
    _yolox("s", 72_089_125, "f55ded7181e1b0c13285c56e7790b8f0e8f8db590fe4edb37f0b7f345c913a30"),
    _yolox("m", 203_114_461, "60076992b32da82951c90cfa7bd6ab70eba9eda243e08b940a396f60ac2d19b6"),
    _yolox("l", 434_357_141, "1e6b7fa6240375370b2a8a8eab9066b3cdd43fd1d0bfa8d2027fd3a51def2917"),
    _yolox("x", 793_463_373, "5652330b6ae860043f091b8f550a60c10e1129f416edfdb65c259be6caf355cf"),
    _yolov7(
        "tiny",
        "yolov7-tiny.pt",
        12_639_769,
        "0fa1423606133c06362ec716029dade1169d5631e83195b75d8efa66d2ee0b77",
    ),
    _yolov7(
        "l",
        "yolov7.pt",
        75_587_165,
        "d1ac3c74eb96a3eec77949c0f37a06bc272756606ff011d9353f7abff4e0c71d",
    ),
    _yolov7("x", "yolov7x.pt"),
    *(_yolov7(name, f"yolov7-{name}.pt") for name in ("w6", "e6", "d6", "e6e")),
    _yolov7("l-training", "yolov7_training.pt"),
    _yolov7("x-training", "yolov7x_training.pt"),
    *(
        _yolov7(f"{name}-training", f"yolov7-{name}_training.pt")
        for name in ("w6", "e6", "d6", "e6e")
    ),
)

OFFICIAL_WEIGHTS: Mapping[str, OfficialWeights] = {weights.name: weights for weights in _FILES}

ALIASES: Mapping[str, str] = {
    "yolov7": "yolov7-l",
    "yolov7x": "yolov7-x",
    **{
        name.replace("yolox-", "yolox_"): name
        for name in OFFICIAL_WEIGHTS
        if name.startswith("yolox-")
    },
}
"""Other spellings in use: the authors' own file names."""


def license_of(sha256: str) -> str | None:
    """The licence of an official file with this digest; ``None`` for any other file."""
    for weights in _FILES:
        if weights.sha256 == sha256:
            return weights.license
    return None
