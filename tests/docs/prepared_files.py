"""The files that documentation speaks of: real, small, made once, laid into each page's folder."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2

from edgeyolo.pipeline import ExportRequest, export
from edgeyolo.spec import Backend, Precision
from tests.conftest import ROOT
from tests.docs.fences import Block

_ARTIFACT = re.compile(r"\byolox_nano-(fp32|fp16)-(onnx|openvino|tflite|tensorrt)\b")
# A street with cars, trucks and a person.
_STREET = "000000017627.jpg"
_VALIDATION_PICTURES = 8
_CALIBRATION_PICTURES = 32


def prepare(folder: Path, shared: Path) -> None:
    """Lay out what pages may name without having made it."""
    assets = shared / "assets"
    weights = assets / "weights"
    # Copied, because messages name the file that a link leads to.
    shutil.copyfile(weights / "yolox_nano_0.1.1rc0_refolded.pth", folder / "yolox_nano.pth")
    shutil.copyfile(weights / "yolox_nano_0.1.1rc0.onnx", folder / "foreign.onnx")
    shutil.copyfile(weights / "yolox_nano_0.1.0_legacy.onnx", folder / "legacy.onnx")
    validation = assets / "coco_val2017_subset"
    (folder / "street.jpg").symlink_to(validation / "images" / _STREET)
    _link(folder / "pictures", _pictures(assets / "coco128_train2017")[:_CALIBRATION_PICTURES])
    _validation_set(folder, validation)
    _video(folder / "street.mp4", list((folder / "pictures").iterdir())[:6])
    for name in ("benchmarks", "examples"):
        (folder / name).symlink_to(ROOT / name)


class Artifacts:
    """Exports of YOLOX-Nano by their default names, each made once."""

    def __init__(self, folder: Path, checkpoint: Path) -> None:
        self._folder = folder
        self._checkpoint = checkpoint

    def lay(self, page_folder: Path, blocks: list[Block]) -> None:
        """Copy the artifacts into *page_folder* that *blocks* use before making them."""
        for name in _used_but_not_made(blocks):
            shutil.copytree(self._get(name), page_folder / name)

    def _get(self, name: str) -> Path:
        folder = self._folder / name
        if not folder.exists():
            precision, backend = name.split("-")[1:]
            export(
                ExportRequest(
                    checkpoint=self._checkpoint,
                    backend=Backend(backend),
                    precision=Precision(precision),
                    output=folder,
                )
            )
        return folder


def _used_but_not_made(blocks: list[Block]) -> Iterator[str]:
    made: set[str] = set()
    for block in blocks:
        if not block.executed:
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            for found in _ARTIFACT.finditer(line):
                if found[0] not in made:
                    made.add(found[0])
                    yield found[0]
            if "edgeyolo export yolox_nano.pth" in line and "--output" not in line:
                backend = re.search(r"--to (\w+)", line)
                precision = re.search(r"--precision (\w+)", line)
                assert backend is not None, f"{block}: export without --to"
                made.add(f"yolox_nano-{precision[1] if precision else 'fp32'}-{backend[1]}")


def _pictures(folder: Path) -> list[Path]:
    return sorted((folder / "images").iterdir())


def _link(folder: Path, pictures: list[Path]) -> None:
    folder.mkdir()
    for picture in pictures:
        (folder / picture.name).symlink_to(picture)


def _validation_set(folder: Path, source: Path) -> None:
    whole = json.loads((source / "instances.json").read_text(encoding="utf-8"))
    images = [each for each in whole["images"] if each["file_name"] == _STREET]
    images += [each for each in whole["images"] if each not in images]
    images = images[:_VALIDATION_PICTURES]
    ids = {each["id"] for each in images}
    _link(folder / "val2017", [source / "images" / each["file_name"] for each in images])
    whole["images"] = images
    whole["annotations"] = [each for each in whole["annotations"] if each["image_id"] in ids]
    (folder / "instances.json").write_text(json.dumps(whole), encoding="utf-8")


def _video(path: Path, pictures: list[Path]) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 5.0, (320, 240))
    for picture in pictures:
        frame = cv2.imread(str(picture))
        assert frame is not None, picture
        writer.write(cv2.resize(frame, (320, 240)))
    writer.release()
