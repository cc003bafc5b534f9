"""Whole trainings on pictures drawn by the test: run folder, checkpoints, resume, processes."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgeyolo.checkpoints.load import load_model
from edgeyolo.checkpoints.own import read_training_state
from edgeyolo.errors import DatasetError, OutputError, TrainingError
from edgeyolo.pipeline import ExportRequest, export
from edgeyolo.spec import Backend
from edgeyolo.training.preparation import datasets
from edgeyolo.training.recipe import YoloV7Recipe, YoloxRecipe
from edgeyolo.training.request import TrainingRequest
from edgeyolo.training.session import resume, train
from edgeyolo.training.settings import as_plain, from_plain
from edgeyolo.training.yolov7_loss import Assignment
from tests.edgeyolo.training.small_runs import NAMES, draw_pictures, forked, request_for

ROOT = Path(__file__).resolve().parents[3]
KILLS = int(os.environ.get("EDGEYOLO_TEST_KILLS", "20"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("boxes") / "drawn")


def test_a_run_leaves_everything_that_its_reader_needs(pictures: Path, tmp_path: Path) -> None:
    result = train(request_for(pictures, tmp_path / "run", tensorboard=True))
    folder = tmp_path / "run"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        ".lock",
        "config.json",
        "environment.json",
        "log.csv",
        "curves.png",
        "last.pt",
        "best.pt",
        "tensorboard",
    }
    config = json.loads((folder / "config.json").read_text())
    assert config["request"]["epochs"] == 2
    assert config["recipe"]["multiscale"] is False
    assert config["recipe"]["augmentation"]["mosaic"] == 0.5
    with (folder / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert all(float(row["loss/total"]) > 0 for row in rows)
    assert json.loads((folder / "environment.json").read_text())["packages"]["torch"]
    assert cv2.imread(str(folder / "curves.png")) is not None
    assert list((folder / "tensorboard").iterdir())
    for name in ("best.pt", "last.pt"):
        saved = from_plain(read_training_state(folder / name)["recipe"], YoloxRecipe)
        assert saved == from_plain(config["recipe"], YoloxRecipe)
    loaded = load_model(result.checkpoint)
    assert loaded.spec.class_names == NAMES
    assert loaded.spec.input_hw == (64, 64)
    assert loaded.checkpoint.architecture.width == 0.125


def test_a_run_folder_is_never_overwritten(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(OutputError, match="--resume"):
        train(request_for(pictures, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_labels_to_evaluate_on_must_all_be_usable(pictures: Path, tmp_path: Path) -> None:
    document = json.loads((pictures / "instances.json").read_bytes())
    document["annotations"][3]["bbox"][2] = float("nan")
    labels = tmp_path / "val.json"
    labels.write_text(json.dumps(document))
    (tmp_path / "images").symlink_to(pictures / "images")
    request = request_for(pictures, tmp_path / "run", val=str(labels))
    with pytest.raises(
        DatasetError, match=r"annotations\[3\].*errors in all: 1.*--skip-bad-labels"
    ):
        train(request)
    assert not (tmp_path / "run").exists()
    said: list[str] = []
    datasets(replace(request, skip_bad_labels=True), said.append)
    assert f"{labels}: left out of the evaluation: 0 pictures and 1 label" in said


def test_weights_of_another_family_are_refused_and_leave_no_folder(
    pictures: Path, tmp_path: Path
) -> None:
    train(request_for(pictures, tmp_path / "first", epochs=1, val=None))
    weights = str(tmp_path / "first" / "last.pt")
    with pytest.raises(TrainingError, match="yolox-custom; yolov7-tiny cannot start from it"):
        train(request_for(pictures, tmp_path / "run", model="yolov7-tiny", weights=weights))
    assert not (tmp_path / "run").exists()


def test_resuming_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="is not the folder of a run"):
        resume(tmp_path)


def test_a_finished_run_is_resumed_without_training(pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(request_for(pictures, folder, epochs=1))
    before = (folder / "last.pt").read_bytes()
    assert resume(folder).position.epoch == 1
    assert (folder / "last.pt").read_bytes() == before


def test_a_training_that_diverges_keeps_its_last_good_checkpoint(
    pictures: Path, tmp_path: Path
) -> None:
    """Epochs of two batches: fewer than the ten in a row that may be bad."""
    settings = ("multiscale=false", "lr_per_picture=1e12", "warmup_epochs=0")
    folder = tmp_path / "run"
    with pytest.raises(TrainingError, match=r"no batch of epoch 1 .*lr_per_picture") as failure:
        train(request_for(pictures, folder, val=None, batch=8, epochs=3, settings=settings))
    assert "\n" not in str(failure.value)
    good = (folder / "last.pt").read_bytes()
    state = torch.load(folder / "last.pt", weights_only=True)
    values = [*state["model"].values(), *state["training"]["model"].values()]
    assert all(value.isfinite().all() for value in values)
    with pytest.raises(TrainingError, match=r"no batch of epoch 1 "):
        resume(folder)
    assert (folder / "last.pt").read_bytes() == good


def yolo_folder(pictures: Path, folder: Path) -> Path:
    """The same pictures with YOLO labels, 12 to train on and 4 to evaluate on."""
    content = json.loads((pictures / "instances.json").read_text())
    for image in content["images"]:
        part = "train" if image["id"] <= 12 else "val"
        for kind in ("images", "labels"):
            (folder / kind / part).mkdir(parents=True, exist_ok=True)
        shutil.copy(pictures / "images" / image["file_name"], folder / "images" / part)
        lines = []
        for entry in content["annotations"]:
            if entry["image_id"] == image["id"]:
                x, y, w, h = (side / 96 for side in entry["bbox"])
                lines.append(f"{entry['category_id'] - 1} {x + w / 2} {y + h / 2} {w} {h}\n")
        label = folder / "labels" / part / image["file_name"].replace(".png", ".txt")
        label.write_text("".join(lines))
    return folder


def counts(request: TrainingRequest) -> tuple[int, int | None]:
    """How many pictures are trained and evaluated on."""
    training, validation = datasets(request, lambda text: None)
    return len(training), None if validation is None else len(validation)


def test_bare_yolo_labels_are_trained_with_images_and_names(pictures: Path, tmp_path: Path) -> None:
    folder = yolo_folder(pictures, tmp_path / "boxes")
    request = request_for(
        pictures,
        tmp_path / "run",
        data=str(folder / "labels" / "train"),
        images=str(folder / "images" / "train"),
        names=NAMES,
        val=str(folder / "labels" / "val"),
        val_images=str(folder / "images" / "val"),
        epochs=1,
    )
    assert counts(request) == (12, 4)
    assert load_model(train(request).checkpoint).spec.class_names == NAMES
    with pytest.raises(TrainingError, match="--val-images needs --val"):
        datasets(replace(request, val=None), lambda text: None)


def test_a_yaml_without_val_trains_without_validation(pictures: Path, tmp_path: Path) -> None:
    folder = yolo_folder(pictures, tmp_path / "boxes")
    yaml = folder / "boxes.yaml"
    yaml.write_text("train: images/train\nnames: [red, green]\n")
    request = request_for(pictures, tmp_path / "run", data=str(yaml), val=None)
    assert counts(request) == (12, None)
    yaml.write_text(yaml.read_text() + "val: images/val\ntest: images/val\n")
    assert counts(request) == (12, 4)
    assert counts(replace(request, split="val", val_split="train")) == (4, 12)
    with pytest.raises(TrainingError, match=r"boxes\.yaml has no split 'dev'; give --val"):
        counts(replace(request, val_split="dev"))


def test_a_yaml_of_coco_files_is_trained_with_pictures_elsewhere(
    pictures: Path, tmp_path: Path
) -> None:
    shutil.copy(pictures / "instances.json", tmp_path / "all.json")
    yaml = tmp_path / "boxes.yaml"
    yaml.write_text("train: all.json\nval: all.json\nnames: [red, green]\n")
    images = str(pictures / "images")
    own = request_for(pictures, tmp_path / "run", data=str(yaml), val=None, images=images)
    assert counts(own) == (16, 16)
    assert counts(replace(own, val=str(yaml), val_images=images)) == (16, 16)
    with pytest.raises(DatasetError, match="no usable picture"):
        counts(replace(own, val=str(yaml)))


def test_a_voc_folder_is_evaluated_on_its_own_split(pictures: Path, tmp_path: Path) -> None:
    """Also where only some of the classes occur in it."""
    content = json.loads((pictures / "instances.json").read_text())
    folder = tmp_path / "voc"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    splits: dict[str, list[str]] = {"train": [], "val": []}
    for image in content["images"][:5]:
        shutil.copy(pictures / "images" / image["file_name"], folder / "JPEGImages")
        objects = ""
        for entry in content["annotations"]:
            if entry["image_id"] == image["id"]:
                x, y, w, h = entry["bbox"]
                kind = NAMES[entry["category_id"] - 1] if image["id"] < 5 else "red"
                objects += (
                    f"<object><name>{kind}</name><bndbox><xmin>{x + 1}</xmin><ymin>{y + 1}</ymin>"
                    f"<xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>"
                )
        stem = image["file_name"].removesuffix(".png")
        splits["train" if image["id"] < 5 else "val"].append(stem)
        (folder / "Annotations" / f"{stem}.xml").write_text(
            f"<annotation><filename>{image['file_name']}</filename>{objects}</annotation>"
        )
    for split, stems in splits.items():
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(stems))
    request = request_for(pictures, tmp_path / "run", data=str(folder), val=None)
    assert counts(request) == (4, 1)
    training, validation = datasets(request, lambda text: None)
    assert validation is not None
    assert validation.class_names == training.class_names == ("green", "red")


def test_without_an_object_to_find_the_last_weights_are_the_result(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((pictures / "instances.json").read_text())
    empty = pictures / "empty.json"
    empty.write_text(json.dumps({**content, "annotations": []}))
    result = train(request_for(pictures, tmp_path / "run", val=str(empty)))
    assert "empty.json has no object: the last weights" in capsys.readouterr().err
    assert result.checkpoint.name == "last.pt"
    assert not (tmp_path / "run" / "best.pt").exists()


@pytest.mark.parametrize(
    ("model", "width"), [("yolox-nano", 0.125), ("yolov7-tiny", 0.25)], ids=["yolox", "yolov7"]
)
def test_training_pictures_without_any_object_are_refused_and_leave_no_folder(
    pictures: Path, tmp_path: Path, model: str, width: float
) -> None:
    folder = yolo_folder(pictures, tmp_path / "boxes")
    (folder / "images" / "train").rename(folder / "pics")
    yaml = folder / "boxes.yaml"
    yaml.write_text("train: pics\nnames: [red, green]\n")
    request = request_for(
        pictures, tmp_path / "run", model=model, width=width, data=str(yaml), val=None
    )
    with pytest.raises(DatasetError, match="has no object to learn") as refused:
        train(request)
    assert "\n" not in str(refused.value)
    assert "12 of 12 pictures have no label file" in str(refused.value)
    assert f"00.png: expected {folder / 'pics' / '00.txt'}" in str(refused.value)
    for name in range(12):
        (folder / "pics" / f"{name:02}.txt").touch()
    with pytest.raises(DatasetError, match="the labels of its 12 pictures are empty"):
        train(request)
    content = json.loads((pictures / "instances.json").read_text())
    for label in content["annotations"]:
        label["iscrowd"] = 1
    crowd = pictures / "crowd.json"
    crowd.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match="32 labels are of crowds or difficult objects"):
        train(replace(request, data=str(crowd)))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("model", "side", "settings"),
    [
        ("yolox-nano", 32, ("multiscale=false",)),
        ("yolox-nano", 64, ("multiscale_units=1,3",)),
        ("yolov7-tiny", 64, ("multiscale=true",)),
        ("yolov7-w6", 64, ()),
    ],
)
def test_a_batch_too_small_for_statistics_is_refused_before_data_is_read(
    tmp_path: Path, model: str, side: int, settings: tuple[str, ...]
) -> None:
    request = request_for(
        tmp_path / "nowhere",
        tmp_path / "run",
        model=model,
        batch=1,
        input_hw=(side, side),
        settings=settings,
    )
    with pytest.raises(TrainingError, match="use a larger --batch or --input-size"):
        train(request)
    with pytest.raises(DatasetError, match="does not exist"):
        train(replace(request, batch=2))


def test_fine_tuning_keeps_what_is_known_of_common_classes(pictures: Path, tmp_path: Path) -> None:
    train(request_for(pictures, tmp_path / "first", epochs=1))
    renamed = json.loads((pictures / "instances.json").read_text())
    renamed["categories"] = [
        {"id": 1, "name": "blue"},
        {"id": 2, "name": "green"},
        {"id": 3, "name": "red"},
    ]
    other = pictures / "renamed.json"
    other.write_text(json.dumps(renamed))
    request = request_for(
        pictures,
        tmp_path / "second",
        data=str(other),
        val=None,
        epochs=1,
        weights=str(tmp_path / "first" / "best.pt"),
        settings=("multiscale=false", "lr_per_picture=0"),
    )
    train(request)
    first = load_model(tmp_path / "first" / "best.pt").model.state_dict()
    second = load_model(tmp_path / "second" / "last.pt").model.state_dict()
    key = "head.cls_preds.0.weight"
    torch.testing.assert_close(second[key][1], first[key][1])
    torch.testing.assert_close(second[key][2], first[key][0])
    stem = "backbone.backbone.stem.conv.conv.weight"
    torch.testing.assert_close(second[stem], first[stem])


@pytest.mark.parametrize("model", ["yolox-nano", "yolov7-tiny", "yolov7-w6"])
def test_what_was_trained_exports_with_parity(pictures: Path, tmp_path: Path, model: str) -> None:
    """W6 trains with auxiliary heads, which re-parameterisation leaves behind."""
    request = request_for(
        pictures,
        tmp_path / "run",
        model=model,
        epochs=1,
        batch=8,
        settings=("multiscale=false",),
    )
    result = train(request)
    row = result.position.history[-1]
    assert all(np.isfinite(value) for value in row.values())
    if model == "yolov7-w6":
        plan = request.plan()
        assert isinstance(plan.recipe, YoloV7Recipe)
        assert plan.recipe.assignment is Assignment.AUXILIARY_OTA
    exported = export(
        ExportRequest(
            checkpoint=result.checkpoint,
            backend=Backend.ONNX,
            output=tmp_path / "artifact",
            images=pictures / "images",
        )
    )
    assert exported.parity.passed
    assert exported.artifact.contract.model.class_names == NAMES


def run_under_torchrun(request: TrainingRequest, processes: int) -> subprocess.Popen[str]:
    """The training in several processes of one thread each."""
    program = (
        "import json, sys, torch\n"
        "from edgeyolo.training.request import TrainingRequest\n"
        "from edgeyolo.training.session import train\n"
        "from edgeyolo.training.settings import from_plain\n"
        "torch.set_num_threads(1)\n"
        "train(from_plain(json.loads(sys.argv[1]), TrainingRequest))\n"
    )
    file = Path(request.output).parent / "program.py"
    file.write_text(program)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.Popen(
        [*torchrun, f"--nproc_per_node={processes}", str(file), json.dumps(as_plain(request))],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-2000:]


SMALL_STEPS = {
    # To begin with, and then while both are compared.
    "yolox-nano": (("lr_per_picture=0.001",), ("lr_per_picture=1e-4",)),
    "yolov7-tiny": (("lr=0.01",), ("lr=0.001",)),
}


@pytest.mark.slow
@pytest.mark.parametrize("model", SMALL_STEPS)
def test_two_processes_train_what_one_does(pictures: Path, tmp_path: Path, model: str) -> None:
    """Common batch statistics, common denominators: 20 steps, losses within 1e-4.

    They start from weights that know something: the predictions of an untrained network are
    so alike that rounding decides which of them is matched with an object.
    """
    torch.set_num_threads(1)
    settings = ["multiscale=false", "evaluation_interval=0", "augmentation.mosaic=0"]
    if model == "yolov7-tiny":
        settings += ["nominal_batch=0", "warmup_min_iterations=0"]
    before, after = SMALL_STEPS[model]
    start = {"model": model, "epochs": 20, "val": None, "settings": (*settings, *before)}
    train(request_for(pictures, tmp_path / "start", **start))
    both = {
        "model": model,
        "epochs": 20,
        "batch": 16,
        "weights": str(tmp_path / "start" / "last.pt"),
        "settings": (*settings, *after),
    }
    request = request_for(pictures, tmp_path / "one", **both)
    recipe = request.recipe()
    assert recipe.sync_batch_norm
    assert not isinstance(recipe, YoloV7Recipe) or recipe.assignment is Assignment.OTA
    train(request)
    finished(run_under_torchrun(replace(request, output=str(tmp_path / "two")), processes=2))
    logs: list[list[float]] = []
    accuracies: list[float] = []
    for name in ("one", "two"):
        with (tmp_path / name / "log.csv").open() as file:
            rows = list(csv.DictReader(file))
        logs.append([float(row["loss/total"]) for row in rows])
        accuracies.append(float(rows[-1]["ap"]))
    assert len(logs[0]) == 20
    # Before the last quarter, which has YOLOX's L1 loss, too.
    assert np.mean(logs[0][10:15]) < np.mean(logs[0][:5])
    assert logs[1] == pytest.approx(logs[0], rel=1e-4)
    # The pictures are shared out for evaluation; single detections may change places.
    assert accuracies[1] == pytest.approx(accuracies[0], abs=0.01)


@pytest.mark.slow
def test_kill_9_at_any_moment_changes_nothing(pictures: Path, tmp_path: Path) -> None:
    """Killed again and again, the run ends with the weights of an undisturbed one."""
    torch.set_num_threads(1)
    both = {"epochs": 2 + KILLS // 2, "val": None, "checkpoint_interval": 1}
    started = time.monotonic()
    calm = forked(lambda: train(request_for(pictures, tmp_path / "calm", **both)))
    assert os.waitpid(calm, 0)[1] == 0
    duration_s = time.monotonic() - started
    moments = random.Random(11)
    folder = tmp_path / "stormy"
    pid = forked(lambda: train(request_for(pictures, folder, **both)))
    for _ in range(KILLS):
        # Anywhere in the run, so that some kills hit the writing of a checkpoint.
        time.sleep(moments.uniform(0.0, 2 * duration_s / (1 + KILLS)))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        if (folder / "last.pt").exists():
            load_model(folder / "last.pt")
        if (folder / "config.json").exists():
            pid = forked(lambda: resume(folder))
        else:
            shutil.rmtree(folder, ignore_errors=True)
            pid = forked(lambda: train(request_for(pictures, folder, **both)))
    assert os.waitpid(pid, 0)[1] == 0
    states = [
        torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("calm", "stormy")
    ]
    for parts in (
        [state["model"] for state in states],
        [state["training"]["model"] for state in states],
    ):
        assert parts[0].keys() == parts[1].keys()
        assert all(torch.equal(parts[0][name], parts[1][name]) for name in parts[0])
