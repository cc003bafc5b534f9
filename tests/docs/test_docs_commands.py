"""Every command and snippet of README.md and docs/ runs, offline, in the order of its page.

What cannot run here says so in the page (``<!-- not executed: reason -->``); of that, every command
line is parsed by the real commands and every Python snippet is compiled and its imports resolved.
"""

from __future__ import annotations

import ast
import importlib
import os
import re
import sys
from pathlib import Path

import pytest

import edgeyolo
from edgeyolo.cli.main import COMMANDS
from tests.conftest import ROOT
from tests.docs.command_lines import options_of, problem_of
from tests.docs.fences import PAGES, blocks_of, without_blocks
from tests.docs.prepared_files import Shell, prepare

_LANGUAGES = {"bash", "python", "text", "json", "yaml", "toml"}
_BLOCKS = {path: blocks_of(path) for path in PAGES}
_RUNNING = [path for path in PAGES if any(block.executed for block in _BLOCKS[path])]
# Options of other programs that a page mentions in running text.
_FOREIGN_OPTIONS = {"--gpus", "--runtime", "--system-site-packages", "--strict", "--fp16"}


@pytest.fixture(scope="session")
def materials(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documentation")
    prepare(folder, shared)
    return folder


@pytest.fixture(scope="session")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A shell with our command, an own home and no way into the network."""
    home = tmp_path_factory.mktemp("home")
    programs = home / "bin"
    programs.mkdir()
    for name, arguments in {"edgeyolo": " -m edgeyolo", "python": ""}.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}"{arguments} "$@"\n')
        program.chmod(0o755)
    nowhere = "http://127.0.0.1:9"
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("EDGEYOLO_")},
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        "http_proxy": nowhere,
        "https_proxy": nowhere,
        "no_proxy": "",
    }
    return Shell(environment, tmp_path_factory.mktemp("exports"))


@pytest.mark.slow
@pytest.mark.timeout(1200)  # a page is many commands, each of them limited
@pytest.mark.parametrize("path", _RUNNING, ids=lambda path: path.name)
def test_a_page_runs_from_top_to_bottom(
    path: Path,
    materials: Path,
    shell: Shell,
    tmp_path: Path,
) -> None:
    for member in materials.iterdir():
        (tmp_path / member.name).symlink_to(member)
    shell.lay(tmp_path, _BLOCKS[path])
    output, program = "", ""
    for block in _BLOCKS[path]:
        if block.comment == "prints":
            assert matches(block.text, output), f"{block}: the output is now\n{output}"
        if not block.executed:
            continue
        if block.language == "python":
            program = (program if block.comment == "continues" else "") + block.text
            status, output = shell.run([sys.executable, "-c", program], tmp_path)
        else:
            status, output = shell.run_bash(block.text, tmp_path)
        expected = re.fullmatch(r"exits with (\d+)", block.comment)
        assert status == int(expected[1] if expected else 0), f"{block}: status {status}\n{output}"
        assert "Traceback" not in output, f"{block}:\n{output}"


def matches(expected: str, output: str) -> bool:
    """Whether *output* is what a page shows, where ``...`` stands for anything.

    Within a line for the rest of it or a number, alone on a line for any number of lines.
    """
    pattern = ""
    for line in expected.strip("\n").splitlines():
        if line.strip() == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pieces = [re.escape(piece) for piece in line.rstrip().split("...")]
            pattern += r".*?".join(pieces) + r"[ ]*\n"
    return re.fullmatch(pattern, output.strip("\n") + "\n") is not None


def test_the_comparison_of_outputs_notices_a_difference() -> None:
    assert matches("one\ntwo ... four\n", "one\ntwo 3 four\n")
    assert matches("one\n...\nfive\n", "one\ntwo\nthree\nfive\n")
    assert not matches("one\ntwo\n", "one\ntwo\nthree\n")
    assert not matches("one ...\n", "two 2\n")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_block_is_of_a_known_language_and_no_comment_hangs_in_the_air(path: Path) -> None:
    for block in _BLOCKS[path]:
        assert block.language in _LANGUAGES, f"{block}: language {block.language!r}"
    marked = len(re.findall(r"<!-- (?:not executed|prints|continues|exits)", path.read_text()))
    used = sum(bool(block.comment) for block in _BLOCKS[path])
    assert marked == used, f"{path.name}: {marked} comments, {used} blocks behind them"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_line_parses(path: Path) -> None:
    for block in _BLOCKS[path]:
        if block.language == "bash":
            problem = problem_of(block.text)
            assert problem is None, f"{block}: {problem}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_snippet_compiles_and_its_imports_exist(path: Path) -> None:
    for block in _BLOCKS[path]:
        if block.language != "python":
            continue
        for node in ast.walk(ast.parse(block.text, filename=str(block))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edgeyolo"):
                module = importlib.import_module(str(node.module))
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{block}: {node.module}.{alias.name}"
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "edgeyolo":
                assert hasattr(edgeyolo, node.attr), f"{block}: edgeyolo.{node.attr}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_and_options_in_running_text_exist(path: Path) -> None:
    known = {option for name in COMMANDS for option in options_of(name)} | _FOREIGN_OPTIONS
    for number, line in enumerate(without_blocks(path).splitlines(), 1):
        for span in re.findall(r"`([^`]+)`", line):
            words = span.split()
            where = f"{path.name}:{number}: `{span}`"
            if words[0] == "edgeyolo" and len(words) > 1 and not words[1].startswith("-"):
                name = words[1].strip(",.")
                assert name in COMMANDS, f"{where}: no such command"
                wrong = {word for word in words if word.startswith("--")} - options_of(name)
                assert not wrong, f"{where}: no such option"
            elif words[0].startswith("--"):
                assert words[0].split("=")[0] in known, f"{where}: no such option"


def test_a_wrong_command_line_is_noticed() -> None:
    for script in (
        "edgeyolo exprt yolox_nano.pth",
        "edgeyolo export yolox_nano.pth --too onnx",
        "edgeyolo export yolox_nano.pth --to onyx",
        "edgeyolo export --to onnx",
        "edgeyolo export one.pth two.pth --to onnx",
        "pip install 'edgeyolo[nothing]'",
        "make nothing",
        "python benchmarks/cold_start.py --nothing",
    ):
        assert problem_of(script) is not None, script
    assert problem_of("edgeyolo export one.pth --to onnx && edgeyolo models --json | head") is None


def test_reasons_for_not_executing_are_reasons() -> None:
    for blocks in _BLOCKS.values():
        for block in blocks:
            if block.comment.startswith("not executed"):
                reason = block.comment.removeprefix("not executed:").strip()
                assert len(reason.split()) >= 2, f"{block}: {reason!r}"
