"""The camera command and the demo script, without and with a (virtual) display."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import edgeyolo
from edgeyolo.drawing import draw
from edgeyolo.overlay import Overlay
from edgeyolo.recording import VideoRecorder, json_line, save_snapshot
from edgeyolo.stream import StageTimes, StreamResult

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 12


def moving_quarters() -> list[NDArray[np.uint8]]:
    """Grey frames with one bright quarter that changes."""
    frames = []
    for index in range(FRAMES):
        frame = np.full((240, 240, 3), 20, np.uint8)
        row, column, channel = index % 2, index // 2 % 2, index % 3
        frame[120 * row : 120 * row + 120, 120 * column : 120 * column + 120, channel] = 220
        frames.append(frame)
    return frames


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "quarters.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (240, 240))
    for frame in moving_quarters():
        writer.write(frame)
    writer.release()
    return path


def frames_of(path: Path) -> list[NDArray[np.uint8]]:
    capture = cv2.VideoCapture(str(path))
    frames: list[NDArray[np.uint8]] = []
    while True:
        ok, frame = capture.read()
        if not ok:
            capture.release()
            return frames
        frames.append(np.asarray(frame, np.uint8))


def environment(display: str | None = None) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    kept["PYTHONPATH"] = str(ROOT)
    return kept | ({"DISPLAY": display} if display else {})


def run(
    arguments: list[str], display: str | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=environment(display),
        timeout=120,
        check=False,
        cwd=cwd,
    )


def camera(artifact: Path, source: str | Path) -> list[str]:
    return ["-m", "edgeyolo", "camera", str(artifact), "--source", str(source)]


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """A virtual display, where this machine can make one."""
    server = shutil.which("Xvfb")
    if server is None:
        pytest.skip("Xvfb is not installed (apt-get install xvfb)")
    reading, writing = os.pipe()
    command = [server, "-displayfd", str(writing), "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as running:
        os.close(writing)
        with os.fdopen(reading) as answer:
            number = answer.readline().strip()
        assert number, "Xvfb did not start"
        yield f":{number}"
        running.terminate()


def assert_boxes_are_where_predict_puts_them(artifact: Path, source: Path, output: Path) -> None:
    originals, annotated = frames_of(source), frames_of(output)
    assert len(originals) == len(annotated) == FRAMES
    with edgeyolo.load(artifact, threads=1) as predictor:
        for original, picture in zip(originals, annotated, strict=True):
            found = predictor.predict(original)
            assert len(found) == 1
            expected = draw(original, found)
            outline = np.abs(expected.astype(int) - original).max(axis=2) > 80
            drawn = np.abs(picture.astype(int) - original).max(axis=2) > 40
            # Of what predict would outline nearly all is there, in spite of the video codec.
            assert (outline & drawn).sum() > 0.8 * outline.sum()
            x1, y1, x2, y2 = (round(float(side)) for side in found.boxes_xyxy[0])
            inside = drawn[y1 + 40 : y2 - 40, x1 + 30 : x2 - 30]
            assert inside.mean() < 0.02


DEMO = str(ROOT / "examples" / "camera_demo.py")


def test_the_demo_writes_the_boxes_of_predict_without_a_display(
    quadrant_artifact: Path, video: Path, tmp_path: Path
) -> None:
    record, log = tmp_path / "annotated.mp4", tmp_path / "seen.jsonl"
    outputs = ["--record", str(record), "--log", str(log)]
    done = run([DEMO, str(quadrant_artifact), str(video), *outputs])
    assert done.returncode == 0, done.stderr
    assert done.stderr == "no display here (DISPLAY is not set): running without a window\n"
    assert done.stdout.splitlines()[0] == "quarters.avi 0: blue"
    assert done.stdout.splitlines()[-1].startswith(f"{FRAMES} frames, ")
    assert_boxes_are_where_predict_puts_them(quadrant_artifact, video, record)
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [row["detections"][0]["class_name"] for row in rows][:2] == ["blue", "green"]
    assert set(rows[0]["stages_ms"]) == set(StageTimes._fields)


def test_the_demo_writes_the_same_under_a_virtual_display(
    quadrant_artifact: Path, video: Path, tmp_path: Path, display: str
) -> None:
    record = tmp_path / "annotated.mp4"
    done = run([DEMO, str(quadrant_artifact), str(video), "--record", str(record)], display)
    assert done.returncode == 0, done.stderr
    assert "window" not in done.stderr
    assert_boxes_are_where_predict_puts_them(quadrant_artifact, video, record)


def test_the_demo_runs_on_beside_a_dead_display(quadrant_artifact: Path) -> None:
    done = run([DEMO, str(quadrant_artifact), "pattern#3"], ":77")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 1
    assert "running without one (the display :77 does not answer)" in done.stderr
    assert done.stdout.splitlines()[-1].startswith("3 frames, ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no/such.mp4", "--headless"], "no/such.mp4 is no file"),
        (["pattern#3", "--headless", "--record", "seen.xyz"], "seen.xyz is no video name"),
    ],
)
def test_what_goes_wrong_in_the_demo_is_one_line(
    quadrant_artifact: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = run([DEMO, str(quadrant_artifact), *arguments], cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("camera_demo: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    missing = run([DEMO, "no-such-artifact", "pattern#3"], cwd=tmp_path)
    assert missing.returncode == 1
    assert missing.stderr.startswith("camera_demo: ")
    assert missing.stderr.count("\n") == 1


def test_the_demo_is_short_and_uses_the_public_interface_only() -> None:
    text = Path(DEMO).read_text()
    assert len(text.splitlines()) < 60
    imported = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
    assert imported == [
        "from __future__ import annotations",
        "import argparse",
        "import sys",
        "from pathlib import Path",
        "import edgeyolo",
        "from edgeyolo.camera import CameraSettings, run_camera",
        "from edgeyolo.stream import StreamResult",
    ]
    assert "._" not in text


def test_the_command_records_and_logs_without_a_display(
    quadrant_artifact: Path, video: Path, tmp_path: Path
) -> None:
    record, log = tmp_path / "out" / "seen.mp4", tmp_path / "out" / "seen.jsonl"
    recording = ["--record", str(record), "--log", str(log)]
    done = run([*camera(quadrant_artifact, video), "--threads", "1", "--json", *recording])
    assert done.returncode == 0, done.stderr
    assert "no display here" in done.stderr
    summary = json.loads(done.stdout)
    assert summary["frames"] == summary["objects"] == FRAMES
    assert summary["dropped"] == 0
    assert_boxes_are_where_predict_puts_them(quadrant_artifact, video, record)
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    with edgeyolo.load(quadrant_artifact, threads=1) as predictor:
        for row, frame in zip(rows, frames_of(video), strict=True):
            assert row["detections"] == predictor.predict(frame).as_dicts()
    assert [row["frame"] for row in rows] == list(range(FRAMES))


def test_the_command_shows_a_window_under_a_virtual_display(
    quadrant_artifact: Path, video: Path, display: str
) -> None:
    done = run(camera(quadrant_artifact, video), display)
    assert done.returncode == 0, done.stderr
    assert "window" not in done.stderr
    assert done.stdout.startswith(f"{FRAMES} frames in ")


def test_a_display_that_does_not_answer_is_a_message_and_no_abort(
    quadrant_artifact: Path, video: Path
) -> None:
    done = run(["-m", "edgeyolo", "camera", str(quadrant_artifact), "--source", str(video)], ":987")
    assert done.returncode == 0, done.stderr
    assert "cannot open a window here" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--source", "63"], 1, "gave no picture; cameras here"),
        (["--source", "no/such.mp4"], 1, "is no file"),
        (["--source", "rtsp://u:hunter2@127.0.0.1:1/x", "--timeout", "0.5"], 1, "within 0.5 s"),
        (["--source", "pattern:64x64#3", "--mode", "latency"], 2, "is not live"),
        (["--source", "pattern:64x64#3", "--record", "out.xyz"], 1, "no video name"),
        (["--source", "pattern:64x64#3", "--size", "big"], 2, "WIDTHxHEIGHT"),
    ],
)
def test_what_goes_wrong_is_one_line(
    quadrant_artifact: Path, tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    done = run(["-m", "edgeyolo", "camera", str(quadrant_artifact), *arguments], cwd=tmp_path)
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr
    assert not list(tmp_path.glob("*.part*"))


def test_a_paced_source_is_watched_for_as_many_frames_as_wanted(quadrant_artifact: Path) -> None:
    done = run([*camera(quadrant_artifact, "pattern:320x240@60"), "--frames", "15", "--json"])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frames"] == 15


def result(frame_bgr: NDArray[np.uint8], detections: edgeyolo.Detections) -> StreamResult:
    return StreamResult(
        frame_bgr=frame_bgr,
        detections=detections,
        source_index=0,
        frame_index=3,
        name="camera 0",
        captured_s=time.monotonic(),
        frame_age_ms=41.4,
        dropped=7,
        stages_ms=StageTimes(1.0, 0.25, 30.5, 0.75),
    )


def test_the_overlay_tells_rate_age_and_stages() -> None:
    overlay = Overlay()
    seen = result(np.zeros((480, 640, 3), np.uint8), edgeyolo.Detections.empty(("thing",)))
    for _ in range(5):
        picture = overlay.draw(seen)
        time.sleep(0.02)
    assert not seen.frame_bgr.any()
    assert picture[400:].any()
    assert overlay.lines(seen)[0].endswith("fps  age 41 ms  dropped 7")
    assert overlay.lines(seen)[1] == "letterbox 0.2  network 30.5  suppress 0.8 ms"
    assert overlay.fps == 0.0 or overlay.fps > 0


def test_json_lines_hold_names_in_any_script() -> None:
    detections = edgeyolo.Detections(
        np.array([[1, 2, 3, 4.126]], np.float32),
        np.array([0.5], np.float32),
        np.array([0]),
        ("Fußgänger",),
    )
    text = json_line(result(np.zeros((8, 9, 3), np.uint8), detections))
    assert "\n" not in text
    assert json.loads(text)["detections"] == [
        {"box_xyxy": [1.0, 2.0, 3.0, 4.13], "score": 0.5, "class_id": 0, "class_name": "Fußgänger"}
    ]


def test_snapshots_do_not_overwrite_each_other(tmp_path: Path) -> None:
    picture = np.full((4, 4, 3), 9, np.uint8)
    first = save_snapshot(tmp_path, picture)
    time.sleep(0.002)
    second = save_snapshot(tmp_path, picture)
    assert first != second
    assert (np.asarray(cv2.imread(str(first))) == 9).all()


def test_a_live_recording_plays_as_fast_as_life(tmp_path: Path) -> None:
    path = tmp_path / "seen.avi"
    # At 10 frames/s: one in time, one too early, one after half a second, one after a minute.
    taken = [(0.0, 0), (0.1, 50), (0.12, 100), (0.6, 150), (60.6, 200)]
    with VideoRecorder(path, 10.0) as recorder:
        for at_s, level in taken:
            recorder.write(np.full((48, 64, 3), level, np.uint8), at_s=at_s)
    levels = [float(frame.mean()) for frame in frames_of(path)]
    # What came too early is not lost: it is what is held until the next.
    assert levels[:7] == pytest.approx([0, 50, 100, 100, 100, 100, 150], abs=4)
    assert len(levels) == 7 + 100
    assert levels[-1] == pytest.approx(200, abs=4)


def test_a_recording_keeps_the_size_of_its_first_picture(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    with VideoRecorder(path, 10.0) as recorder:
        recorder.write(np.zeros((48, 64, 3), np.uint8))
        recorder.write(np.full((96, 32, 3), 200, np.uint8))
        assert not path.exists()
    frames = frames_of(path)
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 2
    assert frames[1].mean() > 150
    with VideoRecorder(tmp_path / "empty.mp4", 10.0):
        pass
    assert not (tmp_path / "empty.mp4").exists()
