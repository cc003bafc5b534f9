"""Weights fed with the other release's preprocessing are noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgeyolo
from edgeyolo.adoption import adopt_file
from edgeyolo.errors import ArtifactError, ParityError
from edgeyolo.pipeline import ExportRequest, export
from edgeyolo.spec import Backend, Family


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
