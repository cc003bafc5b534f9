"""Engines built for real by TensorRT for RTX, whose parser and builder need no GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from edgeyolo.errors import BackendError, MissingPackageError, UnsupportedError
from edgeyolo.exporters.fp16_graph import to_fp16
from edgeyolo.exporters.tensorrt_builder import BatchRange, BuildOptions, BuiltEngine, build_engine
from edgeyolo.exporters.tensorrt_flags import Typing
from edgeyolo.runtimes.tensorrt_modules import TensorRt, pick_tensorrt
from edgeyolo.spec import Precision
from tests.doubles.tiny_detector import tiny_detector


@pytest.fixture(scope="module")
def rtx() -> TensorRt:
    try:
        return pick_tensorrt("tensorrt_rtx")
    except MissingPackageError as error:
        pytest.skip(str(error))


def build(
    rtx: TensorRt, model: onnx.ModelProto, precision: Precision, batch: BatchRange | None = None
) -> BuiltEngine:
    options = BuildOptions(precision=precision, batch=batch, workspace_mib=512)
    return build_engine(rtx, model.SerializeToString(), options)


@pytest.mark.parametrize("batch", [None, BatchRange(1, 2, 4)])
@pytest.mark.parametrize("precision", Precision)
def test_every_precision_builds_from_uint8_pixels_at_static_and_dynamic_batch(
    precision: Precision, batch: BatchRange | None, rtx: TensorRt
) -> None:
    model = tiny_detector(None if batch else 1, quantised=precision is Precision.INT8)
    if precision is not Precision.FP32:
        model, _ = to_fp16(model)
    engine = build(rtx, model, precision, batch)
    assert engine.plan
    assert engine.typing is Typing.STRONG
    # Said while fusing INT8 convolutions, of where it keeps their scales; the parser says nothing.
    assert [w for w in engine.warnings if not w.endswith("scales to fp32.")] == []


def test_a_quantised_network_without_fp16_builds_too(rtx: TensorRt) -> None:
    assert build(rtx, tiny_detector(quantised=True), Precision.INT8).plan


def test_a_node_that_the_parser_does_not_know_is_named(rtx: TensorRt) -> None:
    model = tiny_detector()
    model.graph.node[3].op_type = "Foo"
    with pytest.raises(BackendError, match=r"TensorRT for RTX .* node relu \(Foo\): .*Plugin"):
        build(rtx, model, Precision.FP32)


def test_what_is_not_onnx_is_an_error(rtx: TensorRt) -> None:
    with pytest.raises(BackendError, match=r"cannot parse the network: .*Failed to parse"):
        build_engine(rtx, b"garbage", BuildOptions(precision=Precision.FP32))


def test_types_that_contradict_are_an_error_and_not_a_silent_cast(rtx: TensorRt) -> None:
    model, _ = to_fp16(tiny_detector())
    for tensor in model.graph.initializer:
        if tensor.name == "w/fp16":
            tensor.CopyFrom(next(t for t in tiny_detector().graph.initializer if t.name == "w"))
            tensor.name = "w/fp16"
    with pytest.raises(BackendError, match=r"node stem \(Conv\)|could not build"):
        build(rtx, model, Precision.FP16)


def test_a_nonzero_zero_point_is_an_error_with_the_node(rtx: TensorRt) -> None:
    model = tiny_detector(quantised=True)
    for tensor in model.graph.initializer:
        if tensor.name == "z":
            tensor.CopyFrom(
                onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) + 1, "z")
            )
    with pytest.raises(BackendError, match=r"node q \(QuantizeLinear\)"):
        build(rtx, model, Precision.INT8)


def test_dla_does_not_exist_on_a_pc(rtx: TensorRt) -> None:
    options = BuildOptions(precision=Precision.FP16, dla_core=0)
    with pytest.raises(UnsupportedError, match="has no DLA"):
        build_engine(rtx, tiny_detector().SerializeToString(), options)


def test_an_engine_holds_the_weights_in_the_types_of_the_network(
    rtx: TensorRt, shared: Path
) -> None:
    model = onnx.load(shared / "assets/weights/yolox_nano_0.1.1rc0.onnx")
    half, _ = to_fp16(model)
    wide_engine = build(rtx, model, Precision.FP32)
    half_engine = build(rtx, half, Precision.FP16)
    # 0.91 M parameters: 3.6 MB against 1.8 MB, the rest is code.
    assert 1.5e6 < len(wide_engine.plan) - len(half_engine.plan) < 2.2e6
    assert wide_engine.elapsed_s < 10
    assert half_engine.elapsed_s < 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"workspace_mib": 0}, "workspace_mib must be at least 1"),
        ({"optimization_level": 6}, "0 to 5, got 6"),
        ({"dla_core": -1}, "must not be negative"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_birth(
    change: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        BuildOptions(precision=Precision.FP32, **change)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 <= smallest"):
        BatchRange(2, 1, 4)


def test_building_needs_neither_torch_nor_onnx() -> None:
    program = (
        "import sys, edgeyolo.exporters.tensorrt_build, edgeyolo.cli.build_command;"
        "print(sorted({'torch', 'onnx', 'tensorrt_rtx'} & set(sys.modules)))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    assert printed.strip() == "[]"
