"""``edgeyolo calibrate`` and INT8 options of ``export``, on the official YOLOX-Nano at 96x96."""

from __future__ import annotations

import json
import xml.etree.ElementTree
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edgeyolo.cli.int8_options import ALGORITHMS
from edgeyolo.cli.main import group
from edgeyolo.errors import DatasetError
from edgeyolo.spec import Backend


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache folder of this test's own."""
    monkeypatch.setenv("EDGEYOLO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def few(shared: Path) -> list[str]:
    """Four calibration pictures for a small network."""
    return [
        *("--calibration", str(shared / "assets/coco128_train2017/images")),
        *("--calibration-pictures", "4", "--allow-few-pictures", "--input-size", "96"),
    ]


@pytest.fixture
def nano(shared: Path) -> str:
    return str(shared / "assets/weights/yolox_nano_0.1.1rc0_refolded.pth")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(group, [str(word) for word in arguments])


@pytest.mark.parametrize("backend", list(Backend))
def test_calibrate_reports_on_every_backend(
    nano: str, few: list[str], cache: Path, backend: Backend
) -> None:
    result = run("calibrate", nano, "--to", backend, *few, "--json")
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)["results"]
    assert found["coverage"]["pictures"] == found["record"]["images"] == 4
    assert found["float_score"]["value"] == 1.0
    assert 0 < found["score"]["value"] <= 1
    # onnxruntime stands in for TensorRT, whose time is then unknown.
    assert (found["float_ms"] is None) == (backend is Backend.TENSORRT)
    assert len(list((cache / "calibration").iterdir())) == 1


def test_calibrate_for_people_compares_every_algorithm(
    nano: str, few: list[str], cache: Path
) -> None:
    result = run("calibrate", nano, "--to", "tflite", *few, "--compare")
    assert result.exit_code == 0, result.output
    assert "calibration set: 4 of 128 pictures" in result.stdout
    rows = [line.split() for line in result.stdout.splitlines() if line.startswith(ALGORITHMS)]
    assert sorted(row[0] for row in rows) == sorted(ALGORITHMS)
    scores = [float(row[2]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert len(list((cache / "calibration").iterdir())) == len(ALGORITHMS)
    # The float model is surveyed and measured once, whatever the number of algorithms.
    assert result.stderr.count("measuring the float model") == 1


def test_export_saves_what_every_block_costs(nano: str, few: list[str], tmp_path: Path) -> None:
    output = tmp_path / "artifact"
    result = run(
        *("export", nano, "--to", "onnx", "--precision", "int8", *few),
        *("--sensitivity-ap", "--allow-mismatch", "--output", output),
    )
    assert result.exit_code == 0, result.output
    saved = json.loads((output / "sensitivity.json").read_text())
    found = saved["blocks"]
    assert found["score"] == "agreement with the float model"
    *blocks, between = found["blocks"]
    assert 2 < len(blocks) <= 16
    # Together the blocks are all layers of the network that are quantised.
    layers = [name for block in blocks for name in block["layers"]]
    assert layers == [layer["name"] for layer in saved["layers"]]
    assert (between["name"], between["layers"]) == ("between layers", [])
    assert all(0 <= block["alone"] <= 1 >= block["left_float"] >= 0 for block in blocks)
    # Here, all but a few detections survive INT8 in one block; all blocks together lose more.
    assert max(block["alone"] for block in blocks) >= found["int8"]
    assert "regained" in result.stdout
    assert blocks[0]["name"] in result.stdout
    root = xml.etree.ElementTree.fromstring((output / "sensitivity.svg").read_text())
    texts = {element.text for element in root.iter() if element.tag.endswith("text")}
    assert texts >= {block["name"] for block in found["blocks"]}


def test_calibrate_needs_pictures(nano: str) -> None:
    result = run("calibrate", nano, "--to", "onnx")
    assert result.exit_code == 2
    assert "--calibration is needed" in result.stderr


def test_accuracy_of_int8_is_not_measured_on_bad_labels(
    nano: str, few: list[str], shared: Path, tmp_path: Path
) -> None:
    source = shared / "assets/coco_val2017_subset"
    document = json.loads((source / "instances.json").read_bytes())
    document["images"] = document["images"][:2]
    kept = {picture["id"] for picture in document["images"]}
    document["annotations"] = [one for one in document["annotations"] if one["image_id"] in kept]
    document["annotations"][0]["category_id"] = 999
    (tmp_path / "labels.json").write_text(json.dumps(document))
    measured = ("--val-annotations", tmp_path / "labels.json", "--val-images", source / "images")
    export = ("export", nano, "--to", "onnx", "--precision", "int8", *few, *measured)
    refused = run(*export, "--output", tmp_path / "refused")
    assert isinstance(refused.exception, DatasetError)
    assert "category_id 999" in str(refused.exception)
    assert not (tmp_path / "refused").exists()
    calibrated = run("calibrate", nano, "--to", "onnx", *few, *measured, "--skip-bad-labels")
    assert calibrated.exit_code == 0, calibrated.output
    assert "left out of the labels: 0 pictures and 1 label" in calibrated.stdout
