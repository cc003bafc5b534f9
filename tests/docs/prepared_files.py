"""The files that documentation speaks of: real, small, made once, laid into each page's folder."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2

from tests.conftest import ROOT
from tests.docs.fences import Block

_ARTIFACT = re.compile(r"\byolox_nano-(fp32|fp16)-(onnx|openvino|tflite|tensorrt)\b")
# Nothing else in the command, and the default name.
_PLAIN_EXPORT = re.compile(
    r"edgeyolo export yolox_nano\.pth(?: --(?!output)[a-z0-9-]+[= ]?[\w./]*)+"
)
_FIRST_COMMAND = re.compile(r"((?:[^\n]*\\\n)*[^\n]*\n)(.*)", re.DOTALL)
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


class Shell:
    """Runs what pages show, and every export only once.

    Several pages export the same network by the same command. Its result depends on nothing but
    the command and the prepared files, so later pages get a copy of the artifact and its output.
    """

    def __init__(self, environment: dict[str, str], kept: Path) -> None:
        self._environment = environment
        self._kept = kept
        self._exports: dict[str, tuple[int, str, Path]] = {}

    def run(self, words: list[str], folder: Path) -> tuple[int, str]:
        """Exit status and everything printed, in the order of printing."""
        done = subprocess.run(
            words,
            cwd=folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        return done.returncode, done.stdout

    def run_bash(self, script: str, folder: Path) -> tuple[int, str]:
        parts = _FIRST_COMMAND.fullmatch(script + "\n")
        assert parts is not None
        first, rest = parts.groups()
        command = " ".join(first.split("#")[0].replace("\\\n", " ").split())
        if not _PLAIN_EXPORT.fullmatch(command):
            return self._bash(script, folder)
        status, output = self._export(command, folder)
        if status == 0 and rest.strip():
            status, more = self._bash(rest, folder)
            output += more
        return status, output

    def _bash(self, script: str, folder: Path) -> tuple[int, str]:
        return self.run(["bash", "-euo", "pipefail", "-c", script], folder)

    def _export(self, command: str, folder: Path) -> tuple[int, str]:
        name = artifact_name(command)
        if command not in self._exports:
            status, output = self._bash(command, folder)
            kept = self._kept / str(len(self._exports))
            if status == 0:
                shutil.copytree(folder / name, kept)
            self._exports[command] = (status, output, kept)
        status, output, kept = self._exports[command]
        if status == 0 and not (folder / name).exists():
            shutil.copytree(kept, folder / name)
        return status, output

    def lay(self, folder: Path, blocks: list[Block]) -> None:
        """Make the artifacts in *folder* that *blocks* use before making them."""
        for name in _used_but_not_made(blocks):
            precision, backend = name.split("-")[1:]
            command = f"edgeyolo export yolox_nano.pth --to {backend}"
            if precision != "fp32":
                command += f" --precision {precision}"
            status, output = self.run_bash(command, folder)
            assert status == 0, output


def artifact_name(command: str) -> str:
    """What ``edgeyolo export yolox_nano.pth`` calls its result."""
    backend = re.search(r"--to (\w+)", command)
    precision = re.search(r"--precision (\w+)", command)
    assert backend is not None, f"export without --to: {command}"
    return f"yolox_nano-{precision[1] if precision else 'fp32'}-{backend[1]}"


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
                made.add(artifact_name(line))


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
