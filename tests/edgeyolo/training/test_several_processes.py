"""Two processes as torchrun starts them: killed, resumed, and failing together."""

from __future__ import annotations

import json
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from edgeyolo.checkpoints.own import read_training_state
from edgeyolo.data.labels import read_dataset
from edgeyolo.errors import EdgeYoloError
from edgeyolo.models.detector import Detector
from edgeyolo.models.zoo import build_architecture
from edgeyolo.training.distributed import joined_ranks
from edgeyolo.training.loop import Accuracy, Trainer
from edgeyolo.training.preparation import batches_for
from edgeyolo.training.session import resume, train
from tests.edgeyolo.training.small_runs import draw_pictures, forked_ranks, request_for


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("boxes") / "drawn")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def dying_with(file: Path, work: Callable[[], object]) -> Callable[[], object]:
    """*work* in a process that is killed as soon as *file* is there."""

    def watched() -> object:
        def watch() -> None:
            while not file.exists():
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGKILL)

        threading.Thread(target=watch, daemon=True).start()
        return work()

    return watched


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        # Steps after batches 0, 8, 16: every checkpoint holds gradients that wait.
        (
            "yolov7-tiny",
            (
                "nominal_batch=32",
                "warmup_min_iterations=0",
                "warmup_epochs=0",
                "auto_anchor=false",
                "lr=0.001",
            ),
        ),
        ("yolox-nano", ("multiscale=false", "sync_batch_norm=false", "evaluation_interval=1")),
    ],
    ids=["accumulation", "separate batch norms"],
)
def test_two_processes_killed_and_resumed_end_with_the_same_weights(
    pictures: Path, tmp_path: Path, model: str, settings: tuple[str, ...]
) -> None:
    calm, stormy = (
        request_for(pictures, tmp_path / name, model=model, settings=settings, epochs=3, val=None)
        for name in ("calm", "stormy")
    )
    assert forked_ranks([lambda: train(calm)] * 2) == [0, 0]
    folder = tmp_path / "stormy"
    killed = dying_with(folder / "log.csv", lambda: train(stormy))
    assert -signal.SIGKILL in forked_ranks([killed] * 2)
    before = read_training_state(folder / "last.pt")
    assert 1 <= before["position"]["epoch"] < 3
    assert bool(before["gradients"]) == (model == "yolov7-tiny")
    # Another machine need not see the run folder.
    elsewhere = tmp_path / "on the first machine only"
    assert forked_ranks([lambda: resume(folder), lambda: resume(elsewhere)]) == [0, 0]
    assert not elsewhere.exists()
    states = [
        torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("calm", "stormy")
    ]
    for parts in (
        [state["model"] for state in states],
        [state["training"]["model"] for state in states],
    ):
        assert parts[0].keys() == parts[1].keys()
        assert all(torch.equal(parts[0][name], parts[1][name]) for name in parts[0])


def noting(file: Path, work: Callable[[], object]) -> Callable[[], object]:
    """*work*, whose error is written to *file*: class, text, and whether another shows it."""

    def noted() -> None:
        try:
            work()
        except EdgeYoloError as error:
            file.write_text(json.dumps([type(error).__name__, str(error), error.told]))

    return noted


def test_a_folder_that_exists_is_one_error_of_all_processes(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious.txt").write_text("mine")
    asked = request_for(pictures, tmp_path / "run")
    notes = [tmp_path / f"{rank}.json" for rank in range(2)]
    assert forked_ranks([noting(note, lambda: train(asked)) for note in notes]) == [0, 0]
    first, second = (json.loads(note.read_text()) for note in notes)
    assert first[0] == "OutputError"
    assert "--resume" in first[1]
    assert first[:2] == second[:2]
    assert (first[2], second[2]) == (False, True)


def test_a_disk_that_fills_up_ends_all_processes_alike(pictures: Path, tmp_path: Path) -> None:
    """The first process alone writes; the limit on the size of a file stands for the disk."""
    asked = request_for(pictures, tmp_path / "run", val=None)

    def cramped() -> None:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        train(asked)

    notes = [tmp_path / f"{rank}.json" for rank in range(2)]
    assert forked_ranks([noting(note, cramped) for note in notes]) == [0, 0]
    first, second = (json.loads(note.read_text()) for note in notes)
    assert first[0] == "OutputError"
    assert "last.pt" in first[1]
    assert first[:2] == second[:2]
    assert (first[2], second[2]) == (False, True)


def test_processes_that_read_other_data_do_not_start(pictures: Path, tmp_path: Path) -> None:
    document = json.loads((pictures / "instances.json").read_text())
    document["annotations"][0]["bbox"][0] += 1
    other = pictures / "moved.json"
    other.write_text(json.dumps(document))
    works = [
        request_for(pictures, tmp_path / "run", data=str(data), val=None)
        for data in (pictures, other)
    ]
    notes = [tmp_path / f"{rank}.json" for rank in range(2)]
    assert forked_ranks(
        [
            noting(notes[0], lambda: train(works[0])),
            noting(notes[1], lambda: train(works[1])),
        ]
    ) == [0, 0]
    assert "its labels have changed" in json.loads(notes[1].read_text())[1]
    assert not (tmp_path / "run").exists()


def test_separate_batch_statistics_are_averaged_before_an_evaluation(
    pictures: Path, tmp_path: Path
) -> None:
    """And all processes start from the weights of the first, their averages included."""
    settings = ("multiscale=false", "sync_batch_norm=false", "ema_decay=0.5")
    asked = request_for(pictures, tmp_path / "run", settings=settings, epochs=1)

    def work(rank: int) -> None:
        torch.manual_seed(rank)
        model = build_architecture(asked.architecture(2))

        def evaluate(averaged: Detector) -> Accuracy:
            torch.save(averaged.state_dict(), tmp_path / f"{rank}.pt")
            return Accuracy(0.0, 0.0)

        with joined_ranks() as ranks:
            dataset, plan, device = read_dataset(pictures), asked.plan(), torch.device("cpu")
            source = batches_for(asked, plan, dataset, ranks, device)
            Trainer(model, plan, source, device=device, ranks=ranks, evaluate=evaluate).fit()

    assert forked_ranks([lambda: work(0), lambda: work(1)]) == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    differing = [name for name in first if not torch.equal(first[name], second[name])]
    assert not differing
