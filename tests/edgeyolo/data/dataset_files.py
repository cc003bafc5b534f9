"""Small data sets on disk, built by the tests that need them."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def textured(hw: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """A picture with structure: smooth colours, (H, W, 3) uint8 BGR."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (hw[1], hw[0]), interpolation=cv2.INTER_CUBIC), np.uint8)


def write_picture(path: Path, picture: NDArray[Any], *extra: int) -> None:
    """cv2.imwrite cannot write every unicode path on every platform; bytes can."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done, content = cv2.imencode(path.suffix, picture, list(extra))
    assert done
    path.write_bytes(content.tobytes())


def coco_folder(root: Path, count: int = 4, hw: tuple[int, int] = (48, 64)) -> dict[str, Any]:
    """``images/`` and ``instances.json`` with *count* pictures of two boxes each."""
    document: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 3, "name": "ball"}, {"id": 1, "name": "cube"}],
    }
    for index in range(count):
        name = f"{index:03d}.jpg"
        write_picture(root / "images" / name, textured(hw, index))
        document["images"].append(
            {"id": 10 + index, "file_name": name, "height": hw[0], "width": hw[1]}
        )
        for number, (category, box) in enumerate(
            [(1, [4.0, 5.0, 20.0, 10.0]), (3, [30.0, 8.0, 25.5, 30.25])]
        ):
            document["annotations"].append(
                {
                    "id": 2 * index + number + 1,
                    "image_id": 10 + index,
                    "category_id": category,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    save_json(root, document)
    return document


def save_json(root: Path, document: object) -> None:
    (root / "instances.json").write_text(json.dumps(document), encoding="utf-8")


def exif_rotated(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an EXIF orientation tag in front."""
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    payload = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + jpeg[2:]


def png_of(hw: tuple[int, int], *, claims_hw: tuple[int, int]) -> bytes:
    """A PNG whose header claims another size than its pixel data has."""
    _, content = cv2.imencode(".png", textured(hw))
    raw = bytearray(content.tobytes())
    raw[16:24] = struct.pack(">II", claims_hw[1], claims_hw[0])
    raw[29:33] = struct.pack(">I", zlib.crc32(bytes(raw[12:29])))
    return bytes(raw)
