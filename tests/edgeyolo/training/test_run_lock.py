"""Two trainings never write one folder; a killed one does not stand in the way."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgeyolo.errors import OutputError
from edgeyolo.training.run_lock import LOCK, RunLock
from edgeyolo.training.session import resume, train
from tests.edgeyolo.training.small_runs import draw_pictures, forked, request_for


def test_a_second_training_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    pictures, folder = draw_pictures(tmp_path / "pictures"), tmp_path / "run"
    last = folder / "last.pt"
    # A worker process that outlives the killed training for a while must not hold the lock.
    request = request_for(pictures, folder, epochs=10_000, val=None, workers=1)
    with running(lambda: train(request)) as pid:
        wait_until(last.exists)
        with pytest.raises(OutputError, match=rf"another training writes .*process {pid} on "):
            resume(folder)
    killed_ns = last.stat().st_mtime_ns
    with running(lambda: resume(folder)):
        wait_until(lambda: last.stat().st_mtime_ns > killed_ns)


def test_a_new_training_is_refused_while_another_starts(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()

    def start_slowly() -> None:
        with RunLock(folder) as lock:
            lock.take()
            (tmp_path / "taken").touch()
            time.sleep(60)

    request = request_for(draw_pictures(tmp_path / "pictures"), folder, epochs=1, val=None)
    with running(start_slowly) as pid:
        wait_until((tmp_path / "taken").exists)
        with pytest.raises(OutputError, match=rf"process {pid} on .*; wait for its end, or choose"):
            train(request)
        assert [path.name for path in folder.iterdir()] == [LOCK]
    assert train(request).position.epoch == 1


@contextmanager
def running(work: Callable[[], object]) -> Iterator[int]:
    """A process that does *work* and is killed at the end of the block."""
    pid = forked(work)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_lock_is_taken_once_and_ends_with_its_block(tmp_path: Path) -> None:
    with RunLock(tmp_path) as lock:
        assert lock.take()
        assert not lock.take()
        assert status_of(lambda: RunLock(tmp_path).take()) == 1
    assert status_of(lambda: RunLock(tmp_path).take()) == 0


def status_of(work: Callable[[], object]) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(forked(work), 0)[1])


def test_a_file_system_without_locks_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with RunLock(tmp_path) as lock:
        assert lock.take()
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be locked (No locks available)" in line


def test_a_lock_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / LOCK).mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*\.lock: Is a directory"):
        RunLock(tmp_path).take()
