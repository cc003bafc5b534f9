"""Files that are broken or something else altogether get one clear line."""

from __future__ import annotations

import io
import os
import pickle
import random
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from edgeyolo.checkpoints.reader import read_checkpoint
from edgeyolo.errors import CheckpointError
from edgeyolo.models.zoo import build

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def sound_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small YOLOX in both containers that torch still writes."""
    folder = tmp_path_factory.mktemp("sound")
    torch.manual_seed(1)
    state = build("yolox-nano", num_classes=2).state_dict()
    small = {key: value for key, value in state.items() if "head" in key or "stem" in key}
    files = {}
    for container, zipped in (("zip", True), ("stream", False)):
        path = folder / container
        torch.save({"model": small}, path, _use_new_zipfile_serialization=zipped)
        files[container] = path.read_bytes()
    return files


def message_for(content: bytes, folder: Path) -> str:
    path = folder / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as raised:
        read_checkpoint(path)
    text = str(raised.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    return text


FOREIGN = {
    "empty": (b"", r"empty \(0 bytes\)"),
    "git lfs pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7694953\n",
        "git lfs pull",
    ),
    "web page": (b"\n<!DOCTYPE html>\n<html><title>404</title></html>", "web page"),
    "xml error": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "web page"),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(100), "TFLite"),
    "onnx": (b"\x08\x07\x12\x07pytorch\x1a\x052.0.1", "ONNX"),
    "safetensors": (b"\x60\0\0\0\0\0\0\0" + b'{"weight":{}}', "safetensors"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(50), "PNG"),
    "jpeg": (b"\xff\xd8\xff\xe0" + bytes(50), "JPEG"),
    "gzip": (b"\x1f\x8b\x08" + bytes(50), "gzip"),
    "zeros": (bytes(5000), "zeros"),
    "text": (b"hello, these are weights", "not a file that torch.save wrote"),
    "noise": (random.Random(3).randbytes(4000), "not a file that torch.save wrote"),
    "empty zip": (b"PK\x05\x06" + bytes(18), "not a file that torch.save wrote"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files_are_named_for_what_they_are(kind: str, tmp_path: Path) -> None:
    content, expected = FOREIGN[kind]
    text = message_for(content, tmp_path)
    assert re.search(expected, text), text


def test_a_missing_file_a_folder_and_an_unreadable_file_are_said_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        read_checkpoint(tmp_path / "absent.pt")
    with pytest.raises(CheckpointError, match="directory"):
        read_checkpoint(tmp_path)
    secret = tmp_path / "secret.pt"
    secret.write_bytes(b"x")
    secret.chmod(0)
    if os.geteuid():
        with pytest.raises(CheckpointError, match="Permission denied"):
            read_checkpoint(secret)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("yolov7_tiny_truncated_download.pt", "3,975,745"),
        ("yolov7_truncated_download.pt", "261,120"),
    ],
)
def test_downloads_that_broke_off_are_incomplete(shared: Path, name: str, size: str) -> None:
    with pytest.raises(CheckpointError, match=f"incomplete: it has {size} bytes"):
        read_checkpoint(shared / "assets/weights" / name)


@pytest.mark.parametrize("container", ["zip", "stream"])
def test_a_file_cut_anywhere_is_refused(
    sound_files: dict[str, bytes], container: str, tmp_path: Path
) -> None:
    whole = sound_files[container]
    cuts = [
        10,
        100,
        1000,
        5000,
        len(whole) // 2,
        len(whole) - 1000,
        len(whole) - 30,
        len(whole) - 1,
    ]
    for cut in cuts:
        text = message_for(whole[:cut], tmp_path)
        assert f"incomplete: it has {cut:,} bytes" in text, (cut, text)


@pytest.mark.parametrize("container", ["zip", "stream"])
def test_altered_bytes_give_an_error_of_ours_or_sound_tensors(
    sound_files: dict[str, bytes], container: str, tmp_path: Path
) -> None:
    # The sound file itself is refused as well (most layers are missing), so every variation
    # must end in CheckpointError; what it must not end in is any other exception.
    generator = random.Random(11)
    whole = sound_files[container]
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(generator.choice((1, 1, 4, 40))):
            content[generator.randrange(len(content))] = generator.randrange(256)
        if generator.random() < 0.2:
            place = generator.randrange(len(content))
            del content[place : place + generator.randrange(200)]
        message_for(bytes(content), tmp_path)


def test_one_flipped_bit_in_the_numbers_of_a_zip_is_noticed(
    sound_files: dict[str, bytes], tmp_path: Path
) -> None:
    content = bytearray(sound_files["zip"])
    content[len(content) // 2] ^= 4
    assert "checksum" in message_for(bytes(content), tmp_path)


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("archive/byteorder", b"big", "big-endian"),
        ("archive/constants.pkl", b"", "TorchScript"),
        ("archive/nothing", b"", "no weights"),
    ],
)
def test_archives_of_another_purpose_are_named(
    name: str, data: bytes, expected: str, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        archive.writestr(name, data)
    assert expected in message_for(buffer.getvalue(), tmp_path)


@pytest.mark.parametrize("kind", ["empty", "cut", "hostile"])
def test_the_command_says_it_in_one_line_and_writes_nothing(
    sound_files: dict[str, bytes], kind: str, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    hostile = pickle.dumps(_Touch(str(canary)))
    content = {"empty": b"", "cut": sound_files["zip"][:5000], "hostile": hostile}[kind]
    (tmp_path / "weights.pt").write_bytes(content)
    output = tmp_path / "artifact"
    command = [sys.executable, "-m", "edgeyolo", "export", str(tmp_path / "weights.pt")]
    done = subprocess.run(
        [*command, "--to", "onnx", "--output", str(output)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("edgeyolo: ")]
    assert len(errors) == 1
    assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"weights.pt"}


class _Touch:
    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self._path,)
