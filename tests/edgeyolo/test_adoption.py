"""A foreign file is adopted only with columns that its boxes can be coded in."""

from __future__ import annotations

import gzip
import importlib.util
import json
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

import edgeyolo
from edgeyolo.adoption import adopt_file
from edgeyolo.artifact import load_artifact
from edgeyolo.checkpoints.load import load_model
from edgeyolo.errors import ArtifactError
from edgeyolo.models.detector import Detector
from edgeyolo.models.zoo import build
from edgeyolo.pictures import read_picture
from edgeyolo.spec import Family

pytest.importorskip("onnxruntime")


class ForeignForm(nn.Module):
    """One tensor (B, N, 5+C), as other tools export it."""

    def __init__(self, model: Detector, *, pixels: bool) -> None:
        super().__init__()
        self.model = model
        self.pixels = pixels

    def forward(self, x: Tensor) -> Tensor:
        raw = self.model(x)
        if self.pixels:
            return self.model.decode(raw)
        rows = [
            level.flatten(2).transpose(1, 2) if level.ndim == 4 else level.flatten(1, 3)
            for level in raw
        ]
        logits = torch.cat(rows, dim=1)
        return torch.cat((logits[..., :4], logits[..., 4:].sigmoid()), dim=-1)


def foreign_file(model: Detector, hw: tuple[int, int], path: Path, *, pixels: bool) -> Path:
    with warnings.catch_warnings():
        # torch says on every call that this exporter, the one of the official tools, is the older.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            ForeignForm(model.eval(), pixels=pixels),
            (torch.zeros(1, 3, *hw),),
            path,
            opset_version=13,
            dynamo=False,
        )
    return path


@pytest.fixture(scope="module")
def synth(shared: Path) -> ModuleType:
    path = shared / "reference" / "synth_weights.py"
    spec = importlib.util.spec_from_file_location("synth_weights", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_synthetic_weights(model: Detector, synth: ModuleType, shared: Path) -> Detector:
    """Weights that no training gives: boxes up to 1e15 pixels wide."""
    name = model.architecture.name.replace("-", "_")
    facts = json.loads(gzip.decompress((shared / f"reference/models/{name}.json.gz").read_bytes()))
    exponents = facts["bn_log2var"] if "bn_log2var" in facts else facts["training"]["bn_log2var"]
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            value = synth.synth_tensor(key, tensor.shape, str(tensor.dtype), exponents)
            if value is not None:
                tensor.copy_(torch.from_numpy(value))
    return model


@pytest.fixture(scope="module")
def official(shared: Path) -> Path:
    return shared / "assets" / "weights" / "yolox_nano_0.1.1rc0.onnx"


@pytest.fixture(scope="module")
def official_in_pixels(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    checkpoint = shared / "assets" / "weights" / "yolox_nano_0.1.1rc0_refolded.pth"
    path = tmp_path_factory.mktemp("pixels") / "pixels.onnx"
    return foreign_file(load_model(checkpoint).model, (416, 416), path, pixels=True)


def test_undecoded_columns_are_not_taken_for_pixels(official: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ArtifactError, match=r"not in pixels: .*-?0\.0\d for each.*try --columns logits"
    ):
        adopt_file(official, Family.YOLOX, columns="pixels", output=tmp_path / "wrong")
    assert list(tmp_path.iterdir()) == []


def test_pixels_are_not_decoded_again(official_in_pixels: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"decoded already: .*try --columns pixels"):
        adopt_file(official_in_pixels, Family.YOLOX, output=tmp_path / "wrong")
    assert list(tmp_path.iterdir()) == []


def test_both_codings_adopted_rightly_detect_the_same(
    official: Path, official_in_pixels: Path, shared: Path, tmp_path: Path
) -> None:
    pictures = shared / "assets" / "coco_val2017_subset" / "images"
    for file, columns in ((official, None), (official_in_pixels, "pixels")):
        right = adopt_file(
            file,
            Family.YOLOX,
            columns=columns,
            images=pictures,
            output=tmp_path / (columns or "logits"),
        )
        assert right.warnings == ()
        assert right.artifact.contract.waivers == ("parity",)
    frame = read_picture(min(pictures.iterdir()))
    with (
        edgeyolo.load(tmp_path / "logits", threads=1) as first,
        edgeyolo.load(tmp_path / "pixels", threads=1) as second,
    ):
        expected, found = first.predict(frame), second.predict(frame)
    assert len(found) == len(expected) > 0
    # Float32 of two graphs that multiply in another order.
    np.testing.assert_allclose(found.boxes_xyxy, expected.boxes_xyxy, atol=0.05)


def test_a_forced_file_tells_what_was_wrong(official: Path, tmp_path: Path) -> None:
    forced = adopt_file(
        official, Family.YOLOX, columns="pixels", output=tmp_path / "forced", force=True
    )
    assert any("not in pixels" in warning for warning in forced.warnings)
    contract = load_artifact(tmp_path / "forced").contract
    assert contract.waivers == ("parity", "boxes")
    assert "its boxes looked wrong" in str(contract.doubts)


@pytest.mark.parametrize("hw", [(64, 96), (416, 416)])
@pytest.mark.parametrize("synthetic", [False, True])
@pytest.mark.parametrize(
    ("name", "pixels"), [("yolox-nano", False), ("yolox-nano", True), ("yolov7-tiny", True)]
)
def test_weights_that_no_training_gives_are_not_refused(
    name: str,
    pixels: bool,
    synthetic: bool,
    hw: tuple[int, int],
    synth: ModuleType,
    shared: Path,
    tmp_path: Path,
) -> None:
    torch.manual_seed(1)
    model = build(name, 80)
    if synthetic:
        with_synthetic_weights(model, synth, shared)
    file = foreign_file(model, hw, tmp_path / "foreign.onnx", pixels=pixels)
    columns = "pixels" if pixels else "logits"
    adopted = adopt_file(file, model.family, columns=columns, output=tmp_path / "adopted")
    assert "boxes" not in adopted.artifact.contract.waivers


@pytest.mark.parametrize("synthetic", [False, True])
def test_yolov7_without_its_grid_is_refused(
    synthetic: bool, synth: ModuleType, shared: Path, tmp_path: Path
) -> None:
    model = build("yolov7-tiny", 80)
    if synthetic:
        with_synthetic_weights(model, synth, shared)
    file = foreign_file(model, (64, 96), tmp_path / "foreign.onnx", pixels=False)
    with pytest.raises(ArtifactError, match=r"not in pixels: .*export it with --grid"):
        adopt_file(file, Family.YOLOV7, output=tmp_path / "wrong")


def test_centres_that_are_no_numbers_are_refused(official: Path, tmp_path: Path) -> None:
    proto = onnx.load(official)
    for tensor in proto.graph.initializer:
        if "reg_preds" in tensor.name and tensor.name.endswith("bias"):
            broken = np.full_like(numpy_helper.to_array(tensor), np.nan)
            tensor.CopyFrom(numpy_helper.from_array(broken, tensor.name))
    onnx.save(proto, tmp_path / "broken.onnx")
    with pytest.raises(ArtifactError, match="not numbers"):
        adopt_file(tmp_path / "broken.onnx", Family.YOLOX, output=tmp_path / "wrong")
