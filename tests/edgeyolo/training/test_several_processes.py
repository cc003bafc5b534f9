"""Two processes as torchrun starts them: killed, resumed, and failing together."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from edgeyolo.checkpoints.own import read_training_state
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
    assert forked_ranks([lambda: resume(folder)] * 2) == [0, 0]
    states = [
        torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("calm", "stormy")
    ]
    for parts in (
        [state["model"] for state in states],
        [state["training"]["model"] for state in states],
    ):
        assert parts[0].keys() == parts[1].keys()
        assert all(torch.equal(parts[0][name], parts[1][name]) for name in parts[0])
