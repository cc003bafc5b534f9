"""Mutated pickles in every container end in a sound reading or an error of ours.

``EDGEYOLO_FUZZ_INPUTS`` sets how many; the default is for every day.
"""

from __future__ import annotations

import importlib.util
import io
import os
import pickletools
import random
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from edgeyolo.checkpoints.containers import open_stored
from edgeyolo.checkpoints.contents import find_contents
from edgeyolo.checkpoints.header import find_header
from edgeyolo.errors import CheckpointError

INPUTS = int(os.environ.get("EDGEYOLO_FUZZ_INPUTS", "2000"))
OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]
LENGTHS = [number.to_bytes(4, "little") for number in (0, 1, 7, 2**31, 2**32 - 1)]


@pytest.fixture(scope="module")
def hostile_files() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "hostile_files", Path(__file__).with_name("hostile_files.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def mutated(generator: random.Random, seeds: list[bytes]) -> bytes:
    data = bytearray(generator.choice(seeds))
    for _ in range(generator.choice((1, 2, 3, 8, 30))):
        place = generator.randrange(len(data) + 1)
        kind = generator.randrange(6)
        if kind == 0:
            data[place : place + 1] = generator.choice(OPCODES)
        elif kind == 1:
            data[place:place] = generator.choice(OPCODES)
        elif kind == 2:
            del data[place : place + generator.randrange(9)]
        elif kind == 3:
            data[place : place + 1] = generator.randbytes(1)
        elif kind == 4:
            other = generator.choice(seeds)
            start = generator.randrange(len(other))
            data[place:place] = other[start : start + generator.randrange(40)]
        else:
            data[place : place + 4] = generator.choice(LENGTHS)
    return bytes(data)


def test_mutations_never_escape_the_reader(hostile_files: ModuleType, tmp_path: Path) -> None:
    generator = random.Random(20)
    canary = tmp_path / "canary"
    canary.mkdir()
    seeds = list(hostile_files.running(canary).values())
    for group in (hostile_files.opcodes(), hostile_files.arrays(), hostile_files.identities()):
        archives = [content for content in group.values() if content.startswith(b"PK")]
        seeds += [zipfile.ZipFile(io.BytesIO(data)).read("archive/data.pkl") for data in archives]
    path = tmp_path / "weights.pt"
    messages: list[str] = []
    for number in range(INPUTS):
        data = mutated(generator, seeds)
        containers = (
            lambda data: hostile_files.zipped(data, {"0": bytes(16)}),
            hostile_files.streamed,
            bytes,
        )
        path.write_bytes(containers[number % 3](data))
        try:
            with open_stored(path) as stored:
                find_header(stored.root)
                find_contents(stored.root)
        except CheckpointError as error:
            messages.append(str(error))
    assert len(messages) > 0.9 * INPUTS
    assert [message for message in messages if "\n" in message] == []
    assert list(canary.iterdir()) == []
