"""Commands where the disk is full, folders are read-only, and the environment is not as usual."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeyolo.contract import CONTRACT_KEY, encode
from edgeyolo.inspection import inspect
from edgeyolo.spec import Backend
from tests.doubles.tiny_detector import tiny_detector
from tests.hardening import model_seeds, seeds
from tests.hardening.conftest import ROOT, Command
from tests.hardening.inputs import Inputs

pytest.importorskip("onnxruntime")
C_LOCALE = {
    "LC_ALL": "C",
    "LANG": None,
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONIOENCODING": None,
}


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB of which 16 are free."""
    place = tmp_path / "full"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        (place / "filling").write_bytes(bytes(240 * 1024))
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def few_bytes_a_file() -> None:
    """In the child: files cannot grow beyond 8 KiB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))


def without_privileges() -> None:
    """In the child: root obeys the modes of files and folders, like everybody else."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in range(64):
            failed = libc.prctl(24, capability, 0, 0, 0) != 0  # PR_CAPBSET_DROP
            if failed and capability == 1:  # CAP_DAC_OVERRIDE
                raise PermissionError("root may not give up its privileges here")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("uncovered")
@pytest.mark.parametrize("limit", ["disk", "file size"])
def test_results_that_do_not_fit_are_one_line_and_leave_nothing(
    command: Command, artifact: Path, pictures: Path, tmp_path: Path, limit: str,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    if limit == "disk":
        place, before, there = request.getfixturevalue("full_disk"), None, ["filling"]
    else:
        place, before, there = tmp_path / "out", few_bytes_a_file, []
        place.mkdir()
    noise = np.random.default_rng(1).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    big = tmp_path / "big.png"
    _, content = cv2.imencode(".png", noise)
    big.write_bytes(content.tobytes())
    predict = command("predict", artifact, big, "--save", place / "shown", before=before)
    assert "cannot write" in predict.failed_in_one_line()
    assert names_in(place / "shown") == []
    packed = command("package", artifact, "--output", place / "packed", before=before)
    assert "cannot write" in packed.failed_in_one_line()
    zipped = command("package", artifact, "--zip", "--output", place / "p.zip", before=before)
    zipped.failed_in_one_line()
    (place / "shown").rmdir()
    assert names_in(place) == there


@pytest.mark.slow
def test_an_export_to_a_full_disk_is_one_line(
    command: Command, inputs: Inputs, full_disk: Path
) -> None:
    arguments = ["export", inputs.checkpoint, "--to", "onnx", "--input-size", "64"]
    done = command(*arguments, "--allow-mismatch", "--output", full_disk / "artifact")
    assert "No space left" in done.failed_in_one_line()
    assert names_in(full_disk) == ["filling"]
    scratch = command(
        *arguments, "--output", full_disk.parent / "other", environment={"TMPDIR": str(full_disk)}
    )
    scratch.failed_in_one_line()
    assert names_in(full_disk) == ["filling"]
    assert not (full_disk.parent / "other").exists()


def test_a_training_on_a_full_disk_is_one_line(
    command: Command, inputs: Inputs, full_disk: Path
) -> None:
    arguments = ["train", "yolox-nano", "--data", inputs.dataset, "--epochs", "1", "--batch", "4"]
    arguments += ["--input-size", "64", "--workers", "0", "--no-tensorboard"]
    done = command(*arguments, "--output", full_disk / "run")
    assert "No space left" in done.failed_in_one_line()
    assert not list(full_disk.rglob("*.pt"))


def test_read_only_folders_are_one_line(
    command: Command, artifact: Path, pictures: Path, tmp_path: Path
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    for arguments in (
        ("predict", artifact, pictures, "--save", locked / "shown"),
        ("predict", artifact, pictures, "--coco", locked / "found.json"),
        ("package", artifact, "--output", locked / "packed"),
        ("scenes", "render", "--output", locked / "scenes", "--count", "1"),
    ):
        done = command(*arguments, before=without_privileges)
        assert "cannot" in done.failed_in_one_line(), arguments
    assert names_in(locked) == []


def test_an_artifact_that_may_only_be_read_works_from_a_folder_that_may_only_be_read(
    command: Command, artifact: Path, pictures: Path, tmp_path: Path
) -> None:
    place = tmp_path / "locked"
    shutil.copytree(artifact, place / "artifact")
    for path in (*place.rglob("*"), place):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        arguments = ("predict", "artifact", pictures, "--json")
        done = command(*arguments, cwd=place, before=without_privileges)
        assert len(json.loads(done.worked())["frames"]) == 2
    finally:
        place.chmod(0o755)
        (place / "artifact").chmod(0o755)


def test_what_may_not_be_read_is_one_line(
    command: Command, artifact: Path, pictures: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "artifact"
    shutil.copytree(artifact, copy)
    (copy / "model.onnx").chmod(0)
    done = command("predict", copy, pictures, before=without_privileges)
    assert "model.onnx" in done.failed_in_one_line()
    (copy / "artifact.json").chmod(0)
    done = command("predict", copy, pictures, before=without_privileges)
    assert "artifact.json" in done.failed_in_one_line()


@pytest.mark.slow
def test_exports_at_the_same_time_into_one_folder_leave_one_complete_artifact(
    inputs: Inputs, tmp_path: Path
) -> None:
    line = [sys.executable, "-m", "edgeyolo", "export", str(inputs.checkpoint), "--to", "onnx"]
    line += ["--input-size", "64", "--allow-mismatch", "--output", str(tmp_path / "artifact")]
    started = [
        subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    errors = [process.communicate(timeout=300)[1].decode() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], errors
    assert inspect(tmp_path / "artifact").sound
    assert names_in(tmp_path) == ["artifact"]


@pytest.mark.parametrize("backend", ["onnx", "openvino", "tflite"])
def test_names_of_every_kind_work_as_lone_files(
    command: Command, pictures: Path, tmp_path: Path, backend: str
) -> None:
    place = tmp_path / "Ordner mit ü, ☃ und 'Zeichen' %s"
    place.mkdir()
    path = place / {"onnx": "a b.onnx", "openvino": "a b.xml", "tflite": "a b.tflite"}[backend]
    if backend == "onnx":
        path.write_bytes(model_seeds.onnx_files()[0])
    elif backend == "openvino":
        pytest.importorskip("openvino")
        xml, weights = model_seeds.openvino_files(tmp_path)[0]
        path.write_bytes(xml)
        path.with_suffix(".bin").write_bytes(weights)
    else:
        pytest.importorskip("ai_edge_litert")
        path.write_bytes(model_seeds.tflite_files()[0])
    done = command("predict", path.name, pictures, "--json", "--save", "gezeigt ☃", cwd=place)
    frames = json.loads(done.worked())["frames"]
    assert [frame["name"] for frame in frames] == ["a b.jpg", "señal ⚠.png"]
    assert names_in(place / "gezeigt ☃") == ["a b.jpg", "señal ⚠.png"]


def test_a_name_that_is_no_text_works(command: Command, artifact: Path, tmp_path: Path) -> None:
    """Linux allows any bytes in a name."""
    name = os.fsdecode(b"\xff\xfe.jpg")
    _, content = cv2.imencode(".jpg", seeds.scene())
    (tmp_path / name).write_bytes(content.tobytes())
    for environment in ({}, C_LOCALE):
        arguments = ("predict", artifact, tmp_path / name, "--json")
        assert json.loads(command(*arguments, environment=environment).worked())["frames"]


def test_locale_c_without_utf_8(command: Command, pictures: Path, tmp_path: Path) -> None:
    proto = tiny_detector()
    contract = model_seeds.contract(Backend.ONNX, "model.onnx")
    text = encode(contract).replace('"cat"', '"señal ⚠"')
    proto.metadata_props.add(key=CONTRACT_KEY, value=text)
    path = tmp_path / "model ü.onnx"
    path.write_bytes(proto.SerializeToString())
    command("predict", path, pictures, "--min-score", "0", environment=C_LOCALE).worked()
    command("inspect", path, environment=C_LOCALE).worked()
    found = command("predict", path, pictures, "--json", environment=C_LOCALE).worked()
    detections = json.loads(found)["frames"][0]["detections"]
    assert "señal ⚠" in {one["class_name"] for one in detections}
    missing = command("predict", path, pictures / "fehlt ü", environment=C_LOCALE)
    assert missing.status == 2
    assert "Traceback" not in missing.err


def test_a_data_set_and_class_names_in_locale_c(
    command: Command, inputs: Inputs, tmp_path: Path
) -> None:
    done = command("data", "check", inputs.dataset, environment=C_LOCALE).worked()
    assert "8 usable pictures" in done
    exported = command(
        *("export", inputs.checkpoint, "--to", "onnx", "--input-size", "64", "--allow-mismatch"),
        *("--output", tmp_path / "Modell ü"),
        environment=C_LOCALE,
    )
    exported.worked()
    assert inspect(tmp_path / "Modell ü").sound


@pytest.mark.parametrize("home", [None, "/proc/nowhere", "/", "relative"])
def test_no_home(command: Command, artifact: Path, pictures: Path, home: str | None) -> None:
    surroundings = {"HOME": home, "XDG_CACHE_HOME": None, "EDGEYOLO_CACHE": None}
    for arguments in (
        ("predict", artifact, pictures),
        ("weights", "list"),
        ("inspect", artifact),
    ):
        command(*arguments, environment=surroundings, before=without_privileges).worked()


@pytest.mark.parametrize(
    "shell",
    ["| head -1", "| head -c 1", ">&-", "2>&-", "<&-", ">&- 2>&- <&-", "> /dev/full; true"],
)
def test_streams_that_end_or_are_closed(
    command: Command, artifact: Path, pictures: Path, shell: str
) -> None:
    for arguments in (("predict", artifact, pictures, "--json"), ("--help",)):
        done = command(*arguments, shell=shell)
        assert "Traceback" not in done.err, done.err
        assert "Exception ignored" not in done.err, done.err
        assert done.status in (0, 1), done.err
