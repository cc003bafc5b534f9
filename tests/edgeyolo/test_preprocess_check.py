"""Weights fed with the other release's preprocessing are noticed."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

import edgeyolo
from edgeyolo.adoption import adopt_file
from edgeyolo.checkpoints.load import load_model
from edgeyolo.checkpoints.own import save_checkpoint
from edgeyolo.cli.main import group
from edgeyolo.errors import ArtifactError, ParityError
from edgeyolo.pipeline import ExportRequest, export
from edgeyolo.spec import Backend, Family
from edgeyolo.verification import verify


@pytest.fixture(scope="module")
def pictures(shared: Path) -> Path:
    return shared / "assets" / "coco_val2017_subset" / "images"


@pytest.mark.parametrize(
    ("name", "legacy"),
    [("yolox_nano_0.1.0_legacy.onnx", True), ("yolox_nano_0.1.1rc0.onnx", False)],
)
def test_a_foreign_file_is_adopted_only_with_its_own_preprocessing(
    shared: Path, pictures: Path, tmp_path: Path, name: str, legacy: bool
) -> None:
    file = shared / "assets" / "weights" / name
    with pytest.raises(ArtifactError, match="preprocessing looks wrong"):
        adopt_file(
            file, Family.YOLOX, legacy=not legacy, images=pictures, output=tmp_path / "wrong"
        )
    assert not (tmp_path / "wrong").exists()
    right = adopt_file(
        file, Family.YOLOX, legacy=legacy, images=pictures, output=tmp_path / "right"
    )
    assert right.warnings == ()
    assert edgeyolo.load(tmp_path / "right").model.class_names[0] == "person"


def test_rendered_scenes_are_enough_to_notice_at_export(shared: Path, tmp_path: Path) -> None:
    checkpoint = shared / "assets" / "weights" / "yolox_nano_0.1.1rc0_refolded.pth"
    request = ExportRequest(
        checkpoint=checkpoint, backend=Backend.ONNX, legacy=True, output=tmp_path / "wrong"
    )
    with pytest.raises(ParityError, match="preprocessing looks wrong"):
        export(request)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def checkpoint(shared: Path) -> Path:
    return shared / "assets" / "weights" / "yolox_nano_0.1.1rc0_refolded.pth"


@pytest.fixture(scope="module")
def waived(checkpoint: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Today's weights, exported as if they were of the first release."""
    request = ExportRequest(
        checkpoint=checkpoint,
        backend=Backend.ONNX,
        legacy=True,
        images=pictures,
        output=tmp_path_factory.mktemp("waived") / "wrong",
        waive_parity=True,
    )
    return export(request).artifact.folder


def test_verify_notices_the_preprocessing_of_another_release(
    waived: Path, checkpoint: Path, pictures: Path
) -> None:
    result = verify(waived, checkpoint, pictures, limit=3)
    assert result.parity.passed  # the file computes what PyTorch computes, fed as wrongly
    assert not result.passed
    assert result.preprocessing is not None
    assert "preprocessing looks wrong" in result.preprocessing
    assert "today's (BGR, 0..255)" in result.preprocessing


def test_verify_says_that_pictures_did_not_tell(
    waived: Path, checkpoint: Path, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((64, 64, 3), 114, np.uint8))
    result = verify(waived, checkpoint, tmp_path)
    assert result.passed
    assert any("nothing recognised" in warning for warning in result.warnings)


def test_verify_believes_the_preprocessing_that_our_checkpoints_tell(
    checkpoint: Path, waived: Path, pictures: Path, tmp_path: Path
) -> None:
    loaded = load_model(checkpoint)
    save_checkpoint(tmp_path / "own.pt", loaded.model.state_dict(), loaded.spec)
    result = verify(waived, tmp_path / "own.pt", pictures, limit=1)
    assert not result.passed
    assert result.preprocessing == "the preprocessing is not the one that own.pt tells"


def test_commands_say_that_an_artifact_failed_a_check(
    waived: Path, checkpoint: Path, pictures: Path
) -> None:
    picture = str(next(pictures.iterdir()))
    predicted = CliRunner().invoke(group, ["predict", str(waived), picture])
    labels = str(pictures.parent / "instances.json")
    arguments = ["val", str(waived), "--annotations", labels, "--images", str(pictures)]
    validated = CliRunner().invoke(group, [*arguments, "--limit", "2", "--json"])
    for result in (predicted, validated):
        assert result.exit_code == 0, result.output
        assert "was written although its preprocessing looked wrong" in result.stderr
        assert "was written" not in result.stdout
    arguments = ["verify", str(waived), "--against", str(checkpoint), "--images", str(pictures)]
    verified = CliRunner().invoke(group, [*arguments, "--limit", "2", "--json"])
    assert verified.exit_code == 1
    answer = json.loads(verified.stdout)
    assert answer["passed"] is False
    assert "preprocessing looks wrong" in answer["preprocessing"]


def test_adoption_without_pictures_is_decided_by_rendered_scenes(
    shared: Path, tmp_path: Path
) -> None:
    file = shared / "assets" / "weights" / "yolox_nano_0.1.0_legacy.onnx"
    with pytest.raises(ArtifactError, match=r"preprocessing looks wrong.*--force"):
        adopt_file(file, Family.YOLOX, output=tmp_path / "wrong")
    assert list(tmp_path.iterdir()) == []
    forced = adopt_file(file, Family.YOLOX, output=tmp_path / "forced", force=True)
    assert forced.artifact.contract.waivers == ("parity", "preprocessing")
    with edgeyolo.load(tmp_path / "forced" / "model.onnx") as alone:
        assert alone.contract is not None
        assert alone.contract.waivers == ("parity", "preprocessing")
        assert alone.contract.doubts == (
            "never passed a comparison with PyTorch and "
            "was written although its preprocessing looked wrong"
        )
    right = adopt_file(file, Family.YOLOX, legacy=True, output=tmp_path / "right")
    assert right.warnings == ()
