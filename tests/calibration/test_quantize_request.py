"""From pictures to INT8 files, through the cache and within a budget."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from edgeyolo.calibration.budget import Score, ScoreKind
from edgeyolo.calibration.cache import CalibrationCache
from edgeyolo.calibration.pictures import CalibrationPictures, choose_pictures
from edgeyolo.calibration.quantize import ModelFiles, QuantizeRequest, quantize
from edgeyolo.calibration.settings import Int8Settings
from edgeyolo.errors import AccuracyError, UnsupportedError
from edgeyolo.families import FAMILIES
from edgeyolo.openvino_core import new_core
from edgeyolo.spec import Backend, Family

FLOAT = Score(0.5, ScoreKind.AP, 10)


@pytest.fixture(scope="module")
def pictures(picture_folder: Path) -> CalibrationPictures:
    preprocess = FAMILIES[Family.YOLOV7].preprocess((64, 64))
    return choose_pictures(picture_folder, preprocess, most=6, allow_few=True)


@pytest.mark.parametrize("backend", [Backend.ONNX, Backend.TENSORRT, Backend.OPENVINO])
def test_every_backend_gives_files_and_a_record(
    tiny_detector: onnx.ModelProto, pictures: CalibrationPictures, backend: Backend
) -> None:
    model = quantize(
        QuantizeRequest(
            backend=backend, source=tiny_detector, pictures=pictures, settings=Int8Settings()
        )
    )
    expected = {"model.xml", "model.bin"} if backend is Backend.OPENVINO else {"model.onnx"}
    assert set(model.files) == expected
    assert model.record.algorithm == "mean-min-max"
    assert (model.record.images, model.record.digest) == (6, pictures.digest)
    assert sum(map(len, model.files.values())) < len(tiny_detector.SerializeToString()) * 4


def test_openvino_keeps_prediction_and_decode_float_and_depthwise_scales_per_channel(
    tiny_detector: onnx.ModelProto, pictures: CalibrationPictures, tmp_path: Path
) -> None:
    files = quantize(
        QuantizeRequest(
            backend=Backend.OPENVINO,
            source=tiny_detector,
            pictures=pictures,
            settings=Int8Settings(float_layers=frozenset({"merged"})),
        )
    ).files
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    model = new_core().read_model(str(tmp_path / "model.xml"))
    quantized = set()
    for operator in model.get_ordered_ops():
        if operator.get_type_name() not in ("Convolution", "GroupConvolution"):
            continue
        maker = operator.input_value(0).get_node()
        if maker.get_type_name() == "Transpose":  # of the pixels
            maker = maker.input_value(0).get_node()
            limits = [float(maker.input_value(port).get_node().data.item()) for port in (1, 2)]
            assert limits == [0.0, 255.0]
        if maker.get_type_name() == "FakeQuantize":
            name = operator.get_friendly_name().split("/")[0]
            quantized.add(name)
            scales = maker.input_value(2).get_node().data.size
            assert scales == (8 if name == "depthwise" else 1)
    assert quantized == {
        *("stem", "depthwise", "pointwise", "bottleneck", "side", "box_branch", "class_branch")
    }


def test_the_cache_spares_the_second_quantisation(
    tiny_detector: onnx.ModelProto, pictures: CalibrationPictures, tmp_path: Path
) -> None:
    calls: list[Int8Settings] = []

    def quantizer(settings: Int8Settings) -> ModelFiles:
        calls.append(settings)
        return {"model.tflite": b"int8"}

    request = QuantizeRequest(
        backend=Backend.TFLITE,
        source=tiny_detector,
        pictures=pictures,
        settings=Int8Settings(),
        quantizer=quantizer,
        cache=CalibrationCache(tmp_path),
    )
    assert quantize(request).files == quantize(request).files
    assert len(calls) == 1


def test_a_budget_leaves_the_most_sensitive_layers_float(
    tiny_detector: onnx.ModelProto, pictures: CalibrationPictures
) -> None:
    def quantizer(settings: Int8Settings) -> ModelFiles:
        return {"count": str(len(settings.float_layers)).encode()}

    def measure(files: ModelFiles) -> Score:
        return Score(0.5 - 0.02 + 0.008 * int(files["count"]), ScoreKind.AP, 10, network_ms=5.0)

    model = quantize(
        QuantizeRequest(
            backend=Backend.TFLITE,
            source=tiny_detector,
            pictures=pictures,
            settings=Int8Settings(),
            quantizer=quantizer,
            max_drop=0.005,
            float_score=FLOAT,
        ),
        measure,
    )
    assert model.files == {"count": b"2"}
    assert model.sensitivity is not None
    best = [layer.name for layer in model.sensitivity.order()][:2]
    assert list(model.record.float_layers) == best


def test_a_budget_that_cannot_be_met_is_refused(
    tiny_detector: onnx.ModelProto, pictures: CalibrationPictures
) -> None:
    request = QuantizeRequest(
        backend=Backend.TFLITE,
        source=tiny_detector,
        pictures=pictures,
        settings=Int8Settings(),
        quantizer=lambda settings: {"model": b""},
        max_drop=0.001,
        float_score=FLOAT,
    )
    # The depthwise one included, which TFLite has in int8.
    with pytest.raises(AccuracyError, match="8 layers float"):
        quantize(request, lambda files: Score(0.4, ScoreKind.AP, 10))


def test_tflite_needs_its_own_quantizer(
    tiny_detector: onnx.ModelProto, pictures: CalibrationPictures
) -> None:
    request = QuantizeRequest(
        backend=Backend.TFLITE, source=tiny_detector, pictures=pictures, settings=Int8Settings()
    )
    with pytest.raises(UnsupportedError, match="tflite"):
        quantize(request)
