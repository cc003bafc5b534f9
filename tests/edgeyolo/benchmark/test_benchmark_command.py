"""``edgeyolo benchmark`` on two real runtimes, each in its own process."""

from __future__ import annotations

import csv
import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from edgeyolo.artifact import load_artifact, save_artifact, sha256_of
from edgeyolo.benchmark import measure
from edgeyolo.benchmark.records import STAGES
from edgeyolo.cli.main import group
from edgeyolo.contract import Contract, OutputSpec
from edgeyolo.errors import ArtifactError, BackendError, SourceError, UnsupportedError
from edgeyolo.spec import Backend, OutputKind
from edgeyolo.validation import ValidationRequest, validate
from tests.edgeyolo.conftest import SIDE, quadrant_contract, quadrant_model

SHORT = ("--source", "pattern:160x120#4", "--rounds", "2", "--seconds", "0.05", "--threads", "1")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(group, ["benchmark", *(str(word) for word in arguments)])


def labelled_quarters(folder: Path) -> Path:
    """Pictures of one bright quarter each, as a COCO data set; returns the annotations."""
    names = ("blue", "green", "red")
    pictures, objects = [], []
    half = SIDE // 2
    for number in range(3):
        picture = np.zeros((SIDE, SIDE, 3), np.uint8)
        picture[:half, half:, number] = 255
        name = f"{number}.png"
        folder.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / name), picture)
        pictures.append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
        box = {"bbox": [half, 0, half, half], "area": half * half, "iscrowd": 0}
        objects.append({"id": number + 1, "image_id": number, "category_id": number + 1, **box})
    data = {
        "images": pictures,
        "annotations": objects,
        "categories": [{"id": index + 1, "name": name} for index, name in enumerate(names)],
    }
    file = folder / "instances.json"
    file.write_text(json.dumps(data))
    return file


def test_two_artifacts_are_measured_on_the_same_frames(
    two_artifacts: tuple[Path, Path], tmp_path: Path
) -> None:
    table = tmp_path / "figures.csv"
    result = run(*two_artifacts, *SHORT, "--json", "--csv", table)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["frame_hw"] == [120, 160]
    assert report["frames"] == 4
    assert report["machine"]["cpus"] >= 1
    first, second = report["artifacts"]
    assert [first["backend"], second["backend"]] == ["onnx", "openvino"]
    for figures, path in zip((first, second), two_artifacts, strict=True):
        assert figures["artifact"] == str(path)
        assert set(figures["stages_ms"]) == set(STAGES)
        assert figures["bare_ms"] > 0
        percentiles = figures["percentiles_ms"]
        assert set(percentiles) == {"bare", *STAGES, "sync", "stream"}
        for times in percentiles.values():
            assert 0 < times["p50"] <= times["p95"] <= times["p99"]
            # Two rounds, at least one call in each.
            assert times["calls"] >= 2
        assert figures["bare_per_s"] > figures["sync_per_s"] > 0
        assert figures["sync_over_bare"] < 1
        assert figures["stream_over_bare"] > 0
        assert figures["load_ms"] > 0
        assert figures["first_ms"] > 0
        assert 0 < figures["before_mb"] < figures["resident_mb"] <= figures["peak_mb"]
        assert figures["ap"] is None
    assert first["sha256"] == sha256_of(two_artifacts[0] / "model.onnx")
    sizes = [(two_artifacts[1] / name).stat().st_size for name in ("model.xml", "model.bin")]
    assert second["file_bytes"] == sum(sizes)
    with table.open() as lines:
        rows = list(csv.DictReader(lines))
    assert [float(row["bare_ms"]) for row in rows] == [first["bare_ms"], second["bare_ms"]]
    assert float(rows[1]["percentiles_ms.stream.p99"]) == second["percentiles_ms"]["stream"]["p99"]
    assert rows[0]["input_hw"] == f"{SIDE}x{SIDE}"


def test_accuracy_is_that_of_the_measured_file(quadrant_artifact: Path, tmp_path: Path) -> None:
    annotations = labelled_quarters(tmp_path / "labelled")
    result = run(
        quadrant_artifact,
        "--annotations",
        annotations,
        "--images",
        annotations.parent,
        "--rounds",
        1,
        "--seconds",
        0.05,
        "--json",
    )
    assert result.exit_code == 0, result.output
    (figures,) = json.loads(result.stdout)["artifacts"]
    alone = validate(ValidationRequest(model=quadrant_artifact, annotations=annotations))
    assert figures["ap"] == alone.report.ap > 0.5
    assert figures["ap_pictures"] == 3


def with_other_classes(contract: Contract) -> Contract:
    names = ("cat", *contract.model.class_names[1:])
    return replace(contract, model=replace(contract.model, class_names=names))


def with_suppression(contract: Contract) -> Contract:
    output = OutputSpec(kind=OutputKind.SUPPRESSED, names=("detections",))
    return replace(contract, output=output)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (with_other_classes, "the model does not know 1 of the data set's 3 classes"),
        (with_suppression, "suppression is inside this model file"),
    ],
)
def test_an_artifact_without_ap_is_named_before_anything_is_measured(
    change: Callable[[Contract], Contract], said: str, quadrant_artifact: Path, tmp_path: Path
) -> None:
    annotations = labelled_quarters(tmp_path / "labelled")
    artifact = load_artifact(quadrant_artifact)
    files = {name: quadrant_artifact / name for name in artifact.contract.files}
    other = save_artifact(tmp_path / "other", change(artifact.contract), files).folder
    result = run(quadrant_artifact, other, "--annotations", annotations, *SHORT)
    assert result.exit_code == 1
    message = str(result.exception)
    assert f"no AP of {other}: " in message
    assert said in message
    assert message.endswith(f"; leave {other} or --annotations out")
    assert "round 1" not in result.output


def test_the_terminal_shows_a_line_for_each_artifact(two_artifacts: tuple[Path, Path]) -> None:
    result = run(*two_artifacts, *SHORT)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    for path in two_artifacts:
        assert sum(line.startswith(path.name + " ") for line in lines) == 2
    header = next(line for line in lines if "stream/bare" in line)
    row = next(line for line in lines if line.startswith(two_artifacts[0].name))
    assert len(header) == len(row)


def test_an_artifact_that_does_not_load_is_named_before_anything_is_measured(
    quadrant_artifact: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "artifact.json").write_text("{}")
    result = run(quadrant_artifact, broken, *SHORT)
    assert isinstance(result.exception, ArtifactError)
    assert "broken" in str(result.exception)
    assert "round" not in result.output


def test_a_measuring_process_that_dies_is_an_error_with_its_status(
    quadrant_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A Python without its library ends before the first answer.
    monkeypatch.setenv("PYTHONHOME", str(quadrant_artifact))
    result = run(quadrant_artifact, *SHORT)
    assert isinstance(result.exception, BackendError)
    assert "quadrants: the measuring process ended with exit status 1" in str(result.exception)


@pytest.mark.parametrize("source", ["pattern:64x64@30", "nothing.mp4"])
def test_frames_that_cannot_be_repeated_are_refused(quadrant_artifact: Path, source: str) -> None:
    result = run(quadrant_artifact, "--source", source)
    assert isinstance(result.exception, SourceError)
    assert source in str(result.exception)


def test_a_batch_counts_as_so_many_pictures(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    onnx.save(quadrant_model(4), file)
    folder = tmp_path / "batch-of-four"
    save_artifact(folder, quadrant_contract(Backend.ONNX, file.name, 4), {file.name: file})
    result = run(folder, *SHORT, "--rounds", "1", "--json")
    assert result.exit_code == 0, result.output
    (figures,) = json.loads(result.stdout)["artifacts"]
    assert figures["batch"] == 4
    call_ms = figures["percentiles_ms"]["bare"]["mean"]
    assert figures["bare_per_s"] == pytest.approx(4 * 1000 / call_ms)


def test_a_turn_that_is_too_short_for_a_stream_is_refused(quadrant_artifact: Path) -> None:
    result = run(quadrant_artifact, "--rounds", "1", "--seconds", "0.0000001")
    assert isinstance(result.exception, UnsupportedError)
    assert "--seconds" in str(result.exception)


def test_an_artifact_named_twice_is_wrong_usage(quadrant_artifact: Path) -> None:
    result = run(quadrant_artifact, quadrant_artifact)
    assert result.exit_code == 2
    assert "named twice" in result.output


def test_versions_of_packages_with_underscores_in_their_name_are_reported() -> None:
    normalized = {
        distribution.name.replace("_", "-"): distribution.version
        for distribution in importlib.metadata.distributions()
        if distribution.name
    }
    installed = {name: normalized[name] for name in measure._PACKAGES if name in normalized}
    assert measure.versions() == installed
    assert "numpy" in installed


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("--input-size", {"input_hw": (128, 128)}),
        ("--legacy", {"legacy": True}),
        ("--names", {"names_file": Path("names.txt")}),
    ],
)
def test_options_of_checkpoints_are_refused_for_artifacts(
    quadrant_artifact: Path, tmp_path: Path, option: str, given: dict[str, Any]
) -> None:
    annotations = labelled_quarters(tmp_path / "pictures")
    with pytest.raises(UnsupportedError, match=f"{option} is for checkpoints"):
        validate(ValidationRequest(model=quadrant_artifact, annotations=annotations, **given))
