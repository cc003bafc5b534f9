"""Continuing a run: what is checked, what may change, and starts that leave nothing behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from click.testing import CliRunner, Result

from edgeyolo.checkpoints.own import read_training_state, save_checkpoint
from edgeyolo.cli.main import group
from edgeyolo.data.sample_source import CacheMode
from edgeyolo.errors import (
    CheckpointError,
    DatasetError,
    EdgeYoloError,
    OutputError,
    TrainingError,
)
from edgeyolo.evaluation.coco import Frame
from edgeyolo.models.zoo import build_architecture
from edgeyolo.predictor import Predictor
from edgeyolo.training import session
from edgeyolo.training.accuracy import evaluator
from edgeyolo.training.batch_statistics import norms_are_neutral
from edgeyolo.training.continuation import Changes
from edgeyolo.training.distributed import Ranks
from edgeyolo.training.plan import MixedPrecision
from edgeyolo.training.preparation import datasets, spec_of
from edgeyolo.training.request import TrainingRequest
from edgeyolo.training.run_folder import RunFolder
from edgeyolo.training.session import resume, train
from tests.edgeyolo.training.small_runs import draw_pictures, request_for


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def half_done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data`` and a ``run`` on it that was interrupted in its second epoch."""
    root = tmp_path_factory.mktemp("half")
    draw_pictures(root / "data")
    interrupted(request_for(root / "data", root / "run", val=None, epochs=3))
    return root


def interrupted(request: TrainingRequest) -> None:
    """Train until ``last.pt`` is there, as Ctrl-C would end it."""

    class Interrupting(RunFolder):
        def epoch(self, *args: Any, **options: Any) -> None:
            super().epoch(*args, **options)
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "RunFolder", Interrupting)
        with pytest.raises(KeyboardInterrupt):
            train(request)


@pytest.fixture
def run(half_done: Path, tmp_path: Path) -> Path:
    """A copy of the half-done run, which reads a copy of its data."""
    shutil.copytree(half_done, tmp_path / "copy")
    folder = tmp_path / "copy" / "run"
    config = json.loads((folder / "config.json").read_text())
    config["request"]["data"] = str(tmp_path / "copy" / "data")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def labels(run: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((run.parent / "data/instances.json").read_text())
    return document


def save_labels(run: Path, document: dict[str, Any]) -> None:
    (run.parent / "data/instances.json").write_text(json.dumps(document))


def swap_classes(run: Path) -> None:
    document = labels(run)
    first, second = document["categories"]
    first["id"], second["id"] = second["id"], first["id"]
    save_labels(run, document)


def add_class(run: Path) -> None:
    document = labels(run)
    document["categories"].append({"id": 3, "name": "blue"})
    save_labels(run, document)


def fewer_pictures(run: Path) -> None:
    document = labels(run)
    document["images"] = document["images"][:8]
    kept = {image["id"] for image in document["images"]}
    document["annotations"] = [a for a in document["annotations"] if a["image_id"] in kept]
    save_labels(run, document)


def move_a_box(run: Path) -> None:
    document = labels(run)
    document["annotations"][5]["bbox"][0] += 1
    save_labels(run, document)


def other_picture(run: Path) -> None:
    file = run.parent / "data/images/03.png"
    frame = cv2.imread(str(file))
    assert frame is not None
    cv2.imwrite(str(file), cv2.GaussianBlur(frame, (5, 5), 0))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (swap_classes, "its classes were 2 (red, green) and are 2 (green, red)"),
        (add_class, "its classes were 2 (red, green) and are 3 (red, green, blue)"),
        (fewer_pictures, "it had 16 pictures and has 8"),
        (move_a_box, "its labels have changed"),
        (other_picture, "names, sizes or order of its picture files have changed"),
    ],
)
def test_a_run_is_not_continued_on_other_data(run: Path, change: Any, said: str) -> None:
    change(run)
    before = (run / "last.pt").read_bytes()
    with pytest.raises(TrainingError) as caught:
        resume(run)
    text = str(caught.value)
    assert said in text
    assert "--weights" in text
    assert "\n" not in text
    assert (run / "last.pt").read_bytes() == before


def test_a_checkpoint_without_a_record_of_its_data_says_what_is_not_checked(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = torch.load(run / "last.pt", weights_only=True)
    del content["training"]["data"]
    torch.save(content, run / "last.pt")
    assert resume(run).position.epoch == 3
    assert "was not checked" in capsys.readouterr().err


def invoked(*arguments: object) -> Result:
    return CliRunner().invoke(group, ["train", *(str(word) for word in arguments)])


def test_what_the_report_of_a_divergence_advises_works(run: Path) -> None:
    result = invoked(
        "--resume", run, "--set", "lr_per_picture=1e-5", "--set", "clip_norm=10",
        "--precision", "bf16", "--workers", 1,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    config = json.loads((run / "config.json").read_text())
    assert config["recipe"]["lr_per_picture"] == 1e-5
    assert config["recipe"]["clip_norm"] == 10
    assert config["request"]["precision"] == "bf16"
    (change,) = config["changes"]
    assert change["epoch"] == 1
    assert change["changed"]["precision"] == ["fp32", "bf16"]
    assert change["changed"]["workers"] == [0, 1]
    state = read_training_state(run / "last.pt")
    assert state["position"]["epoch"] == 3
    assert state["recipe"]["lr_per_picture"] == 1e-5
    before, *after = (row["lr"] for row in state["position"]["history"])
    assert before > 1e-4 > max(after)


def test_changes_stay_when_a_run_is_continued_again(run: Path) -> None:
    interrupted_changes = Changes(settings=("clip_norm=5",), precision=MixedPrecision.FP16)
    resume(run, interrupted_changes)
    once = (run / "config.json").read_text()
    resume(run)
    assert (run / "config.json").read_text() == once
    assert read_training_state(run / "last.pt")["recipe"]["clip_norm"] == 5


def test_a_run_that_stopped_early_goes_on_with_more_patience(tmp_path: Path) -> None:
    settings = ("multiscale=false", "evaluation_interval=1", "patience=1", "lr_per_picture=1e-12")
    run = tmp_path / "run"
    train(request_for(draw_pictures(tmp_path / "data"), run, epochs=4, settings=settings))
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    result = invoked("--resume", run, "--set", "clip_norm=5")
    assert result.exit_code == 0
    assert "nothing is left to train: patience ran out after 2 of 4 epochs" in result.output
    assert {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()} == before
    result = invoked("--resume", run, "--set", "patience=0")
    assert result.exit_code == 0, result.output
    assert read_training_state(run / "last.pt")["position"]["epoch"] == 4
    result = invoked("--resume", run, "--set", "patience=0")
    assert "nothing is left to train: all 4 epochs are done" in result.output
    (change,) = json.loads((run / "config.json").read_text())["changes"]
    assert change["changed"]["settings"][1][-1] == "patience=0"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--epochs", "9"], "keeps --epochs"),
        (["--set", "ema_decay=0.5"], "keeps 'ema_decay'"),
        (["--seed", "1"], "keeps --seed"),
    ],
)
def test_what_a_run_keeps_is_not_passed_over(run: Path, words: list[str], said: str) -> None:
    result = invoked("--resume", run, *words)
    assert result.exit_code == 2
    assert said in result.output
    assert "what may change" in result.output


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"freeze": ("foo",)}, TrainingError),
        ({"seed": -1}, ValueError),
        ({"device": "banana"}, TrainingError),
        ({"batch": 64, "settings": ("ema_decay=2",)}, ValueError),
        ({"cache": CacheMode.DISK, "weights": "nowhere.pt"}, CheckpointError),
    ],
)
def test_a_start_that_fails_leaves_no_folder(
    half_done: Path, tmp_path: Path, changes: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        train(request_for(half_done / "data", tmp_path / "new", **changes))
    assert not (tmp_path / "new").exists()


def test_weights_that_read_pictures_before_they_are_refused_leave_no_cache(
    half_done: Path, tmp_path: Path
) -> None:
    """Batch norms without statistics are measured first; then the weights are too few."""
    model = build_architecture(request_for(half_done, tmp_path).architecture(2))
    assert norms_are_neutral(model)
    weights = tmp_path / "other.pt"
    spec = spec_of(model, ("red", "green"), (64, 64))
    save_checkpoint(
        weights, model.state_dict(), spec, architecture=model.architecture, training_state={}
    )
    request = request_for(
        half_done / "data", tmp_path / "new", weights=str(weights), cache=CacheMode.DISK, epochs=1
    )
    with pytest.raises(TrainingError, match="fit"):
        train(replace(request, width=0.25))
    assert not (tmp_path / "new").exists()
    train(request)
    assert len(list((tmp_path / "new" / "cache").glob("*.npy"))) == 16


def test_a_run_without_any_checkpoint_may_be_started_again(half_done: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    (folder / "cache").mkdir(parents=True)
    (folder / "tensorboard").mkdir()
    (folder / "config.json").write_text("{}")
    (folder / ".last.pt.x7_k2.part").write_bytes(b"half")
    train(request_for(half_done / "data", folder, epochs=1, val=None))
    assert (folder / "last.pt").exists()
    assert not list(folder.glob(".*.part"))
    with pytest.raises(OutputError, match="--resume"):
        train(request_for(half_done / "data", folder, epochs=1, val=None))


def test_an_evaluation_that_fails_costs_no_epoch(
    half_done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint is written first; the run goes on with the evaluation."""
    folder, data = tmp_path / "run", half_done / "data"
    asked = request_for(data, folder, epochs=1)
    calm = train(request_for(data, tmp_path / "calm", epochs=1)).position.history

    def fail(self: Predictor, frame: Frame) -> None:
        raise EdgeYoloError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "evaluate", fail)
        with pytest.raises(EdgeYoloError, match="power cut"):
            train(asked)
    assert read_training_state(folder / "last.pt")["position"]["batch"] == 4
    (row,) = resume(folder).position.history
    assert row == {name: calm[0][name] for name in row}
    assert "ap" in row


def test_a_picture_that_goes_bad_during_the_run_is_left_out_and_named(tmp_path: Path) -> None:
    data = draw_pictures(tmp_path / "data")
    asked = request_for(data, tmp_path / "run")
    said: list[str] = []
    _, validation = datasets(asked, said.append)
    assert validation is not None
    model = build_architecture(asked.architecture(2))
    spec = spec_of(model, validation.class_names, (64, 64))
    evaluate = evaluator(validation, spec, torch.device("cpu"), Ranks(), said.append)
    (data / "images/05.png").write_bytes(b"x")
    assert evaluate(model.eval()).ap >= 0
    assert [text for text in said if "05.png" in text and "not evaluated" in text]


def test_a_bad_picture_to_evaluate_on_is_refused_before_the_first_epoch(tmp_path: Path) -> None:
    data = draw_pictures(tmp_path / "data")
    pixels = bytearray((data / "images/05.png").read_bytes())
    start = pixels.find(b"IDAT") + 10
    pixels[start : start + 200] = bytes(200)
    (data / "images/05.png").write_bytes(bytes(pixels))
    with pytest.raises(DatasetError, match=r"05\.png"):
        train(request_for(data, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    result = train(request_for(data, tmp_path / "run", epochs=1, skip_bad_labels=True))
    assert "ap" in result.position.history[0]
