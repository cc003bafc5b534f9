"""Predicting pictures and videos keeps apart what it reads and what it writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeyolo.camera import CameraSettings, run_camera
from edgeyolo.errors import OutputError, SourceError
from edgeyolo.prediction import predict_source, write_coco
from edgeyolo.predictor import Predictor

Quadrants = Callable[..., Predictor]


def write_video(path: Path, frames: int = 3, fps: float = 10.0) -> Path:
    codec = cv2.VideoWriter.fourcc(*"mp4v" if path.suffix == ".mp4" else "MJPG")
    writer = cv2.VideoWriter(str(path), codec, fps, (64, 64))
    for _ in range(frames):
        writer.write(np.full((64, 64, 3), 200, np.uint8))
    writer.release()
    return path


def write_picture(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), np.full((64, 64, 3), 200, np.uint8))
    return path


def test_coco_results_of_a_video_tell_its_frames_apart(
    quadrants: Quadrants, tmp_path: Path
) -> None:
    found = list(predict_source(quadrants(), write_video(tmp_path / "film.avi")))
    assert [frame.name for frame in found] == ["film.avi#0", "film.avi#1", "film.avi#2"]
    write_coco(tmp_path / "results.json", found)
    rows = json.loads((tmp_path / "results.json").read_text())
    assert {row["image_id"] for row in rows} == {0, 1, 2}


def test_coco_results_of_pictures_bear_their_stems(quadrants: Quadrants, tmp_path: Path) -> None:
    for name in ("000000000139.png", "bus.png"):
        write_picture(tmp_path / "in" / name)
    write_coco(tmp_path / "results.json", list(predict_source(quadrants(), tmp_path / "in")))
    rows = json.loads((tmp_path / "results.json").read_text())
    assert {row["image_id"] for row in rows} == {139, "bus"}


def test_annotated_pictures_do_not_overwrite_the_pictures(
    quadrants: Quadrants, tmp_path: Path
) -> None:
    picture = write_picture(tmp_path / "in" / "a.png")
    content = picture.read_bytes()
    with pytest.raises(OutputError, match="overwritten; choose another place"):
        list(predict_source(quadrants(), tmp_path / "in", save=tmp_path / "in"))
    assert picture.read_bytes() == content


def test_an_annotated_video_does_not_overwrite_the_video(
    quadrants: Quadrants, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "film.mp4")
    content = video.read_bytes()
    with pytest.raises(OutputError, match="overwritten; choose another place"):
        list(predict_source(quadrants(), video, save=tmp_path))
    assert video.read_bytes() == content


def test_a_recording_does_not_overwrite_its_source(quadrants: Quadrants, tmp_path: Path) -> None:
    video = write_video(tmp_path / "film.mp4")
    content = video.read_bytes()
    with pytest.raises(OutputError, match="overwritten; choose another place"):
        run_camera(quadrants(), str(video), CameraSettings(record=video, window=False))
    assert video.read_bytes() == content


def test_the_annotated_video_has_the_rate_of_its_source(
    quadrants: Quadrants, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "film.avi", fps=7.0)
    list(predict_source(quadrants(), video, save=tmp_path / "saved"))
    capture = cv2.VideoCapture(str(tmp_path / "saved" / "film.mp4"))
    rate = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    assert rate == pytest.approx(7.0)


def test_what_is_no_video_is_refused(quadrants: Quadrants, tmp_path: Path) -> None:
    (tmp_path / "notes.doc").write_text("nothing to see")
    with pytest.raises(SourceError, match="not a video"):
        list(predict_source(quadrants(), tmp_path / "notes.doc"))


def test_grey_files_get_a_coloured_copy_of_another_kind(
    quadrants: Quadrants, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.pgm"), np.full((64, 64), 200, np.uint8))
    write_picture(folder / "a.png")
    found = list(predict_source(quadrants(), folder, save=tmp_path / "out"))
    assert [frame.name for frame in found] == ["a.pgm", "a.png"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.pgm.png", "a.png"}
    copy = cv2.imread(str(tmp_path / "out" / "a.pgm.png"))
    assert copy is not None
    assert (copy[..., 0] != copy[..., 2]).any()  # the box is not grey
    assert capfd.readouterr().err == ""


def test_a_picture_that_its_format_cannot_hold_is_one_line(
    quadrants: Quadrants, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    cv2.imwrite(str(folder / "long.png"), np.full((2, 20_000, 3), 200, np.uint8))
    (folder / "long.png").rename(folder / "long.webp")  # told by content, as everywhere
    with pytest.raises(OutputError, match=r"long\.webp: a \.webp file holds at most 16383 pixels"):
        list(predict_source(quadrants(), folder, save=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    assert capfd.readouterr().err == ""
