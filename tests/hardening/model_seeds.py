"""Sound model files, as small as they can be.

What needs torch or a vendor's package is imported where it is used: a process that only reads
needs none of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.helper as oh
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from edgeyolo.contract import CONTRACT_KEY, Contract, InputSpec, encode
from edgeyolo.families import FAMILIES
from edgeyolo.spec import Backend, Family, Layout, ModelSpec, OutputKind, Precision
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
        text = encode(contract(Backend.ONNX, "model.onnx"))
        proto.metadata_props.add(key=CONTRACT_KEY, value=text)
        found.append(proto.SerializeToString())
    return found


def openvino_files(folder: Path) -> list[tuple[bytes, bytes]]:
    """The same as IR: content of the ``.xml`` and of the ``.bin``."""
    from edgeyolo.exporters.openvino_exporter import convert, embed_contract, save_ir

    found = []
    for quantised in (False, True):
        path = folder / "sound.xml"
        save_ir(convert(tiny_detector(quantised=quantised)), path, half=quantised)
        embed_contract(path, encode(contract(Backend.OPENVINO, "model.xml")))
        found.append((path.read_bytes(), path.with_suffix(".bin").read_bytes()))
    return found


def tflite_files() -> list[bytes]:
    """A one-level YOLOX in float, with half weights, and in int8."""
    from edgeyolo.calibration.ranges import RangeEstimator
    from edgeyolo.calibration.settings import Int8Settings
    from edgeyolo.calibration.tflite_int8 import quantize_tflite
    from edgeyolo.exporters.tflite_exporter import export_tflite, output_spec
    from edgeyolo.tflite.writer import set_metadata, to_bytes

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
