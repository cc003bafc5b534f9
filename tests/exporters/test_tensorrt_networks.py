"""Whole networks, from PyTorch to an engine, built for real by TensorRT for RTX."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch

from edgeyolo.calibration.nncf_backend import ActivationScheme
from edgeyolo.calibration.onnx_flavours import for_tensorrt
from edgeyolo.calibration.onnx_int8 import quantize_onnx
from edgeyolo.calibration.pictures import choose_pictures
from edgeyolo.calibration.settings import Int8Settings
from edgeyolo.checkpoints.load import load_model
from edgeyolo.coco_names import COCO_NAMES
from edgeyolo.contract import Thresholds
from edgeyolo.errors import MissingPackageError
from edgeyolo.exporters.graph_types import element_types
from edgeyolo.exporters.nms_graph import append_suppression
from edgeyolo.exporters.nms_rows_graph import append_suppression_rows
from edgeyolo.exporters.onnx_exporter import export_onnx
from edgeyolo.exporters.tensorrt_builder import BatchRange, BuildOptions, BuiltEngine, build_engine
from edgeyolo.exporters.tensorrt_files import STRONG, WEAK, write_networks
from edgeyolo.exporters.tensorrt_flags import Typing
from edgeyolo.exporters.tensorrt_recipe import read_recipe
from edgeyolo.families import FAMILIES
from edgeyolo.models.deploy import deploy
from edgeyolo.models.zoo import build
from edgeyolo.runtimes.tensorrt_modules import TensorRt, pick_tensorrt
from edgeyolo.spec import ModelSpec, Precision

DYNAMIC = BatchRange(1, 2, 4)


@pytest.fixture(scope="module")
def rtx() -> TensorRt:
    try:
        return pick_tensorrt("tensorrt_rtx")
    except MissingPackageError as error:
        pytest.skip(str(error))


def exported(name: str, batch: int | None) -> onnx.ModelProto:
    """A published network with random weights, 320 x 320."""
    torch.manual_seed(0)
    model, _ = deploy(build(name, len(COCO_NAMES)).eval())
    spec = ModelSpec(
        family=model.family,
        variant=name.split("-", 1)[1],
        class_names=COCO_NAMES,
        strides=model.strides,
        anchors_px=model.anchors_px,
        preprocess=FAMILIES[model.family].preprocess((320, 320)),
    )
    network, report = export_onnx(model, spec, batch=batch)
    assert not report.problem
    return network


def built(
    rtx: TensorRt,
    network: onnx.ModelProto,
    precision: Precision,
    batch: BatchRange | None,
    folder: Path,
) -> BuiltEngine:
    write_networks(folder, network, precision, batch=batch)
    options = BuildOptions(precision=precision, batch=batch, workspace_mib=1024)
    return build_engine(rtx, (folder / STRONG).read_bytes(), options)


def complaints(engine: BuiltEngine) -> list[str]:
    """Warnings but what is said while fusing INT8 convolutions, of where scales are kept."""
    return [w for w in engine.warnings if not w.endswith("scales to fp32.")]


@pytest.mark.parametrize("batch", [None, DYNAMIC], ids=["static", "dynamic"])
@pytest.mark.parametrize(
    "name",
    [
        "yolox-nano",
        pytest.param("yolox-s", marks=pytest.mark.slow),
        pytest.param("yolov7-tiny", marks=pytest.mark.slow),
        pytest.param("yolov7-l", marks=pytest.mark.slow),
    ],
)
def test_networks_build_in_fp32_and_fp16_without_a_warning(
    name: str, batch: BatchRange | None, rtx: TensorRt, tmp_path: Path
) -> None:
    network = exported(name, None if batch else 1)
    for precision in (Precision.FP32, Precision.FP16):
        folder = tmp_path / precision.value
        folder.mkdir()
        engine = built(rtx, network, precision, batch, folder)
        assert complaints(engine) == []
        if name == "yolox-nano":
            assert engine.elapsed_s < 10


class OfficialNano:
    """Graphs of the published weights, 416 x 416, made once each."""

    def __init__(self, shared: Path) -> None:
        loaded = load_model(shared / "assets/weights/yolox_nano_0.1.1rc0_refolded.pth")
        self._model, _ = deploy(loaded.model)
        self._spec = loaded.spec
        self._pictures = choose_pictures(
            shared / "assets/coco128_train2017/images",
            loaded.spec.preprocess,
            most=4,
            allow_few=True,
        )
        self._made: dict[tuple[bool, int | None], onnx.ModelProto] = {}

    def network(self, precision: Precision, batch: int | None) -> onnx.ModelProto:
        key = (precision is Precision.INT8, batch)
        if key not in self._made:
            network, report = export_onnx(self._model, self._spec, batch=batch)
            assert not report.problem
            self._made[key] = self._quantised(network) if key[0] else network
        return self._made[key]

    def _quantised(self, network: onnx.ModelProto) -> onnx.ModelProto:
        scheme = ActivationScheme.SYMMETRIC
        return for_tensorrt(quantize_onnx(network, self._pictures, Int8Settings(), scheme=scheme))


@pytest.fixture(scope="module")
def official_nano(shared: Path) -> OfficialNano:
    return OfficialNano(shared)


@pytest.mark.parametrize("suppressed", [False, True], ids=["decoded", "nms"])
@pytest.mark.parametrize("batch", [None, DYNAMIC], ids=["static", "dynamic"])
@pytest.mark.parametrize("precision", Precision)
def test_the_official_nano_builds_in_seconds_without_a_warning(
    precision: Precision,
    batch: BatchRange | None,
    suppressed: bool,
    official_nano: OfficialNano,
    rtx: TensorRt,
    record_property: Callable[[str, object], None],
    tmp_path: Path,
) -> None:
    network = official_nano.network(precision, None if batch else 1)
    if suppressed:
        write_networks(
            tmp_path,
            append_suppression(network, Thresholds()),
            precision,
            batch=batch,
            rtx_network=append_suppression_rows(network, Thresholds()),
        )
    else:
        write_networks(tmp_path, network, precision, batch=batch)
    file = tmp_path / read_recipe(tmp_path).network(Typing.STRONG, is_rtx=True)
    options = BuildOptions(precision=precision, batch=batch, workspace_mib=1024)
    cpu_s = -time.process_time()
    engine = build_engine(rtx, file.read_bytes(), options)
    cpu_s += time.process_time()
    times = f"{engine.elapsed_s:.2f} s ({cpu_s:.2f} s of CPU)"
    print(f"{rtx}: built in {times}, {len(engine.plan) / 1e6:.2f} MB")
    record_property("build_s", round(engine.elapsed_s, 2))
    assert complaints(engine) == []
    # CPU time is what a build takes on a machine with nothing else to do, where it uses one core.
    assert min(engine.elapsed_s, cpu_s) < 10, times


def test_the_official_nano_in_int8_has_its_quantisers_beside_its_convolutions(
    official_nano: OfficialNano, tmp_path: Path
) -> None:
    write_networks(tmp_path, official_nano.network(Precision.INT8, 1), Precision.INT8)
    typed = onnx.load(tmp_path / STRONG)
    made_by = {node.output[0]: node for node in typed.graph.node}
    types = element_types(typed)
    between = [
        node.name
        for node in typed.graph.node
        if node.op_type == "Conv"
        for name in node.input[:2]
        if name in made_by
        and made_by[name].op_type == "Cast"
        and made_by[made_by[name].input[0]].op_type == "DequantizeLinear"
    ]
    assert between == [], "a cast between DQ and convolution undoes fusion"
    convolutions = [node for node in typed.graph.node if node.op_type == "Conv"]
    assert {types[node.output[0]] for node in convolutions} == {onnx.TensorProto.FLOAT16}
    assert onnx.load(tmp_path / WEAK).opset_import[0].version <= 17
