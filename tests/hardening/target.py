"""What a fuzzed reader is: it writes one damaged input, then reads it as a user's call would."""

from __future__ import annotations

import contextlib
import io
import random
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import click

from edgeyolo.cli.main import group


class Target(ABC):
    """One reader of files.

    Args:
        folder: Its own, empty. ``folder/input`` holds the input at hand and nothing else, so that
            one that fails can be kept.
    """

    name: ClassVar[str]
    # False to see what happens without the child process in which lone files are tried first.
    guarded = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.input = folder / "input"
        self.input.mkdir(parents=True, exist_ok=True)
        self.prepare()

    @abstractmethod
    def prepare(self) -> None:
        """Make the sound files."""

    @abstractmethod
    def write(self, rng: random.Random) -> None:
        """Put one damaged input into ``self.input``."""

    @abstractmethod
    def read(self, rng: random.Random) -> None:
        """Read it through a function of the product.

        Raises:
            EdgeYoloError: It was refused, as it should be.
        """


def command_line(*arguments: str | Path) -> str:
    """Run ``edgeyolo`` in this process; its standard output.

    An ``EdgeYoloError`` comes through; wrong usage and an exit status are results.
    """
    out = io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.suppress(click.ClickException, SystemExit),
    ):
        group.main([str(argument) for argument in arguments], standalone_mode=False)
    return out.getvalue()
