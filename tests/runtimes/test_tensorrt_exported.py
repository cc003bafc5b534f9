"""Networks as torch exports them, through the parser's and builder's rules of every version."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeyolo.calibration.nncf_backend import ActivationScheme
from edgeyolo.calibration.onnx_flavours import for_tensorrt
from edgeyolo.calibration.onnx_int8 import quantize_onnx
from edgeyolo.calibration.settings import Int8Settings
from edgeyolo.coco_names import COCO_NAMES
from edgeyolo.contract import Thresholds
from edgeyolo.errors import BackendError, UnsupportedError
from edgeyolo.exporters.graph_types import constants_as_initializers
from edgeyolo.exporters.nms_graph import append_suppression
from edgeyolo.exporters.onnx_exporter import export_onnx
from edgeyolo.exporters.tensorrt_builder import BatchRange, BuildOptions, build_engine
from edgeyolo.exporters.tensorrt_files import STRONG, WEAK, write_networks
from edgeyolo.exporters.tensorrt_flags import Typing, choose_flags
from edgeyolo.exporters.tensorrt_integers import shorten_slice_bounds
from edgeyolo.exporters.tensorrt_pixels import cast_pixels_first
from edgeyolo.exporters.tensorrt_recipe import read_recipe
from edgeyolo.families import FAMILIES
from edgeyolo.models.deploy import deploy
from edgeyolo.models.zoo import build
from edgeyolo.runtimes.tensorrt_modules import TensorRt
from edgeyolo.spec import ModelSpec, Precision
from tests.doubles.tensorrt_double import VERSIONS, recorded_tensorrt
from tests.doubles.tiny_detector import tiny_detector

HW = (96, 96)
NETWORKS = ("yolox-nano", "yolov7-tiny")
BATCHES = {"static": None, "dynamic": BatchRange(1, 2, 4)}


class Noise:
    """Calibration input that nothing is to be learnt from: types and operators count here."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        rng = np.random.default_rng(7)
        for _ in range(self._count):
            yield rng.integers(0, 256, (1, *HW, 3), np.uint8)

    def sample(self, count: int) -> Noise:
        return Noise(min(count, self._count))


@cache
def exported(name: str, batch: int | None) -> onnx.ModelProto:
    torch.manual_seed(0)
    model, _ = deploy(build(name, len(COCO_NAMES)).eval())
    spec = ModelSpec(
        family=model.family,
        variant=name.split("-", 1)[1],
        class_names=COCO_NAMES,
        strides=model.strides,
        anchors_px=model.anchors_px,
        preprocess=FAMILIES[model.family].preprocess(HW),
    )
    network, report = export_onnx(model, spec, batch=batch)
    assert not report.problem
    return network


@cache
def quantised(name: str, batch: int | None) -> onnx.ModelProto:
    network, scheme = exported(name, batch), ActivationScheme.SYMMETRIC
    return for_tensorrt(quantize_onnx(network, Noise(2), Int8Settings(), scheme=scheme))


def by_onnxruntime(model: onnx.ModelProto, values: NDArray[Any]) -> list[NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    outputs: list[NDArray[np.float32]] = session.run(None, {session.get_inputs()[0].name: values})
    return outputs


def wide_constants(network: onnx.ModelProto) -> list[str]:
    return [
        tensor.name
        for tensor in network.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT64
        and (np.abs(numpy_helper.to_array(tensor)) > 2**31).any()
    ]


@pytest.mark.parametrize("suppressed", [False, True], ids=["decoded", "nms"])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_version_parses_and_builds_the_exported_network(
    name: str, precision: Precision, batch: str, suppressed: bool, tmp_path: Path
) -> None:
    count = None if BATCHES[batch] else 1
    network = (quantised if precision is Precision.INT8 else exported)(name, count)
    if suppressed:
        network = append_suppression(network, Thresholds())
    write_networks(tmp_path, network, precision, batch=BATCHES[batch])
    recipe = read_recipe(tmp_path)
    for version in VERSIONS:
        trt = TensorRt(recorded_tensorrt(version), "tensorrt", version)
        typing = choose_flags(trt, precision).typing
        options = BuildOptions(
            precision=precision,
            batch=recipe.batch,
            float32_layers=recipe.float32_layers if typing is Typing.WEAK else (),
        )
        engine = build_engine(trt, (tmp_path / recipe.network(typing)).read_bytes(), options)
        assert engine.plan
        if typing is Typing.STRONG:
            assert engine.warnings == ()
        else:
            assert all("INT64" in said or "build time" in said for said in engine.warnings)


def test_an_end_of_a_slice_beyond_int32_means_the_same_within_it(tmp_path: Path) -> None:
    network = exported("yolox-nano", 1)
    as_torch_wrote_it = onnx.ModelProto.FromString(network.SerializeToString())
    constants_as_initializers(as_torch_wrote_it)
    assert wide_constants(as_torch_wrote_it), "torch writes open slices in another way now"
    write_networks(tmp_path, network, Precision.FP32)
    written = onnx.load(tmp_path / STRONG)
    assert wide_constants(written) == []
    pixels = next(iter(Noise(1)))
    for found, wanted in zip(
        by_onnxruntime(written, pixels), by_onnxruntime(network, pixels), strict=True
    ):
        assert_array_equal(found, wanted)


def test_8_gets_float_weights_that_quantise_to_the_very_integers(tmp_path: Path) -> None:
    network = quantised("yolox-nano", 1)
    constants = {tensor.name: tensor.data_type for tensor in network.graph.initializer}
    dequantised = [
        node.name
        for node in network.graph.node
        if constants.get(node.input[0]) == TensorProto.INT8 and node.op_type == "DequantizeLinear"
    ]
    assert dequantised, "NNCF stores weights in another way now"
    write_networks(tmp_path, network, Precision.INT8)
    written = onnx.load(tmp_path / WEAK)
    weights = {tensor.name: tensor for tensor in network.graph.initializer}
    before = {node.name: node for node in network.graph.node}
    after = {node.output[0]: node for node in written.graph.node}
    probe = onnx.ModelProto.FromString(written.SerializeToString())
    integers = []
    for node in written.graph.node:
        if node.name in dequantised:
            integers.append((node.input[0], weights[before[node.name].input[0]]))
            assert after[node.input[0]].op_type == "QuantizeLinear"
    assert len(integers) == len(dequantised)
    del probe.graph.output[:]
    probe.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.INT8, list(stored.dims))
        for name, stored in integers
    )
    for found, (name, stored) in zip(
        by_onnxruntime(probe, next(iter(Noise(1)))), integers, strict=True
    ):
        assert_array_equal(found, numpy_helper.to_array(stored), err_msg=name)


def test_8_refuses_int8_constants_with_the_node() -> None:
    network = onnx.ModelProto.FromString(quantised("yolox-nano", 1).SerializeToString())
    constants_as_initializers(network)
    cast_pixels_first(network)
    shorten_slice_bounds(network)
    trt = TensorRt(recorded_tensorrt("8.6.1"), "tensorrt", "8.6.1")
    message = (
        r"cannot parse the network: node .*\(DequantizeLinear\): .*invalid weights type of Int8"
    )
    with pytest.raises(BackendError, match=message):
        build_engine(trt, network.SerializeToString(), BuildOptions(precision=Precision.INT8))


def test_8_refuses_the_network_as_torch_wrote_it() -> None:
    network = onnx.ModelProto.FromString(exported("yolox-nano", 1).SerializeToString())
    constants_as_initializers(network)
    cast_pixels_first(network)
    trt = TensorRt(recorded_tensorrt("8.6.1"), "tensorrt", "8.6.1")
    with pytest.raises(BackendError, match=r"would change a type.*INT32 was clamped"):
        build_engine(trt, network.SerializeToString(), BuildOptions(precision=Precision.FP32))


def sliced(start: int, end: int, step: int) -> onnx.ModelProto:
    """0..9, sliced."""
    values = {"starts": start, "ends": end, "axes": 0, "steps": step}
    graph = helper.make_graph(
        [
            helper.make_node("Slice", ["x", *values], ["y"], "slice"),
            helper.make_node("Identity", ["ends"], ["copy"], "other"),
        ],
        "sliced",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [10])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
        [numpy_helper.from_array(np.array([value]), name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.mark.parametrize(
    ("start", "end", "step"), [(2, 2**63 - 1, 3), (-1, -(2**63), -1), (-(2**63), 2**40, 1)]
)
def test_bounds_of_a_slice_are_shortened_at_both_ends(start: int, end: int, step: int) -> None:
    model = sliced(start, end, step)
    del model.graph.node[1]
    x = np.arange(10, dtype=np.float32)
    wanted = by_onnxruntime(model, x)[0]
    shorten_slice_bounds(model)
    onnx.checker.check_model(model, full_check=True)
    assert wide_constants(model) == []
    assert_array_equal(by_onnxruntime(model, x)[0], wanted)


def test_a_wide_integer_with_another_meaning_is_refused_by_name() -> None:
    message = r"'ends' of node 'other' \(Identity\) is 9223372036854775807; TensorRT 8\.x has"
    with pytest.raises(UnsupportedError, match=message):
        shorten_slice_bounds(sliced(2, 2**63 - 1, 3))


def test_what_8_says_of_an_index_that_its_parser_types_is_no_error() -> None:
    trt = TensorRt(recorded_tensorrt("8.6.1"), "tensorrt", "8.6.1")
    network = append_suppression(tiny_detector(), Thresholds())
    options = BuildOptions(precision=Precision.FP32)
    engine = build_engine(trt, network.SerializeToString(), options)
    assert any("determined at build time" in warning for warning in engine.warnings)
