"""A detector in miniature, and pictures to calibrate it with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

HW = (64, 64)


class NetBuilder:
    """Adds layers with random weights to an ONNX graph."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, op_type: str, name: str, *inputs: str, **attributes: object) -> str:
        self.nodes.append(
            helper.make_node(op_type, list(inputs), [f"{name}:0"], name, **attributes)
        )
        return f"{name}:0"

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def conv(
        self, name: str, source: str, ins: int, outs: int, *, size: int = 3, stride: int = 1,
        groups: int = 1,
    ) -> str:  # fmt: skip
        fan_in = ins // groups * size * size
        weights = self.random.normal(0, np.sqrt(2 / fan_in), (outs, ins // groups, size, size))
        bias = self.random.normal(0, 0.1, outs)
        return self.node(
            "Conv",
            name,
            source,
            self.constant(f"{name}.weight", weights.astype(np.float32)),
            self.constant(f"{name}.bias", bias.astype(np.float32)),
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[size // 2] * 4,
            group=groups,
        )

    def silu(self, name: str, source: str) -> str:
        return self.node("Mul", f"{name}/mul", source, self.node("Sigmoid", f"{name}/sig", source))

    def layer(self, name: str, source: str, ins: int, outs: int, **options: int) -> str:
        return self.silu(f"{name}.act", self.conv(name, source, ins, outs, **options))


@pytest.fixture(scope="session")
def tiny_detector() -> onnx.ModelProto:
    """Pixels in, boxes and scores out: stem, depthwise, residual, concat, heads, decode."""
    net = NetBuilder()
    pixels = net.node("Transpose", "nchw", "images", perm=[0, 3, 1, 2])
    scale = net.constant("scale", np.asarray(1 / 255, np.float32))
    x = net.node("Mul", "scaled", net.node("Cast", "cast", pixels, to=TensorProto.FLOAT), scale)
    x = net.layer("stem", x, 3, 8, stride=2)
    x = net.layer("depthwise", x, 8, 8, stride=2, groups=8)
    x = net.layer("pointwise", x, 8, 16, size=1)
    x = net.node("Add", "residual", x, net.layer("bottleneck", x, 16, 16))
    side = net.layer("side", x, 16, 16, size=1)
    x = net.layer("merged", net.node("Concat", "concat", x, side, axis=1), 32, 16)
    box = net.conv("box", net.layer("box_branch", x, 16, 16), 16, 4, size=1)
    classes = net.conv("classes", net.layer("class_branch", x, 16, 16), 16, 3, size=1)
    flat = net.constant("flat", np.array([1, 4, -1], np.int64))
    flat3 = net.constant("flat3", np.array([1, 3, -1], np.int64))
    boxes = net.node("Mul", "times_stride", net.node("Reshape", "box_flat", box, flat), "stride")
    net.constant("stride", np.asarray(4.0, np.float32))
    scores = net.node("Sigmoid", "score", net.node("Reshape", "class_flat", classes, flat3))
    for name, source in (("boxes", boxes), ("scores", scores)):
        net.nodes.append(
            helper.make_node("Transpose", [source], [name], f"out_{name}", perm=[0, 2, 1])
        )
    graph = helper.make_graph(
        net.nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, [1, *HW, 3])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 256, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 256, 3]),
        ],
        net.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


class RandomPixels:
    """Smooth random pictures as network input, the same ones on every iteration."""

    def __init__(self, count: int, hw: tuple[int, int] = HW) -> None:
        self.count = count
        self.hw = hw

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for seed in range(self.count):
            yield smooth_picture(seed, self.hw)[None]

    def sample(self, count: int) -> RandomPixels:
        return RandomPixels(min(count, self.count), self.hw)


def smooth_picture(seed: int, hw: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 with structure at several scales; brightness grows with the seed."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    fine = random.normal(0, 12, (*hw, 3))
    picture = cv2.resize(coarse, hw[::-1], interpolation=cv2.INTER_CUBIC).astype(np.float64)
    return np.clip((picture + fine) * (0.4 + 0.02 * (seed % 30)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def pixels() -> RandomPixels:
    return RandomPixels(8)


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 PNG files of two sizes."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(40):
        hw = (48, 80) if seed % 4 else (96, 64)
        cv2.imwrite(str(folder / f"{seed:03d}.png"), smooth_picture(seed, hw))
    return folder
