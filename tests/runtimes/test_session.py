"""What a session is asked for is judged before any vendor hears of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from edgeyolo.cli import main as command_line
from edgeyolo.runtimes.session import SessionOptions
from edgeyolo.spec import MAX_THREADS
from edgeyolo.validation import ValidationRequest, open_model


@pytest.mark.parametrize("threads", [0, -1, MAX_THREADS + 1, 3_000_000_000, 2.5, True, "2"])
def test_an_impossible_number_of_threads_is_refused(threads: Any) -> None:
    wanted = rf"threads must be a whole number from 1 to 1024, got {threads!r}"
    with pytest.raises(ValueError, match=wanted):
        SessionOptions(threads=threads)
    with pytest.raises(ValueError, match=wanted):
        open_model(ValidationRequest(model=Path("a.pth"), annotations=Path(), threads=threads))


@pytest.mark.parametrize("threads", [None, 1, MAX_THREADS])
def test_a_possible_one_is_kept(threads: int | None) -> None:
    assert SessionOptions(threads=threads).threads == threads


@pytest.mark.parametrize(
    ("command", "option", "most"),
    [
        ("predict", "--threads", 1024),
        ("camera", "--threads", 1024),
        ("verify", "--threads", 1024),
        ("val", "--threads", 1024),
        ("benchmark", "--threads", 1024),
        ("camera", "--decode-threads", 64),
        ("train", "--workers", 256),
    ],
)
def test_the_command_line_has_the_same_range(
    command: str,
    option: str,
    most: int,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["edgeyolo", command, option, str(most + 1)])
    with pytest.raises(SystemExit) as stopped:
        command_line.main()
    assert stopped.value.code == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert f"'{option}': {most + 1} is not in the range" in error
    assert f"<={most}" in error
