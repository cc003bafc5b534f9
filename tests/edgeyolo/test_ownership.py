"""Folders are replaced where they are ours alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeyolo.atomic import atomic_folder
from edgeyolo.cli.main import group
from edgeyolo.errors import OutputError
from edgeyolo.ownership import check_replaceable

MARKER = "marker.json"


def ours(folder: Path) -> Path:
    with atomic_folder(folder, marker=MARKER) as temporary:
        (temporary / "deep").mkdir()
        (temporary / "deep" / "result.txt").touch()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def add(name: str, text: str = "years of work") -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    return change


def link(folder: Path) -> None:
    (folder / "deep" / "data").symlink_to(folder.parent)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (add("thesis.txt"), "holds what was not written by this command: thesis.txt;"),
        (add("deep/out/a.png"), "holds what was not written by this command: deep/out/a.png;"),
        (link, "holds what was not written by this command: deep/data;"),
        (add(MARKER, '{"kind": "mlflow"}'), "marker.json in it does not say"),
        (add(MARKER, '{"files": 3}'), "marker.json in it does not say"),
        (add(MARKER, "[" * 100_000), "marker.json in it does not say"),
        (add(MARKER, '{"files": '), "marker.json in it does not say"),
        (lambda folder: (folder / MARKER).unlink(), "no marker.json in it"),
    ],
)
def test_a_folder_with_somebodys_files_is_not_touched(
    tmp_path: Path, change: Callable[[Path], None], said: str
) -> None:
    folder = ours(tmp_path / "result")
    change(folder)
    before = contents(folder)
    with pytest.raises(OutputError, match=r"nothing there was touched, choose another name") as e:
        ours(folder)
    assert said in str(e.value)
    assert contents(folder) == before


def test_what_file_managers_leave_and_lost_files_are_no_obstacle(tmp_path: Path) -> None:
    folder = ours(tmp_path / "result")
    (folder / "deep" / "result.txt").unlink()
    for name in (".DS_Store", "deep/Thumbs.db", "deep/__pycache__/run.cpython-311.pyc"):
        add(name)(folder)
    (folder / "empty").mkdir()
    ours(folder)
    assert sorted(contents(folder)) == ["deep/result.txt", MARKER]


def test_many_foreign_files_are_counted(tmp_path: Path) -> None:
    folder = ours(tmp_path / "result")
    for number in range(12):
        add(f"{number:02}.jpg")(folder)
    with pytest.raises(OutputError, match=r": 00.jpg, 01.jpg, 02.jpg and 9 more;"):
        check_replaceable(folder, MARKER)


def test_an_artifact_is_exported_again_unless_something_was_added(tmp_path: Path) -> None:
    command = ["export", "demo", "--to", "onnx", "--output", str(tmp_path / "artifact")]
    for _ in range(2):
        assert CliRunner().invoke(group, command).exit_code == 0
    add("notes.txt")(tmp_path / "artifact")
    result = CliRunner().invoke(group, command)
    assert result.exit_code == 1
    assert "holds what was not written by this command: notes.txt" in str(result.exception)
    # Before anything long is done, and for whatever bears the name of a contract.
    stranger = tmp_path / "stranger"
    add("artifact.json", '{"kind": "mlflow"}')(stranger)
    add("data/a.csv")(stranger)
    result = CliRunner().invoke(group, [*command[:-1], str(stranger)])
    assert result.exit_code == 1
    assert "artifact.json in it does not say what belongs to it" in str(result.exception)
    assert sorted(contents(stranger)) == ["artifact.json", "data/a.csv"]
