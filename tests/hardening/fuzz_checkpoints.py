"""Damaged checkpoints, in all three containers that ``torch.save`` has had, and of our own."""

from __future__ import annotations

import dataclasses
import io
import pickle
import pickletools
import random
from typing import Any

import torch

from edgeyolo.checkpoints.load import load_model
from edgeyolo.checkpoints.own import save_checkpoint
from edgeyolo.checkpoints.reader import read_checkpoint
from edgeyolo.families import FAMILIES
from edgeyolo.models.zoo import build, build_architecture
from edgeyolo.spec import Family, ModelSpec
from tests.hardening.mutations import BLIND, Mutation, mutate, zip_member
from tests.hardening.target import Target, command_line

_OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]


class ZipCheckpoint(Target):
    """``.pt`` as torch writes it today."""

    name = "checkpoint-zip"
    ways: tuple[Mutation, ...] = (zip_member, zip_member, zip_member, *BLIND)

    def prepare(self) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(7)
        architecture = dataclasses.replace(
            build("yolox-nano", num_classes=2).architecture, variant="custom", width=0.03125
        )
        model = build_architecture(architecture)
        # What the reader has to say is in structure, not in weights: few bytes to hit them.
        spec = ModelSpec(
            family=Family.YOLOX,
            variant="custom",
            class_names=("a", "b"),
            strides=(8, 16, 32),
            anchors_px=None,
            preprocess=FAMILIES[Family.YOLOX].preprocess((64, 64)),
        )
        save_checkpoint(self.folder / "own.pt", model.state_dict(), spec, architecture=architecture)
        state = {key: value.half() for key, value in model.state_dict().items()}
        few: dict[str, Any] = {
            "model": {"a.weight": torch.ones(4, 3), "b": torch.arange(3)},
            "start_epoch": 3,
            "best_ap": 0.5,
        }
        self.seeds = [(self.folder / "own.pt").read_bytes()]
        self.seeds += [self.packed(content) for content in ({"model": state}, state)]
        # Of a small file more of what is damaged decides something.
        self.seeds += [self.packed(few)] * 5

    def packed(self, content: object) -> bytes:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        return buffer.getvalue()

    def write(self, rng: random.Random) -> None:
        (self.input / "weights.pt").write_bytes(mutate(rng, rng.choice(self.seeds), self.ways))

    def read(self, rng: random.Random) -> None:
        path = self.input / "weights.pt"
        if rng.random() < 0.1:
            command_line("inspect", path, "--json")
            return
        checkpoint = read_checkpoint(path)
        assert all(value.isfinite().all() for value in checkpoint.state.values())
        if rng.random() < 0.3:
            load_model(path, known_names=("a", "b"))


def pickle_opcode(rng: random.Random, data: bytes) -> bytes:
    """An opcode near the start, where the pickle lies, becomes another one."""
    place = rng.randrange(min(len(data), 20_000) or 1)
    opcode = rng.choice(_OPCODES)
    return data[:place] + opcode + data[place + rng.randrange(2) :]


class StreamCheckpoint(ZipCheckpoint):
    """``.pth`` of torch before 1.6: pickles one behind the other, then the numbers."""

    name = "checkpoint-pickle"
    ways = (pickle_opcode, pickle_opcode, *BLIND)

    def packed(self, content: object) -> bytes:
        buffer = io.BytesIO()
        torch.save(content, buffer, _use_new_zipfile_serialization=False)
        return buffer.getvalue()

    def prepare(self) -> None:
        super().prepare()
        self.seeds = self.seeds[1:]
        # A plain pickle is no checkpoint, but a user may well try it.
        self.seeds.append(pickle.dumps({"model": {"a": [1.0, 2.0]}}, 2))
