"""Sound pictures, videos and label files, as small as they can be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def scene(hw: tuple[int, int] = (48, 64), seed: int = 0) -> NDArray[np.uint8]:
    """A picture with structure: smooth colours, (H, W, 3) uint8 BGR."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (hw[1], hw[0]), interpolation=cv2.INTER_CUBIC), np.uint8)


def pictures() -> dict[str, list[bytes]]:
    """Encoded pictures by suffix: grey, colour, alpha, 16 bit, progressive, compressed or not."""
    colour = scene()
    grey, deep = cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY), colour.astype(np.uint16) * 257
    alpha = cv2.cvtColor(colour, cv2.COLOR_BGR2BGRA)
    made: dict[str, list[tuple[NDArray[Any], list[int]]]] = {
        ".jpg": [
            (colour, []),
            (grey, []),
            (colour, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2]),
        ],
        ".png": [(colour, []), (alpha, []), (deep, []), (grey, [cv2.IMWRITE_PNG_BILEVEL, 1])],
        ".bmp": [(colour, []), (grey, []), (alpha, [])],
        ".webp": [(colour, [cv2.IMWRITE_WEBP_QUALITY, 60]), (alpha, [])],
        ".tiff": [
            (colour, []),
            (deep, [cv2.IMWRITE_TIFF_COMPRESSION, 5]),
            (grey, [cv2.IMWRITE_TIFF_COMPRESSION, 8]),
        ],
        ".ppm": [(colour, []), (colour, [cv2.IMWRITE_PXM_BINARY, 0])],
        ".pgm": [(grey, [])],
    }
    found: dict[str, list[bytes]] = {}
    for suffix, variants in made.items():
        for pixels, flags in variants:
            done, content = cv2.imencode(suffix, pixels, flags)
            assert done
            found.setdefault(suffix, []).append(content.tobytes())
    found[".jpg"].append(_with_exif(found[".jpg"][0]))
    return found


def _with_exif(jpeg: bytes) -> bytes:
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    segment = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + jpeg[2:]


def videos(folder: Path) -> dict[str, list[bytes]]:
    """Eight frames each, as Motion JPEG and MPEG-4 in every container that OpenCV writes."""
    found: dict[str, list[bytes]] = {}
    for suffix, codec in ((".avi", "MJPG"), (".avi", "XVID"), (".mp4", "mp4v"), (".mkv", "MJPG")):
        path = folder / f"sound{suffix}"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10.0, (64, 48))
        assert writer.isOpened()
        for index in range(8):
            writer.write(scene(seed=index))
        writer.release()
        found.setdefault(suffix, []).append(path.read_bytes())
    return found


def coco_document(names: list[str]) -> bytes:
    """COCO annotations of pictures of 64x48 pixels."""
    return json.dumps(
        {
            "images": [
                {"id": 10 + index, "file_name": name, "height": 48, "width": 64}
                for index, name in enumerate(names)
            ],
            "annotations": [
                {
                    "id": 2 * index + number,
                    "image_id": 10 + index,
                    "category_id": category,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                    "segmentation": [[4.0, 5.0, 24.0, 5.0, 24.0, 15.0]],
                }
                for index in range(len(names))
                for number, (category, box) in enumerate(
                    [(1, [4.0, 5.0, 20.0, 10.0]), (3, [30.0, 8.0, 25.5, 30.25])]
                )
            ],
            "categories": [{"id": 3, "name": "ball"}, {"id": 1, "name": "cube"}],
        }
    ).encode()


VOC = b"""<annotation><folder>f</folder><filename>a.jpg</filename>
<size><width>64</width><height>48</height><depth>3</depth></size>
<object><name>cube</name><difficult>0</difficult><bndbox>
<xmin>3</xmin><ymin>4</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>
<object><name>ball</name><bndbox><xmin>1.5</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax>
</bndbox></object></annotation>
"""
YOLO = b"0 0.5 0.5 0.2 0.3\n1 0.1 0.1 0.4 0.1 0.3 0.5\n1 .25 .25 .5 .5\n"
DATASET_YAML = (
    b"# data\npath: .\ntrain: images\nval: [images]\ntest: list.txt\nnc: 2\n"
    b"names:\n  0: cube\n  1: ball\n"
)
