"""Damaged model files, alone and in artifacts: ONNX, OpenVINO IR, TFLite, ``artifact.json``.

Every second file is only looked at (contract, ``edgeyolo inspect``); the others go all the way
into the vendor's library and through one picture.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np

from edgeyolo.artifact import CONTRACT_FILE, save_artifact
from edgeyolo.contract import seal_document
from edgeyolo.inspection import inspect
from edgeyolo.predictor import load, lone_contract
from edgeyolo.spec import Backend
from tests.hardening import model_seeds
from tests.hardening.mutations import (
    BLIND,
    TEXT,
    flatbuffer_word,
    json_value,
    mutate,
    protobuf_field,
    snippet,
    xml_attribute,
    xml_element,
)
from tests.hardening.target import Target, command_line

PICTURE = np.full((48, 64, 3), 90, np.uint8)


def detect(path: Path, *, guarded: bool = True) -> None:
    """Load a model and find objects in one picture."""
    with load(path, device="cpu", threads=1, probe=None if guarded else False) as predictor:
        found = predictor.predict(PICTURE)
        assert np.isfinite(found.boxes_xyxy).all()
        assert len(found) <= 300


def look(path: Path, rng: random.Random) -> None:
    """Ask what a file is, in one of three ways."""
    way = rng.randrange(3)
    if way == 0:
        lone_contract(path)
    elif way == 1:
        inspect(path)
    else:
        command_line("inspect", path, *rng.choice([(), ("--json",)]))


class OnnxFile(Target):
    """A lone ``.onnx``."""

    name = "onnx"

    def prepare(self) -> None:
        self.seeds = model_seeds.onnx_files()

    def write(self, rng: random.Random) -> None:
        ways = (protobuf_field, protobuf_field, protobuf_field, *BLIND)
        (self.input / "model.onnx").write_bytes(mutate(rng, rng.choice(self.seeds), ways))

    def read(self, rng: random.Random) -> None:
        if rng.random() < 0.5:
            look(self.input / "model.onnx", rng)
        else:
            detect(self.input / "model.onnx", guarded=self.guarded)


class OpenVinoFile(Target):
    """A lone ``.xml`` with its ``.bin``; the one or the other is damaged."""

    name = "openvino"

    def prepare(self) -> None:
        self.seeds = model_seeds.openvino_files(self.folder)

    def write(self, rng: random.Random) -> None:
        xml, weights = rng.choice(self.seeds)
        if rng.random() < 0.2:
            weights = mutate(rng, weights, BLIND)
        else:
            ways = (xml_attribute, xml_attribute, xml_attribute, xml_element, *TEXT)
            xml = mutate(rng, xml, ways)
        (self.input / "model.xml").write_bytes(xml)
        (self.input / "model.bin").write_bytes(weights)

    def read(self, rng: random.Random) -> None:
        if rng.random() < 0.5:
            look(self.input / "model.xml", rng)
        else:
            detect(self.input / "model.xml", guarded=self.guarded)


class TfliteFile(Target):
    """A lone ``.tflite``."""

    name = "tflite"

    def prepare(self) -> None:
        self.seeds = model_seeds.tflite_files()

    def write(self, rng: random.Random) -> None:
        ways = (flatbuffer_word, flatbuffer_word, flatbuffer_word, *BLIND)
        (self.input / "model.tflite").write_bytes(mutate(rng, rng.choice(self.seeds), ways))

    def read(self, rng: random.Random) -> None:
        if rng.random() < 0.5:
            look(self.input / "model.tflite", rng)
        else:
            detect(self.input / "model.tflite", guarded=self.guarded)


def resealed(text: bytes) -> bytes:
    """A JSON object with its right digest; anything else as it is."""
    try:
        document = json.loads(text)
        return seal_document(document).encode() if isinstance(document, dict) else text
    except (ValueError, RecursionError, OverflowError):
        return text


class ArtifactJson(Target):
    """A sound model beside a damaged ``artifact.json``."""

    name = "artifact"

    def prepare(self) -> None:
        (self.folder / "model.onnx").write_bytes(model_seeds.onnx_files()[0])
        contract = model_seeds.contract(Backend.ONNX, "model.onnx")
        files = {"model.onnx": self.folder / "model.onnx"}
        self.text = b""
        save_artifact(self.input / "artifact", contract, files)
        self.text = (self.input / "artifact" / CONTRACT_FILE).read_bytes()

    def write(self, rng: random.Random) -> None:
        ways = (json_value, json_value, json_value, snippet, *BLIND)
        text = mutate(rng, self.text, ways)
        # Half of them with the digest that belongs to what they say now: what is behind it?
        (self.input / "artifact" / CONTRACT_FILE).write_bytes(
            resealed(text) if rng.random() < 0.5 else text
        )

    def read(self, rng: random.Random) -> None:
        folder = self.input / "artifact"
        if rng.random() < 0.2:
            look(folder / rng.choice(["", "model.onnx"]), rng)
            return
        detect(folder)
