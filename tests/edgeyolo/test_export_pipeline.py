"""The main job on real input: official weights to every runtime, proven against PyTorch."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

import edgeyolo
from edgeyolo.artifact import load_artifact
from edgeyolo.checkpoints.load import load_model
from edgeyolo.checkpoints.own import save_checkpoint
from edgeyolo.contract import CONTRACT_KEY
from edgeyolo.embedded import checkpoint_path
from edgeyolo.errors import (
    ArtifactError,
    ContractMissingError,
    EdgeYoloError,
    OutputError,
    ParityError,
)
from edgeyolo.evaluation import parity
from edgeyolo.evaluation.proof_frames import proof_frames
from edgeyolo.inspection import inspect
from edgeyolo.pictures import list_pictures, read_picture
from edgeyolo.pipeline import ExportRequest, export
from edgeyolo.spec import Backend, Precision
from edgeyolo.verification import verify

FLOAT_BACKENDS = (Backend.ONNX, Backend.OPENVINO, Backend.TFLITE)
SMALL_HW = (160, 224)


@pytest.fixture(scope="module")
def pictures(shared: Path) -> Path:
    return shared / "assets" / "coco_val2017_subset" / "images"


@pytest.fixture(scope="module")
def checkpoint(shared: Path) -> Path:
    return shared / "assets" / "weights" / "yolox_nano_0.1.1rc0_refolded.pth"


@pytest.fixture(scope="module")
def artifacts(
    tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, pictures: Path
) -> dict[Backend, Path]:
    """YOLOX-Nano at a small size for every runtime, each proven on export."""
    folder = tmp_path_factory.mktemp("artifacts")
    for backend in FLOAT_BACKENDS:
        request = ExportRequest(
            checkpoint=checkpoint,
            backend=backend,
            input_hw=SMALL_HW,
            images=pictures,
            output=folder / backend,
        )
        assert export(request).parity.passed
    return {backend: folder / backend for backend in FLOAT_BACKENDS}


@pytest.mark.parametrize("backend", FLOAT_BACKENDS)
def test_an_exported_file_detects_what_pytorch_detects(
    backend: Backend, artifacts: dict[Backend, Path], checkpoint: Path, pictures: Path
) -> None:
    result = verify(artifacts[backend], checkpoint, pictures, limit=24)
    assert result.parity.passed
    assert result.same_weights
    assert result.warnings == ()
    assert result.parity.reference > 50
    # Rounding only: FP32 on one machine.
    assert result.parity.max_box_error_px < 0.1
    assert result.parity.max_score_error < 1e-3


@pytest.mark.parametrize("backend", FLOAT_BACKENDS)
def test_all_runtimes_find_the_same_objects(
    backend: Backend, artifacts: dict[Backend, Path], pictures: Path
) -> None:
    frame = read_picture(list_pictures(pictures)[3])
    expected = edgeyolo.load(artifacts[Backend.ONNX]).predict(frame)
    found = edgeyolo.load(artifacts[backend], threads=1).predict(frame)
    assert found.names == expected.names
    np.testing.assert_allclose(found.boxes_xyxy, expected.boxes_xyxy, atol=0.2)


@pytest.mark.parametrize("backend", FLOAT_BACKENDS)
def test_a_lone_vendor_file_carries_its_contract(
    backend: Backend, artifacts: dict[Backend, Path], tmp_path: Path, pictures: Path
) -> None:
    artifact = load_artifact(artifacts[backend])
    for name in artifact.contract.files:
        (tmp_path / name).write_bytes((artifact.folder / name).read_bytes())
    lone = edgeyolo.load(tmp_path / artifact.contract.entry)
    assert lone.contract == dataclasses.replace(artifact.contract, files={}, digest=None)
    frame = read_picture(list_pictures(pictures)[0])
    found, expected = lone.predict(frame), edgeyolo.load(artifact.folder).predict(frame)
    np.testing.assert_array_equal(found.boxes_xyxy, expected.boxes_xyxy)


@pytest.mark.parametrize(
    "other", [b'{"kind": "mlflow"}', b"no JSON", None], ids=["foreign", "broken", "of another file"]
)
def test_a_lone_file_does_not_mind_what_lies_beside_it(
    other: bytes | None, artifacts: dict[Backend, Path], tmp_path: Path
) -> None:
    source = artifacts[Backend.TFLITE]
    folder = tmp_path / "folder"
    if other is None:
        # An artifact that is broken itself.
        shutil.copytree(artifacts[Backend.ONNX], folder)
        (folder / "model.onnx").write_bytes(b"altered")
    else:
        folder.mkdir()
        (folder / "artifact.json").write_bytes(other)
    lone = folder / "det.tflite"
    shutil.copyfile(source / load_artifact(source).contract.entry, lone)
    with edgeyolo.load(lone) as predictor:
        assert predictor.contract is not None
        assert predictor.contract.backend is Backend.TFLITE
    if other is None:
        with pytest.raises(ArtifactError, match="altered"):
            edgeyolo.load(folder / "model.onnx")


@pytest.mark.parametrize("backend", FLOAT_BACKENDS)
def test_odd_class_names_reach_the_predictor(backend: Backend, tmp_path: Path) -> None:
    names = [
        "ctl\x01x",
        "line\nbreak",
        "<&\"'>",
        "\ufffe",
        "\u00e9\u4e2d\U0001f600",
        "a b",
        "del\x7f",
        "\ttab",
    ]
    (tmp_path / "names.json").write_text(json.dumps(names))
    request = ExportRequest(
        checkpoint=checkpoint_path(),
        backend=backend,
        output=tmp_path / "artifact",
        input_hw=(96, 96),
        names_file=tmp_path / "names.json",
    )
    export(request)
    found = inspect(tmp_path / "artifact")
    assert found.sound, found.findings
    with edgeyolo.load(tmp_path / "artifact", probe=True) as predictor:
        assert list(predictor.class_names) == [name.strip() for name in names]


@pytest.mark.slow
@pytest.mark.parametrize("backend", FLOAT_BACKENDS)
def test_ties_of_untrained_weights_do_not_fail_parity(
    backend: Backend, shared: Path, tmp_path: Path
) -> None:
    checkpoint = shared / "reference/checkpoint/yolov7_l_w0125_nc7_synth.pt"
    request = ExportRequest(
        checkpoint=checkpoint, backend=backend, output=tmp_path / "l", input_hw=(128, 128)
    )
    result = export(request)
    assert result.parity.matched < result.parity.reference
    folding = result.artifact.contract.measured.folding
    assert folding is not None
    assert folding.source_form == "training"
    assert (folding.repconv_blocks, folding.implicit_heads, folding.auxiliary_heads) == (3, 3, 0)
    assert folding.max_logit_difference < 5e-5


def test_a_file_without_contract_is_refused_with_the_way_out(
    artifacts: dict[Backend, Path], tmp_path: Path
) -> None:
    proto = onnx.load(artifacts[Backend.ONNX] / "model.onnx")
    kept = [item for item in proto.metadata_props if item.key != CONTRACT_KEY]
    assert len(kept) < len(proto.metadata_props)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "foreign.onnx")
    with pytest.raises(ContractMissingError, match="edgeyolo adopt"):
        edgeyolo.load(tmp_path / "foreign.onnx")


def test_an_altered_model_file_is_not_opened(
    artifacts: dict[Backend, Path], tmp_path: Path
) -> None:
    source = load_artifact(artifacts[Backend.ONNX])
    for path in source.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    data = bytearray((tmp_path / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "model.onnx").write_bytes(data)
    with pytest.raises(ArtifactError, match="altered"):
        edgeyolo.load(tmp_path)


@pytest.mark.parametrize("backend", FLOAT_BACKENDS)
@pytest.mark.parametrize("batch", [2, None])
def test_batches_give_what_single_pictures_give(
    backend: Backend,
    batch: int | None,
    checkpoint: Path,
    pictures: Path,
    tmp_path: Path,
    artifacts: dict[Backend, Path],
) -> None:
    request = ExportRequest(
        checkpoint=checkpoint,
        backend=backend,
        input_hw=SMALL_HW,
        batch=batch,
        images=pictures,
        output=tmp_path / "batched",
    )
    export(request)
    frames = [read_picture(path) for path in list_pictures(pictures)[:5]]
    single = edgeyolo.load(artifacts[backend])
    expected = [single.predict(frame) for frame in frames]
    # Five pictures in twos leave one over; a dynamic batch takes all five at once.
    for found, wanted in zip(
        edgeyolo.load(tmp_path / "batched").predict_batch(frames), expected, strict=True
    ):
        assert found.names == wanted.names
        np.testing.assert_allclose(found.boxes_xyxy, wanted.boxes_xyxy, atol=0.2)


@pytest.mark.parametrize("backend", FLOAT_BACKENDS)
def test_fp16_is_proven_too_and_half_the_size(
    backend: Backend,
    checkpoint: Path,
    pictures: Path,
    tmp_path: Path,
    artifacts: dict[Backend, Path],
) -> None:
    request = ExportRequest(
        checkpoint=checkpoint,
        backend=backend,
        precision=Precision.FP16,
        input_hw=SMALL_HW,
        images=pictures,
        output=tmp_path / "half",
    )
    assert export(request).parity.passed
    sizes = [
        sum(path.stat().st_size for path in folder.iterdir() if path.suffix != ".json")
        for folder in (tmp_path / "half", artifacts[backend])
    ]
    # Graph text and the contract do not shrink: they are a tenth of so small a network.
    assert sizes[0] < 0.65 * sizes[1]


def test_the_host_preprocesses_for_a_plain_float_graph(
    checkpoint: Path, pictures: Path, tmp_path: Path, artifacts: dict[Backend, Path]
) -> None:
    request = ExportRequest(
        checkpoint=checkpoint,
        backend=Backend.ONNX,
        input_hw=SMALL_HW,
        pixels=False,
        images=pictures,
        output=tmp_path / "plain",
    )
    assert export(request).artifact.contract.input.dtype == "float32"
    frame = read_picture(list_pictures(pictures)[3])
    found = edgeyolo.load(tmp_path / "plain").predict(frame)
    expected = edgeyolo.load(artifacts[Backend.ONNX]).predict(frame)
    assert found.names == expected.names
    np.testing.assert_allclose(found.boxes_xyxy, expected.boxes_xyxy, atol=0.05)


def test_nothing_is_written_when_parity_fails(
    checkpoint: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Limits that no float computation keeps stand in for a broken exporter.
    impossible = dataclasses.replace(parity.LIMITS[Precision.FP32], box_px=-1.0)
    monkeypatch.setitem(parity.LIMITS, Precision.FP32, impossible)
    request = ExportRequest(
        checkpoint=checkpoint,
        backend=Backend.ONNX,
        input_hw=SMALL_HW,
        images=pictures,
        output=tmp_path / "never",
    )
    with pytest.raises(ParityError, match="nothing was written"):
        export(request)
    assert os.listdir(tmp_path) == []
    waived = export(dataclasses.replace(request, waive_parity=True))
    assert waived.artifact.contract.waivers == ("parity",)
    assert waived.artifact.contract.doubts == "was written although parity with PyTorch failed"
    lone = edgeyolo.load(waived.artifact.folder / waived.artifact.contract.entry)
    assert lone.contract is not None
    assert lone.contract.waivers == ("parity",)
    for path in (waived.artifact.folder, waived.artifact.entry):
        found = inspect(path)
        assert not found.sound
        assert "parity was waived at export" in found.findings


def test_a_default_name_is_not_taken_from_the_artifact_of_other_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = export(ExportRequest(checkpoint=checkpoint_path(), backend=Backend.ONNX))
    again = export(ExportRequest(checkpoint=checkpoint_path(), backend=Backend.ONNX))
    assert again.artifact.folder == first.artifact.folder == Path("yolox_nano-fp32-onnx")
    loaded = load_model(checkpoint_path())
    save_checkpoint(tmp_path / "other.pt", loaded.model.state_dict(), loaded.spec)
    with pytest.raises(OutputError, match=r"made from other weights \(detector\.pth\).*--output"):
        export(ExportRequest(checkpoint=tmp_path / "other.pt", backend=Backend.ONNX))
    kept = load_artifact(first.artifact.folder).contract.provenance
    assert kept.source_name == "detector.pth"


def test_verify_notices_other_weights(
    artifacts: dict[Backend, Path], shared: Path, pictures: Path
) -> None:
    other = shared / "reference" / "checkpoint" / "yolox_mini_d033_w0125_nc7_synth.pth"
    with pytest.raises(EdgeYoloError, match="classes"):
        verify(artifacts[Backend.ONNX], other, pictures, limit=1)


@pytest.mark.parametrize(("pictures", "chosen"), [(3, [0, 1, 2]), (15, [0, 1, 3, 5, 7, 9, 11, 13])])
def test_parity_pictures_are_spread_over_the_whole_folder(
    tmp_path: Path, pictures: int, chosen: list[int]
) -> None:
    for number in range(pictures):
        cv2.imwrite(str(tmp_path / f"{number:02d}.png"), np.full((4, 4, 3), number, np.uint8))
    frames, name = proof_frames(tmp_path, (64, 64))
    assert [int(frame[0, 0, 0]) for frame in frames] == chosen
    assert name == tmp_path.name
