"""A small checkpoint, a few pictures and a labelled data set, for real commands that end soon."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch

from edgeyolo.checkpoints.own import save_checkpoint
from edgeyolo.families import FAMILIES
from edgeyolo.models.zoo import build, build_architecture
from edgeyolo.spec import Family, ModelSpec
from tests.hardening import seeds

NAMES = ("cube", "ball")


@dataclass(frozen=True, slots=True)
class Inputs:
    """Paths of what :func:`make_inputs` made."""

    checkpoint: Path
    pictures: Path
    dataset: Path


def make_inputs(folder: Path, *, pictures: int = 8) -> Inputs:
    """Write everything below *folder*, which must exist."""
    dataset = folder / "data"
    (dataset / "images").mkdir(parents=True)
    names = [f"{index:02}.jpg" for index in range(pictures)]
    for index, name in enumerate(names):
        _, content = cv2.imencode(".jpg", seeds.scene(seed=index))
        (dataset / "images" / name).write_bytes(content.tobytes())
    document = json.loads(seeds.coco_document(names))
    (dataset / "instances.json").write_text(json.dumps(document))
    return Inputs(small_checkpoint(folder / "tiny.pt"), dataset / "images", dataset)


def small_checkpoint(path: Path) -> Path:
    """YOLOX-Nano with an eighth of its channels, random weights, 64x64 pixels."""
    torch.manual_seed(7)
    architecture = dataclasses.replace(
        build("yolox-nano", num_classes=len(NAMES)).architecture, variant="custom", width=0.03125
    )
    spec = ModelSpec(
        family=Family.YOLOX,
        variant="custom",
        class_names=NAMES,
        strides=(8, 16, 32),
        anchors_px=None,
        preprocess=FAMILIES[Family.YOLOX].preprocess((64, 64)),
    )
    state = build_architecture(architecture).state_dict()
    save_checkpoint(path, state, spec, architecture=architecture)
    return path
