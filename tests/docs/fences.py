"""The code blocks of README.md and docs/*.md, and what the comment before a block says of it.

A comment in front of a block is one of

    <!-- not executed: needs a camera -->   the block is parsed only; the reason is for readers
    <!-- prints -->                         the block is what the block before it prints
    <!-- continues -->                      Python that goes on where the block before it ended
    <!-- exits with 1 -->                   the last command fails on purpose
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Words that begin a line of a terminal; an indented block that begins so is a command.
_COMMAND_WORDS = {"edgeyolo", "python", "pip", "make", "torchrun", "pytest", "sudo", "git"}
_COMMENT = re.compile(r"<!--\s*(not executed: .+|prints|continues|exits with \d+)\s*-->")


@dataclass(frozen=True, slots=True)
class Block:
    """One code block.

    Attributes:
        page: Path from the project root.
        line: Number of its first line, from 1.
        language: Of the fence; ``"bash"`` or ``"python"`` for indented blocks that look so.
        text: Without fence and indentation.
        comment: What the comment before it says, or nothing.
    """

    page: str
    line: int
    language: str
    text: str
    comment: str

    @property
    def executed(self) -> bool:
        return self.language in ("bash", "python") and not self.comment.startswith("not executed")

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(path: Path) -> list[Block]:
    """All blocks of a page, fenced or indented, in order."""
    page = path.relative_to(ROOT).as_posix()
    lines = path.read_text(encoding="utf-8").splitlines()
    blocks: list[Block] = []
    comment, at = "", 0
    while at < len(lines):
        line = lines[at]
        if found := _COMMENT.fullmatch(line.strip()):
            comment = found[1]
        elif line.lstrip().startswith("```"):
            language, end = line.strip().strip("`"), _end_of_fence(lines, at, page)
            indent = len(line) - len(line.lstrip())
            text = "\n".join(inner[indent:] for inner in lines[at + 1 : end])
            blocks.append(Block(page, at + 2, language, text + "\n", comment))
            comment, at = "", end
        elif line.startswith("    ") and (at == 0 or not lines[at - 1].strip()):
            end = _end_of_indented(lines, at)
            text = "\n".join(inner[4:] for inner in lines[at:end]).rstrip()
            if comment or (language := _guess(text)) != "text":
                language = "text" if comment == "prints" else _guess(text)
                blocks.append(Block(page, at + 1, language, text + "\n", comment))
            comment, at = "", end - 1
        elif line.strip():
            comment = ""
        at += 1
    return blocks


def without_blocks(path: Path) -> str:
    """The page with the inside of its fences blanked out, line numbers kept."""
    kept, inside = [], False
    for line in path.read_text(encoding="utf-8").splitlines():
        fence = line.lstrip().startswith("```")
        kept.append("" if inside or fence else line)
        inside ^= fence
    return "\n".join(kept)


def _end_of_fence(lines: list[str], start: int, page: str) -> int:
    for at in range(start + 1, len(lines)):
        if lines[at].strip() == "```":
            return at
    raise AssertionError(f"{page}:{start + 1}: a fence that is not closed")


def _end_of_indented(lines: list[str], start: int) -> int:
    end = start
    while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
        end += 1
    return end


def _guess(text: str) -> str:
    first = text.lstrip().split(maxsplit=1)[0] if text.strip() else ""
    if first in _COMMAND_WORDS:
        return "bash"
    return "python" if first in ("import", "from") else "text"
