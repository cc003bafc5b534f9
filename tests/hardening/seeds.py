"""Sound files of every kind, as small as they can be: what the mutations start from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnx.helper as oh
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from edgeyolo.calibration.ranges import RangeEstimator
from edgeyolo.calibration.settings import Int8Settings
from edgeyolo.calibration.tflite_int8 import quantize_tflite
from edgeyolo.contract import CONTRACT_KEY, Contract, InputSpec, encode
from edgeyolo.exporters.onnx_exporter import embed_contract
from edgeyolo.exporters.openvino_exporter import convert, save_ir
from edgeyolo.exporters.openvino_exporter import embed_contract as embed_in_ir
from edgeyolo.exporters.tflite_exporter import export_tflite, output_spec
from edgeyolo.families import FAMILIES
from edgeyolo.spec import Backend, Family, Layout, ModelSpec, OutputKind, Precision
from edgeyolo.tflite.writer import set_metadata, to_bytes
from tests.doubles.tiny_detector import tiny_contract, tiny_detector

HW = (64, 96)
SPEC = ModelSpec(
    family=Family.YOLOX,
    variant="custom",
    class_names=("cup", "plate"),
    strides=(32,),
    anchors_px=None,
    preprocess=FAMILIES[Family.YOLOX].preprocess(HW),
)


def onnx_files() -> list[bytes]:
    """Detectors with a contract inside: float, and with quantisers."""
    found = []
    for quantised in (False, True):
        proto = tiny_detector(quantised=quantised)
        embed_contract(proto, encode(contract(Backend.ONNX, "model.onnx")))
        found.append(proto.SerializeToString())
    return found


def openvino_files(folder: Path) -> list[tuple[bytes, bytes]]:
    """The same as IR: content of the ``.xml`` and of the ``.bin``."""
    found = []
    for quantised in (False, True):
        path = folder / "sound.xml"
        save_ir(convert(tiny_detector(quantised=quantised)), path, half=quantised)
        embed_in_ir(path, encode(contract(Backend.OPENVINO, "model.xml")))
        found.append((path.read_bytes(), path.with_suffix(".bin").read_bytes()))
    return found


def tflite_files() -> list[bytes]:
    """A one-level YOLOX in float, with half weights, and in int8."""
    raw = one_level_detector()
    models = [export_tflite(raw, SPEC), export_tflite(raw, SPEC, precision=Precision.FP16)]
    settings = Int8Settings(estimator=RangeEstimator.MIN_MAX)
    graphs = [
        *(model.graph for model in models),
        quantize_tflite(models[0].graph, Noise(), settings),
    ]
    found = []
    for graph in graphs:
        described = dataclasses.replace(
            contract(Backend.TFLITE, "model.tflite"),
            model=SPEC,
            input=models[0].input,
            output=output_spec(graph, OutputKind.DECODED),
        )
        found.append(set_metadata(to_bytes(graph), CONTRACT_KEY, encode(described).encode()))
    return found


def contract(backend: Backend, entry: str) -> Contract:
    """The contract of ``tiny_detector`` for *backend*."""
    return dataclasses.replace(
        tiny_contract(entry),
        backend=backend,
        input=InputSpec(
            name="images", layout=Layout.NHWC, dtype="uint8", preprocessed_in_graph=True, batch=1
        ),
    )


class Noise:
    """Two pictures to calibrate on."""

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        rng = np.random.default_rng(3)
        for _ in range(2):
            yield rng.integers(0, 256, (1, *HW, 3), np.uint8)

    def sample(self, count: int) -> Noise:
        return self


def one_level_detector() -> onnx.ModelProto:
    """Two SiLU convolutions, a pool, a concatenation, a resize and the head of one level."""
    rng = np.random.default_rng(5)
    constants: list[onnx.TensorProto] = []
    nodes = [
        oh.make_node("Cast", ["images"], ["pixels"], name="cast", to=TensorProto.FLOAT),
        oh.make_node("Transpose", ["pixels"], ["x"], name="layout", perm=[0, 3, 1, 2]),
    ]

    def conv(source: str, name: str, shape: tuple[int, ...], stride: int, scale: float) -> None:
        weights = rng.standard_normal(shape, np.float32) * np.float32(scale)
        constants.append(numpy_helper.from_array(weights, f"{name}_weights"))
        constants.append(numpy_helper.from_array(np.zeros(shape[0], np.float32), f"{name}_bias"))
        inputs = [source, f"{name}_weights", f"{name}_bias"]
        nodes.append(oh.make_node("Conv", inputs, [name], name=name, strides=[stride] * 2))

    def silu(source: str) -> str:
        nodes.append(oh.make_node("Sigmoid", [source], [f"{source}_gate"], f"{source}_gate"))
        made = f"{source}_silu"
        nodes.append(oh.make_node("Mul", [source, f"{source}_gate"], [made], made))
        return made

    conv("x", "stem", (4, 3, 8, 8), 8, 1e-3)
    conv(silu("stem"), "deep", (4, 4, 2, 2), 2, 0.3)
    deep = silu("deep")
    nodes.append(
        oh.make_node("MaxPool", [deep], ["small"], "pool", kernel_shape=[2, 2], strides=[2, 2])
    )
    nodes.append(
        oh.make_node("MaxPool", ["small"], ["wide"], "spp", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    )
    nodes.append(oh.make_node("Concat", ["small", "wide"], ["both"], "both", axis=1))
    outputs = []
    for part, channels in (("box", 4), ("objectness", 1), ("classes", 2)):
        conv("both", f"level0_{part}", (channels, 8, 1, 1), 1, 0.1)
        outputs.append(oh.make_tensor_value_info(f"level0_{part}", TensorProto.FLOAT, None))
    graph = oh.make_graph(
        nodes,
        "detector",
        [oh.make_tensor_value_info("images", TensorProto.UINT8, [1, *HW, 3])],
        outputs,
        constants,
    )
    return oh.make_model(graph, opset_imports=[oh.make_opsetid("", 17)], ir_version=8)


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
