"""Whole networks, from PyTorch to an engine, built for real by TensorRT for RTX."""

from __future__ import annotations

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
from edgeyolo.errors import MissingPackageError
from edgeyolo.exporters.graph_types import element_types
from edgeyolo.exporters.onnx_exporter import export_onnx
from edgeyolo.exporters.tensorrt_builder import BatchRange, BuildOptions, BuiltEngine, build_engine
from edgeyolo.exporters.tensorrt_files import STRONG, WEAK, write_networks
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


@pytest.fixture(scope="module")
def official_nano(shared: Path) -> tuple[onnx.ModelProto, ModelSpec]:
    loaded = load_model(shared / "assets/weights/yolox_nano_0.1.1rc0_refolded.pth")
    deployed, _ = deploy(loaded.model)
    network, _ = export_onnx(deployed, loaded.spec)
    return network, loaded.spec


def test_the_official_nano_builds_in_int8_with_its_quantisers_beside_its_convolutions(
    official_nano: tuple[onnx.ModelProto, ModelSpec],
    shared: Path,
    rtx: TensorRt,
    tmp_path: Path,
) -> None:
    network, spec = official_nano
    pictures = choose_pictures(
        shared / "assets/coco128_train2017/images", spec.preprocess, most=8, allow_few=True
    )
    quantised = for_tensorrt(
        quantize_onnx(network, pictures, Int8Settings(), scheme=ActivationScheme.SYMMETRIC)
    )
    engine = built(rtx, quantised, Precision.INT8, None, tmp_path)
    assert complaints(engine) == []
    assert engine.elapsed_s < 10
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
