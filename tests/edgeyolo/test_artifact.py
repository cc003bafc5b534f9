"""An artifact is read back as it was written, or refused with the reason."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from edgeyolo import contract as contracts
from edgeyolo.artifact import (
    CONTRACT_FILE,
    foreign_files,
    load_artifact,
    record_measured,
    save_artifact,
)
from edgeyolo.contract import (
    Contract,
    InputSpec,
    LatencyRecord,
    Measured,
    OutputSpec,
    Provenance,
)
from edgeyolo.errors import ArtifactError
from edgeyolo.families import FAMILIES
from edgeyolo.spec import Backend, Family, Layout, ModelSpec, OutputKind, Precision

SPEC = ModelSpec(
    family=Family.YOLOX,
    variant="nano",
    class_names=("cat", "dog", "señal ⚠"),
    strides=(8, 16, 32),
    anchors_px=None,
    preprocess=FAMILIES[Family.YOLOX].preprocess((64, 96)),
    license="Apache-2.0",
)
CONTRACT = Contract(
    model=SPEC,
    backend=Backend.ONNX,
    precision=Precision.FP16,
    input=InputSpec(
        name="images", layout=Layout.NHWC, dtype="uint8", preprocessed_in_graph=True, batch=None
    ),
    output=OutputSpec(kind=OutputKind.DECODED, names=("boxes", "scores")),
    entry="model.onnx",
    provenance=Provenance(
        source_name="nano.pth", source_sha256="0" * 64, created="2026-01-01T00:00:00Z", tools={}
    ),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "source.bin"
    source.write_bytes(b"weights")
    save_artifact(tmp_path / "artifact", CONTRACT, {"model.onnx": source, "extra/data": source})
    return tmp_path / "artifact"


def test_a_contract_survives_json_exactly() -> None:
    assert contracts.decode(contracts.encode(CONTRACT), origin="text") == CONTRACT


def test_an_artifact_comes_back_as_it_was_written(folder: Path) -> None:
    artifact = load_artifact(folder)
    assert dataclasses.replace(artifact.contract, files={}, digest=None) == CONTRACT
    assert set(artifact.contract.files) == {"model.onnx", "extra/data"}
    assert artifact.entry.read_bytes() == b"weights"


def test_measurements_are_added_without_touching_model_files(folder: Path) -> None:
    latency = LatencyRecord(network_ms=1.5, batch=1, device="CPU", threads=2)
    record_measured(load_artifact(folder), Measured(latency=latency))
    assert load_artifact(folder).contract.measured.latency == latency


def test_an_altered_file_is_refused_by_name(folder: Path) -> None:
    (folder / "extra" / "data").write_bytes(b"Weights")
    with pytest.raises(ArtifactError, match=r"extra/data was altered"):
        load_artifact(folder)
    assert load_artifact(folder, check_digests=False).contract.entry == "model.onnx"


@pytest.mark.parametrize(
    "change",
    [
        {"model.class_names": ["dog", "cat"]},
        {"model.preprocess.color_order": "rgb"},
        {"model.preprocess.input_hw": [128, 128]},
        {"thresholds.min_score": 0.5},
        {"measured": {}, "waivers": []},
        {"unknown": 10**30},
    ],
)
def test_an_altered_contract_is_refused(folder: Path, change: dict[str, Any]) -> None:
    _altered(folder, change)
    with pytest.raises(ArtifactError, match=r"artifact\.json was altered since it was written"):
        load_artifact(folder)


def test_a_contract_without_its_digest_is_refused(folder: Path) -> None:
    _altered(folder, {"digest": None})
    with pytest.raises(ArtifactError, match="has no digest"):
        load_artifact(folder)


def test_the_order_and_spacing_of_a_contract_do_not_matter(folder: Path) -> None:
    path = folder / CONTRACT_FILE
    data = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(data.items()))))
    assert load_artifact(folder).contract.entry == "model.onnx"


def test_files_of_others_in_the_folder_are_named(folder: Path) -> None:
    (folder / "notes.txt").touch()
    assert foreign_files(load_artifact(folder)) == ["notes.txt"]


def test_a_lost_file_is_refused_by_name(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    with pytest.raises(ArtifactError, match=r"model\.onnx is missing"):
        load_artifact(folder)


def test_a_folder_without_contract_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is not an artifact"):
        load_artifact(tmp_path)


def _altered(folder: Path, change: dict[str, Any]) -> None:
    path = folder / CONTRACT_FILE
    data = json.loads(path.read_text())
    for key, value in change.items():
        target = data
        *parents, last = key.split(".")
        for parent in parents:
            target = target[parent]
        if value is None:
            del target[last]
        else:
            target[last] = value
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 99}, "schema 99, this version reads 1"),
        ({"schema": "1"}, "schema '1'"),
        ({"schema": None}, "no schema number"),
        ({"backend": "vulkan"}, "backend"),
        ({"model.class_names": []}, "class_names is empty"),
        ({"model.class_names": None}, "class_names"),
        ({"model.preprocess.input_hw": [64, 97]}, "multiples of 32"),
        ({"model.preprocess.scale": "1"}, "scale"),
        ({"model.preprocess.std": [1, 1, 0]}, "std"),
        ({"output.names": ["boxes"]}, "2 tensors"),
        ({"entry": "../../etc/passwd"}, "not a file name inside"),
        ({"files": {"/etc/passwd": "0" * 64}}, "not a file name inside"),
        ({"files": {"model.onnx": "short"}}, "not a SHA-256"),
        ({"files": {}}, "has no digest"),
        ({"input.dtype": "float64"}, "uint8 or float32"),
        ({"input.batch": 0}, "at least 1"),
        ({"input.batch": 10**9}, "at most 1024"),
        ({"thresholds.min_score": 5.0}, "within 0..1"),
        ({"thresholds.iou_threshold": -1.0}, "within 0..1"),
        ({"thresholds.max_detections": 0}, "at least 1"),
        ({"model.anchors_px": [[[1.0, 0.0]], [[1.0, 1.0]], [[1.0, 1.0]]]}, "anchors must be"),
    ],
)
def test_a_bad_contract_is_refused_in_one_line(
    folder: Path, change: dict[str, Any], message: str
) -> None:
    _altered(folder, change)
    with pytest.raises(ArtifactError, match=message) as caught:
        load_artifact(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_what_is_not_json_is_refused(folder: Path, text: bytes) -> None:
    (folder / CONTRACT_FILE).write_bytes(text)
    with pytest.raises(ArtifactError):
        load_artifact(folder)


def test_the_entry_must_be_among_the_files(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    with pytest.raises(ValueError, match="entry"):
        save_artifact(tmp_path / "artifact", CONTRACT, {"other": tmp_path / "other"})
    assert not (tmp_path / "artifact").exists()
