"""Files and folders appear whole or not at all."""

from __future__ import annotations

import ctypes
import os
import stat
import threading
from pathlib import Path

import pytest

from edgeyolo.atomic import (
    atomic_file,
    atomic_folder,
    check_file_target,
    check_folder_target,
    write_text,
)
from edgeyolo.errors import OutputError


def break_off(file: Path) -> None:
    """What an interrupted writer leaves behind."""
    file.write_text("half")
    raise RuntimeError("in the middle")


def test_a_file_is_there_only_after_the_block(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "result.txt"
    with atomic_file(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert os.listdir(target.parent) == ["result.txt"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "result.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_file(target) as temporary:
        break_off(temporary)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.txt"]


def test_a_folder_replaces_an_older_one_whole(tmp_path: Path) -> None:
    target = tmp_path / "artifact"
    for content in ("old", "new"):
        with atomic_folder(target, marker="a") as temporary:
            (temporary / content).write_text(content)
    assert sorted(os.listdir(target)) == ["a", "new"]
    assert os.listdir(tmp_path) == ["artifact"]


def test_an_error_leaves_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "artifact"
    with atomic_folder(target, marker="a") as temporary:
        (temporary / "b").touch()
    with pytest.raises(RuntimeError), atomic_folder(target, marker="a") as temporary:
        break_off(temporary / "half")
    assert sorted(os.listdir(target)) == ["a", "b"]
    assert os.listdir(tmp_path) == ["artifact"]


def test_a_folder_is_not_written_over_a_file(tmp_path: Path) -> None:
    target = tmp_path / "artifact"
    target.write_text("precious")
    with pytest.raises(OutputError, match="is a file"), atomic_folder(target, marker="a"):
        pass
    assert target.read_text() == "precious"


def test_a_folder_below_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write") as caught:
        write_text(tmp_path / "file" / "result.txt", "text")
    assert "\n" not in str(caught.value)


def test_results_are_readable_by_others_as_the_umask_allows(tmp_path: Path) -> None:
    write_text(tmp_path / "result.txt", "text")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "result.txt").stat().st_mode) == 0o666 & ~umask


def test_several_writers_of_one_folder_leave_one_complete_folder(tmp_path: Path) -> None:
    target = tmp_path / "artifact"
    errors: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for _ in range(10):
                with atomic_folder(target, marker="a") as temporary:
                    (temporary / "c").write_text(str(number))
                    (temporary / "b").write_text(str(number))
        except OutputError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert (target / "c").read_text() == (target / "b").read_text()
    assert os.listdir(tmp_path) == ["artifact"]


def test_somebody_elses_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(OutputError, match="nothing there was touched"),
        atomic_folder(tmp_path, marker="artifact.json"),
    ):
        pass
    assert os.listdir(tmp_path) == ["thesis.tex"]
    (tmp_path / "empty").mkdir()
    with atomic_folder(tmp_path / "empty", marker="artifact.json"):
        pass
    assert os.listdir(tmp_path / "empty") == ["artifact.json"]


def test_a_folder_never_lacks_its_name_while_it_is_replaced(tmp_path: Path) -> None:
    """Somebody who looks all the time always finds a folder."""
    if not hasattr(ctypes.CDLL(None), "renameat2"):
        pytest.skip("this system cannot exchange two names in one step")
    target = tmp_path / "artifact"
    with atomic_folder(target, marker="mark") as folder:
        (folder / "number").write_text("0")
    stop = threading.Event()
    missing: list[int] = []

    def look() -> None:
        looks = 0
        while not stop.is_set():
            looks += 1
            if not target.exists():
                missing.append(looks)

    looker = threading.Thread(target=look)
    looker.start()
    for number in range(100):
        with atomic_folder(target, marker="mark") as folder:
            (folder / "number").write_text(str(number))
    stop.set()
    looker.join()
    assert missing == []
    assert (target / "number").read_text() == "99"
    assert os.listdir(tmp_path) == ["artifact"]


def test_a_target_is_judged_without_a_trace(tmp_path: Path) -> None:
    check_folder_target(tmp_path / "new" / "artifact", marker="a")
    check_file_target(tmp_path / "new" / "report.csv")
    assert os.listdir(tmp_path) == []


def test_targets_that_cannot_be_written_are_refused_beforehand(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.tex").touch()
    with pytest.raises(OutputError, match="not written by this command"):
        check_folder_target(tmp_path / "theirs", marker="a")
    with pytest.raises(OutputError, match="is a folder"):
        check_file_target(tmp_path / "theirs")
    for below in (tmp_path / "theirs" / "thesis.tex" / "out", Path("/proc/nope/x")):
        with pytest.raises(OutputError, match="cannot write"):
            check_folder_target(below, marker="a")
        with pytest.raises(OutputError, match="cannot write"):
            check_file_target(below)
    with pytest.raises(OutputError, match="cannot write"):
        check_file_target(tmp_path / ("n" * 300))
