"""``edgeyolo val``, ``data`` and ``scenes`` as people call them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from edgeyolo.cli.main import group
from edgeyolo.data.dataset import DetectionDataset
from edgeyolo.data.labels import read_dataset
from edgeyolo.errors import DatasetError
from edgeyolo.evaluation.coco import TWELVE, CocoReport, PictureResult, coco_report
from edgeyolo.families import FAMILIES
from edgeyolo.spec import Family
from tests.edgeyolo.data.dataset_files import coco_folder, save_json


def run(*arguments: object) -> Result:
    return CliRunner().invoke(group, [str(word) for word in arguments])


@pytest.mark.slow
def test_official_nano_has_its_accuracy_on_the_198_pictures(shared: Path, tmp_path: Path) -> None:
    assets = shared / "assets"
    annotations = assets / "coco_val2017_subset/instances.json"
    result = run(
        "val",
        assets / "weights/yolox_nano_0.1.1rc0_refolded.pth",
        "--annotations",
        annotations,
        "--images",
        assets / "coco_val2017_subset/images",
        "--max-detections",
        100_000,
        "--results",
        tmp_path / "results.json",
        "--json",
    )
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["model"] == "yolox-nano"
    assert report["pictures"] == 198
    assert set(TWELVE) <= set(report)
    # .2902 counts every detection; .2891 is what val prints by default, with COCO's limit.
    assert report["ap"] == pytest.approx(0.2902, abs=0.0005)
    limit = FAMILIES[Family.YOLOX].evaluation.max_detections
    assert limit == 100
    dataset = read_dataset(annotations)
    capped = _capped(tmp_path / "results.json", dataset, limit)
    assert capped.ap == pytest.approx(0.2891, abs=0.0005)


def _capped(results: Path, dataset: DetectionDataset, most: int) -> CocoReport:
    """The report of a results file with only the best *most* detections of each picture."""
    rows = json.loads(results.read_bytes())
    kept = []
    for picture in dataset.pictures:
        found = [row for row in rows if row["image_id"] == picture.picture_id][:most]
        boxes = np.array([row["bbox"] for row in found], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        classes = [dataset.category_ids.index(row["category_id"]) for row in found]
        scores = np.array([row["score"] for row in found], np.float32)
        kept.append(PictureResult(picture.picture_id, boxes, scores, np.array(classes, np.int64)))
    return coco_report(kept, dataset)


def test_val_takes_yolo_labels_and_writes_results(shared: Path, tmp_path: Path) -> None:
    assets = shared / "assets/coco_val2017_subset"
    document = json.loads((assets / "instances.json").read_bytes())
    ids = sorted(category["id"] for category in document["categories"])
    chosen = document["images"][:4]
    (tmp_path / "labels").mkdir()
    (tmp_path / "images").mkdir()
    for picture in chosen:
        source = assets / "images" / picture["file_name"]
        (tmp_path / "images" / source.name).write_bytes(source.read_bytes())
        lines = []
        for label in document["annotations"]:
            if label["image_id"] == picture["id"]:
                x, y, w, h = label["bbox"]
                width, height = picture["width"], picture["height"]
                numbers = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
                lines.append(" ".join(map(str, (ids.index(label["category_id"]), *numbers))))
        (tmp_path / "labels" / f"{source.stem}.txt").write_text("\n".join(lines))
    result = run(
        "val",
        shared / "assets/weights/yolox_nano_0.1.1rc0_refolded.pth",
        "--annotations",
        tmp_path / "labels",
        "--images",
        tmp_path / "images",
        "--results",
        tmp_path / "results.json",
    )
    assert result.exit_code == 0, result.output
    assert "AP    IoU .50:.95" in result.stdout
    rows = json.loads((tmp_path / "results.json").read_bytes())
    assert {"image_id", "category_id", "bbox", "score"} == set(rows[0])


def test_a_fast_check_promises_nothing_of_what_it_did_not_decode(tmp_path: Path) -> None:
    coco_folder(tmp_path)
    assert "4 usable pictures" in run("data", "check", tmp_path).stdout
    result = run("data", "check", "--fast", tmp_path)
    assert "4 pictures (not decoded)" in result.stdout
    assert "damage inside a picture shows without --fast" in result.stdout
    assert json.loads(run("data", "check", "--fast", tmp_path, "--json").stdout)["decoded"] is False


def test_data_check_reports_and_exits_with_one(tmp_path: Path) -> None:
    document = coco_folder(tmp_path)
    assert run("data", "check", tmp_path).exit_code == 0
    document["annotations"][0]["bbox"][2] = float("nan")
    save_json(tmp_path, document)
    result = run("data", "check", tmp_path)
    assert result.exit_code == 1
    assert "error: box has NaN or infinite numbers (1)" in result.stdout
    assert "000.jpg, annotations[0]: box 4, 5, nan, 15" in result.stdout
    plain = json.loads(run("data", "check", tmp_path, "--json").stdout)
    assert plain["errors"] == 1
    assert plain["problems"][0]["kind"] == "not_finite"


@pytest.mark.parametrize("model", ["yolox-s", "yolov7-tiny"])
def test_data_preview_draws_a_batch(tmp_path: Path, model: str) -> None:
    coco_folder(tmp_path)
    output = tmp_path / "preview.png"
    result = run(
        "data", "preview", tmp_path, model, "--input-size", "64", "--batch", "6", "--output", output
    )
    assert result.exit_code == 0, result.output
    page = cv2.imread(str(output))
    assert page is not None
    assert page.shape == (128, 256, 3)
    assert np.asarray(page).std() > 10


def test_scenes_render_and_sheet_write_what_they_say(tmp_path: Path) -> None:
    folder = tmp_path / "scenes"
    result = run("scenes", "render", "--count", 3, "--size", "96x128", "--output", folder, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["scenes"] == 3
    assert len(list((folder / "images").iterdir())) == 3
    assert run("scenes", "sheet", "--output", tmp_path / "sheet.png").exit_code == 0
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    assert sheet.shape == (1754, 1240, 3)


def quadrant_labels(root: Path, second_line: str) -> list[object]:
    """Arguments of ``val`` for two pictures with a bright quarter each."""
    (root / "labels").mkdir()
    (root / "images").mkdir()
    for stem, line in (("a", "0 .25 .25 .5 .5"), ("b", second_line)):
        frame = np.zeros((64, 64, 3), np.uint8)
        frame[:32, :32, 0] = 255
        assert cv2.imwrite(str(root / "images" / f"{stem}.png"), frame)
        (root / "labels" / f"{stem}.txt").write_text(line)
    return ["--annotations", root / "labels", "--images", root / "images"]


@pytest.mark.parametrize("line", ["99 .5 .5 .1 .1", "1 .5 .5", "1 50 50 10 10"])
def test_val_measures_nothing_on_labels_that_were_left_out(
    quadrant_artifact: Path, tmp_path: Path, line: str
) -> None:
    labels = quadrant_labels(tmp_path, line)
    refused = run("val", quadrant_artifact, *labels, "--json")
    assert isinstance(refused.exception, DatasetError)
    assert "b.txt, line 1" in str(refused.exception)
    assert refused.stdout == ""
    went_on = run("val", quadrant_artifact, *labels, "--json", "--skip-bad-labels")
    assert went_on.exit_code == 0, went_on.output
    assert json.loads(went_on.stdout)["left_out"] == {"pictures": 0, "labels": 1}
    assert "left out: 0 pictures and 1 label" in went_on.stderr


def test_sound_labels_have_their_accuracy(quadrant_artifact: Path, tmp_path: Path) -> None:
    labels = quadrant_labels(tmp_path, "0 .25 .25 .5 .5")
    found = json.loads(run("val", quadrant_artifact, *labels, "--json").stdout)
    assert found["ap"] == pytest.approx(1.0)
    assert found["left_out"] == {"pictures": 0, "labels": 0}


def test_a_benchmark_refuses_bad_labels_before_it_measures(
    quadrant_artifact: Path, tmp_path: Path
) -> None:
    labels = quadrant_labels(tmp_path, "99 .5 .5 .1 .1")
    refused = run("benchmark", quadrant_artifact, *labels)
    assert isinstance(refused.exception, DatasetError)
    assert refused.stderr == ""
    quick = ("--frames", 1, "--rounds", 1, "--seconds", 0.05, "--skip-bad-labels", "--json")
    measured = run("benchmark", quadrant_artifact, *labels, *quick)
    assert measured.exit_code == 0, measured.output
    (figures,) = json.loads(measured.stdout)["artifacts"]
    assert figures["ap_left_out"] == "0 pictures and 1 label"


def test_results_before_a_video_breaks_off_stay(quadrant_artifact: Path, tmp_path: Path) -> None:
    video = tmp_path / "cut.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 64))
    for _ in range(5):
        writer.write(np.full((64, 64, 3), 200, np.uint8))
    writer.release()
    content = video.read_bytes()
    video.write_bytes(content[: [found.start() for found in re.finditer(b"00dc", content)][3]])
    # A process of its own: FFmpeg is silenced only where nothing has used it before.
    command = [sys.executable, "-m", "edgeyolo", "predict", quadrant_artifact, video, "--json"]
    done = subprocess.run(
        [*map(str, command), "--coco", str(tmp_path / "found.json")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    found = json.loads(done.stdout)
    names = [frame["name"] for frame in found["frames"]]
    assert names in (["cut.avi#0", "cut.avi#1"], ["cut.avi#0", "cut.avi#1", "cut.avi#2"])
    assert f"breaks off after {len(names)} of 5 frames" in found["error"]
    assert done.stderr == f"edgeyolo: {found['error']}\n"
    assert json.loads((tmp_path / "found.json").read_bytes())
