"""Commands give results on stdout, one line on stderr when something is wrong, and statuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeyolo.artifact import CONTRACT_FILE
from edgeyolo.cli import main as command_line
from edgeyolo.errors import ArtifactError
from edgeyolo.pipeline import ExportRequest
from edgeyolo.predictor import Predictor, load
from edgeyolo.spec import Backend

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process: (exit status, stdout, stderr)."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["edgeyolo", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stopped:
            command_line.main()
        out, err = capfd.readouterr()
        return int(stopped.value.code or 0), out, err

    return call


@pytest.fixture
def artifact(quadrant_artifact: Path) -> Path:
    """Scores the mean blue, green and red of each quarter of a 64x64 canvas."""
    return quadrant_artifact


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "Bilder mit Leerzeichen ü"
    folder.mkdir()
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[:32, :32] = (250, 0, 0)
    for name in ("a.png", "b.jpg"):
        _, data = cv2.imencode(Path(name).suffix, frame)
        (folder / name).write_bytes(data.tobytes())
    return folder


def assert_one_line_failure(result: tuple[int, str, str], *words: str) -> None:
    status, out, err = result
    assert status == 1, err
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("edgeyolo: ")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    for word in words:
        assert word in lines[0]


def test_help_names_every_command_and_imports_no_framework() -> None:
    code = (
        "import sys; sys.argv = ['edgeyolo', '--help']\n"
        "from edgeyolo.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'onnx', 'cv2', 'openvino'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in command_line.COMMANDS)


@pytest.mark.parametrize("name", list(command_line.COMMANDS))
def test_every_command_explains_itself(run: Run, name: str) -> None:
    status, out, _ = run(name, "--help")
    assert status == 0
    assert "Usage:" in out


def test_wrong_usage_has_status_2(run: Run, artifact: Path) -> None:
    assert run("predict", artifact)[0] == 2
    assert run("nonsense")[0] == 2
    assert run("predict", artifact, artifact, "--min-score", "7")[0] == 2


def test_predict_prints_json_and_nothing_else(run: Run, artifact: Path, pictures: Path) -> None:
    status, out, _ = run("predict", artifact, pictures, "--json")
    assert status == 0
    frames = json.loads(out)["frames"]
    assert [frame["name"] for frame in frames] == ["a.png", "b.jpg"]
    assert frames[0]["detections"][0]["class_name"] == "blue"
    assert frames[0]["detections"][0]["box_xyxy"] == [0.0, 0.0, 32.0, 32.0]


def test_predict_saves_annotated_pictures_and_coco_results(
    run: Run, artifact: Path, pictures: Path, tmp_path: Path
) -> None:
    saved, results = tmp_path / "saved", tmp_path / "results.json"
    status, out, _ = run("predict", artifact, pictures, "--save", saved, "--coco", results)
    assert status == 0
    assert "a.png: 1 blue" in out
    assert sorted(os.listdir(saved)) == ["a.png", "b.jpg"]
    before = cv2.imread(str(pictures / "a.png"))
    after = cv2.imread(str(saved / "a.png"))
    assert before is not None
    assert after is not None
    assert (before != after).any()
    assert json.loads(results.read_text())[0]["bbox"] == [0.0, 0.0, 32.0, 32.0]


def test_predict_annotates_a_video(run: Run, artifact: Path, tmp_path: Path) -> None:
    video = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 64))
    for _ in range(5):
        writer.write(np.full((64, 64, 3), 200, np.uint8))
    writer.release()
    status, out, _ = run("predict", artifact, video, "--save", tmp_path / "saved", "--json")
    assert status == 0
    assert len(json.loads(out)["frames"]) == 5
    assert os.listdir(tmp_path / "saved") == ["film.mp4"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("picture",)),
        (b"not a picture at all", ("picture",)),
        (b"\xff\xd8\xff\xe0" + b"\0" * 100, ("picture",)),
    ],
)
def test_a_bad_picture_is_one_line(
    run: Run, artifact: Path, tmp_path: Path, content: bytes, words: tuple[str, ...]
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(content)
    assert_one_line_failure(run("predict", artifact, bad), "bad.jpg", *words)


def test_an_empty_folder_is_one_line(run: Run, artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert_one_line_failure(run("predict", artifact, tmp_path / "empty"), "no pictures")


def test_an_altered_artifact_is_one_line(run: Run, artifact: Path, pictures: Path) -> None:
    model = artifact / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    assert_one_line_failure(run("predict", artifact, pictures), "altered")
    status, out, _ = run("inspect", artifact, "--json")
    assert status == 1
    assert json.loads(out)["sound"] is False


def test_inspect_takes_the_name_of_weights(run: Run) -> None:
    status, out, _ = run("inspect", "demo")
    assert status == 0
    assert "yolox-nano" in out
    assert_one_line_failure(run("inspect", "nothing.pth"), "neither a file nor a known name")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema": 99}', b"\x00\xff"])
def test_a_bad_contract_is_one_line(
    run: Run, artifact: Path, pictures: Path, content: bytes
) -> None:
    (artifact / CONTRACT_FILE).write_bytes(content)
    assert_one_line_failure(run("predict", artifact, pictures), CONTRACT_FILE)


@pytest.mark.parametrize("suffix", [".onnx", ".xml", ".tflite", ".engine", ".bin"])
def test_a_foreign_model_file_is_one_line(
    run: Run, pictures: Path, tmp_path: Path, suffix: str
) -> None:
    foreign = tmp_path / f"foreign{suffix}"
    foreign.write_bytes(b"this is no model" * 100)
    assert_one_line_failure(run("predict", foreign, pictures), f"foreign{suffix}")


def test_results_are_not_written_below_a_file(
    run: Run, artifact: Path, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    result = run("predict", artifact, pictures, "--save", tmp_path / "file" / "sub")
    assert result[0] == 1
    assert "cannot write" in result[2]


def test_a_reader_that_stops_early_is_no_error(artifact: Path, pictures: Path) -> None:
    command = f"{sys.executable} -m edgeyolo predict '{artifact}' '{pictures}' --json | head -c 5"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.slow
def test_a_killed_export_leaves_nothing_that_loads(shared: Path, tmp_path: Path) -> None:
    """SIGKILL at moments spread over the whole export."""
    checkpoint = shared / "assets" / "weights" / "yolox_nano_0.1.1rc0_refolded.pth"
    command = [
        *(sys.executable, "-m", "edgeyolo", "export", str(checkpoint)),
        *("--to", "onnx", "--input-size", "96", "--output", str(tmp_path / "artifact")),
    ]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    whole_s = time.perf_counter() - started
    killed = 0
    for part in range(1, 6):
        target = tmp_path / f"artifact{part}"
        process = subprocess.Popen(
            [*command[:-1], str(target)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(timeout=whole_s * part / 5.5)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        if target.exists():
            assert isinstance(load(target), Predictor)
        else:
            with pytest.raises(ArtifactError):
                load(target)
    assert killed >= 3


def test_a_size_that_the_network_cannot_halve_is_one_line(
    run: Run, shared: Path, tmp_path: Path
) -> None:
    checkpoint = shared / "reference" / "checkpoint" / "yolov7_w6_w0125_nc7_synth.pt"
    arguments = ["--to", "onnx", "--input-size", "96", "--output", tmp_path / "never"]
    result = run("export", checkpoint, *arguments)
    assert_one_line_failure(result, "multiples of 64")
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    ("wrong", "status", "words"),
    [
        (("--batch", "2000"), 2, "1<=x<=1024"),
        (("--batch", "4", "--dynamic-batch"), 2, "contradict each other"),
        (("--output", "/proc/nope/x"), 1, "cannot write /proc/nope/x"),
        (("--output", "{theirs}"), 1, "was not written by this command"),
    ],
)
def test_export_judges_its_arguments_before_it_works(
    run: Run, tmp_path: Path, wrong: tuple[str, ...], status: int, words: str
) -> None:
    # Anything later would stumble over this file first.
    checkpoint = tmp_path / "no-weights.pth"
    checkpoint.write_bytes(b"nothing that can be read")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.tex").touch()
    arguments = [word.format(theirs=theirs) for word in wrong]
    found = run("export", checkpoint, "--to", "onnx", *arguments)
    assert found[0] == status
    assert words in found[2]
    assert "reading" not in found[2]


def test_the_library_judges_the_batch_at_birth(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at most 1024, got 2000"):
        ExportRequest(checkpoint=tmp_path / "any.pth", backend=Backend.ONNX, batch=2000)


@pytest.mark.parametrize(
    ("command", "option"),
    [("val", "--results"), ("val", "--diagnostics"), ("benchmark", "--csv"), ("predict", "--coco")],
)
def test_places_for_results_are_tried_first(
    run: Run, artifact: Path, pictures: Path, command: str, option: str
) -> None:
    more: dict[str, tuple[str | Path, ...]] = {
        "val": ("--annotations", pictures),
        "benchmark": ("--source", pictures),
        "predict": (pictures,),
    }
    result = run(command, artifact, *more[command], option, "/proc/nope/x")
    assert_one_line_failure(result, "cannot write /proc/nope/x")
    assert result[1] == ""
