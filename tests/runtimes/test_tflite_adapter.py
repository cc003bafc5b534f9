"""TFLite files through the adapter: the real LiteRT on small real files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnx.helper as oh
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from edgeyolo.contract import CONTRACT_KEY, Contract, Provenance, decode, encode
from edgeyolo.errors import ArtifactError, BackendError
from edgeyolo.exporters.tflite_exporter import TfliteModel, export_tflite
from edgeyolo.families import FAMILIES
from edgeyolo.runtimes.session import SessionOptions
from edgeyolo.runtimes.tflite_adapter import TfliteRuntime, TfliteSession
from edgeyolo.spec import Backend, Family, ModelSpec, OutputKind, Precision
from edgeyolo.tflite.writer import set_metadata, to_bytes

SPEC = ModelSpec(
    family=Family.YOLOX,
    variant="custom",
    class_names=("cup", "plate"),
    strides=(32,),
    anchors_px=None,
    preprocess=FAMILIES[Family.YOLOX].preprocess((64, 96)),
)


def one_level_detector() -> onnx.ModelProto:
    """uint8 pixels through three strided convolutions that are the head of one level."""
    rng = np.random.default_rng(5)
    nodes = [
        oh.make_node("Cast", ["images"], ["pixels"], name="cast", to=onnx.TensorProto.FLOAT),
        oh.make_node("Transpose", ["pixels"], ["x"], name="layout", perm=[0, 3, 1, 2]),
    ]
    constants = []
    for part, channels in (("box", 4), ("objectness", 1), ("classes", 2)):
        weights = rng.standard_normal((channels, 3, 32, 32), np.float32) * np.float32(1e-4)
        constants.append(onnx.numpy_helper.from_array(weights, f"{part}_weights"))
        nodes.append(
            oh.make_node(
                "Conv", ["x", f"{part}_weights"], [f"level0_{part}"], name=part, strides=[32, 32]
            )
        )
    graph = oh.make_graph(
        nodes,
        "detector",
        [oh.make_tensor_value_info("images", onnx.TensorProto.UINT8, [1, 64, 96, 3])],
        [
            oh.make_tensor_value_info(f"level0_{part}", onnx.TensorProto.FLOAT, None)
            for part in ("box", "objectness", "classes")
        ],
        constants,
    )
    return oh.make_model(graph, opset_imports=[oh.make_opsetid("", 17)], ir_version=8)


def contract_of(model: TfliteModel, precision: Precision = Precision.FP32) -> Contract:
    return Contract(
        model=SPEC,
        backend=Backend.TFLITE,
        precision=precision,
        input=model.input,
        output=model.output,
        entry="model.tflite",
        provenance=Provenance(source_name="test", source_sha256="0" * 64, created="", tools={}),
    )


def write(model: TfliteModel, path: Path) -> None:
    data = set_metadata(to_bytes(model.graph), CONTRACT_KEY, encode(contract_of(model)).encode())
    path.write_bytes(data)


def opened(
    folder: Path, form: OutputKind = OutputKind.DECODED, batch: int | None = 1
) -> TfliteSession:
    model = export_tflite(one_level_detector(), SPEC, form=form, batch=batch)
    path = folder / "model.tflite"
    write(model, path)
    return TfliteRuntime().open(path, contract_of(model), SessionOptions(threads=1))


def frames(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, 64, 96, 3), np.uint8)


def test_outputs_come_in_the_order_of_the_contract(tmp_path: Path) -> None:
    boxes, scores = opened(tmp_path).run(frames(1))
    assert boxes.shape == (1, 6, 4)
    assert scores.shape == (1, 6, 2)
    assert (boxes[..., 2:] > boxes[..., :2]).all()
    assert ((scores > 0) & (scores < 1)).all()


def test_raw_heads_decoded_on_the_host_equal_the_decoded_file(tmp_path: Path) -> None:
    boxes, scores = opened(tmp_path).run(frames(1))
    heads = opened(tmp_path, OutputKind.RAW).run(frames(1))
    host_boxes, host_scores = FAMILIES[Family.YOLOX].decode(heads, SPEC)
    assert_allclose(boxes, host_boxes, rtol=1e-5, atol=1e-4)
    assert_allclose(scores, host_scores, rtol=1e-5)


@pytest.mark.parametrize("batch", [2, 4])
def test_a_batch_gives_what_single_pictures_give(tmp_path: Path, batch: int) -> None:
    pictures = frames(batch)
    single = opened(tmp_path)
    expected = [single.run(pictures[i : i + 1])[0].copy() for i in range(batch)]
    together = opened(tmp_path, batch=batch).run(pictures)[0]
    # Kernels may block a batch differently: float32 rounding only.
    assert_allclose(together, np.concatenate(expected), rtol=1e-5, atol=1e-4)


def test_a_file_of_any_batch_takes_what_comes(tmp_path: Path) -> None:
    session = opened(tmp_path, batch=None)
    alone = session.run(frames(1))[0].copy()
    assert_allclose(session.run(frames(3))[0][:1], alone, rtol=1e-5, atol=1e-4)
    assert_allclose(session.run(frames(1))[0], alone, rtol=1e-5, atol=1e-4)


def test_a_fixed_batch_refuses_another_one(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="export with another batch"):
        opened(tmp_path).run(frames(2))


def test_buffers_are_kept_between_calls(tmp_path: Path) -> None:
    session = opened(tmp_path)
    first = session.run(frames(1))
    second = session.run(np.zeros((1, 64, 96, 3), np.uint8))
    assert all(a is b for a, b in zip(first, second, strict=True))


def test_a_wrong_dtype_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="takes uint8, got float32"):
        opened(tmp_path).run(frames(1).astype(np.float32))


def test_a_closed_session_says_so(tmp_path: Path) -> None:
    session = opened(tmp_path)
    session.close()
    with pytest.raises(BackendError, match="closed"):
        session.run(frames(1))


def test_the_contract_travels_in_the_file(tmp_path: Path) -> None:
    model = export_tflite(one_level_detector(), SPEC)
    path = tmp_path / "model.tflite"
    write(model, path)
    text = TfliteRuntime().read_contract(path)
    assert text is not None
    assert decode(text, origin="test") == contract_of(model)
    path.write_bytes(to_bytes(model.graph))
    assert TfliteRuntime().read_contract(path) is None


def test_half_precision_weights_halve_the_file_and_keep_the_result(tmp_path: Path) -> None:
    full = opened(tmp_path).run(frames(1))[1].copy()
    size = (tmp_path / "model.tflite").stat().st_size
    model = export_tflite(one_level_detector(), SPEC, precision=Precision.FP16)
    write(model, tmp_path / "half.tflite")
    assert (tmp_path / "half.tflite").stat().st_size < 0.6 * size
    session = TfliteRuntime().open(
        tmp_path / "half.tflite", contract_of(model, Precision.FP16), SessionOptions()
    )
    # 3072 products with weights rounded to 11 bits.
    assert_allclose(session.run(frames(1))[1], full, atol=5e-3)


def test_a_contract_for_another_file_is_refused(tmp_path: Path) -> None:
    opened(tmp_path)
    model = export_tflite(one_level_detector(), SPEC)
    output = dataclasses.replace(model.output, names=("boxes", "points"))
    wrong = dataclasses.replace(contract_of(model), output=output)
    with pytest.raises(BackendError, match=r"\['points'\]"):
        TfliteRuntime().open(tmp_path / "model.tflite", wrong, SessionOptions())


def test_a_device_other_than_the_cpu_is_refused(tmp_path: Path) -> None:
    model = export_tflite(one_level_detector(), SPEC)
    with pytest.raises(BackendError, match="'gpu'"):
        TfliteRuntime().open(tmp_path / "x", contract_of(model), SessionOptions(device="gpu"))


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_refused_before_litert_sees_it(tmp_path: Path, keep: float) -> None:
    model = export_tflite(one_level_detector(), SPEC)
    path = tmp_path / "model.tflite"
    write(model, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(ArtifactError):
        TfliteRuntime().open(path, contract_of(model), SessionOptions())


def test_two_sessions_do_not_share_results(tmp_path: Path) -> None:
    one, two = opened(tmp_path), opened(tmp_path)
    first = one.run(frames(1))[0].copy()
    two.run(np.zeros((1, 64, 96, 3), np.uint8))
    assert_array_equal(one.run(frames(1))[0], first)


def test_the_report_names_the_installed_package() -> None:
    report = TfliteRuntime().report()
    assert report.version is not None
    assert Precision.INT8 in report.precisions
