"""Takes shell text apart and holds every command of ours against the real command objects."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from edgeyolo.cli.main import group
from edgeyolo.cli.options import WeightsFile
from tests.conftest import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_OPERATORS = {"&&", "||", "|", ";", "&", "(", ")"}
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*")


def commands_of(script: str) -> Iterator[list[str]]:
    """The simple commands of a script, each as its words, without assignments and redirections."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        skip = False
        for word in lexer:
            if word in _OPERATORS:
                if words:
                    yield words
                words = []
            elif word[0] in "<>":
                skip = True
                if words and words[-1] == "2":  # 2> comes apart
                    words.pop()
            elif skip:
                skip = False
            elif words or not (_ASSIGNMENT.fullmatch(word) or word == "sudo"):
                words.append(word)
        if words:
            yield words


def problem_of(script: str) -> str | None:
    """What is wrong with the first bad command of a script."""
    try:
        for words in commands_of(script):
            check(words)
    except AssertionError as error:
        return str(error)
    return None


def check(words: list[str]) -> None:
    """Raise ``AssertionError`` where a command could not be meant for this project."""
    program, rest = Path(words[0]).name, words[1:]
    if program == "edgeyolo":
        check_edgeyolo(rest)
    elif "-m" in rest and program in ("python", "python3", "torchrun"):
        module = rest[rest.index("-m") + 1]
        if module == "edgeyolo":
            check_edgeyolo(rest[rest.index("-m") + 2 :])
        elif module.startswith("tests."):
            _check_script([f"{module.replace('.', '/')}.py", *rest[rest.index("-m") + 2 :]])
        else:
            assert module in ("venv", "pip", "pytest", "mypy"), f"unknown module {module}"
    elif program in ("python", "python3") and rest and rest[0].endswith(".py"):
        _check_script(rest)
    elif program == "pip":
        _check_extras(rest)
    elif program == "make":
        _check_targets(rest)
    elif program == "pytest":
        missing = [
            word for word in rest if "/" in word and not (ROOT / word.split("::")[0]).exists()
        ]
        assert not missing, f"no such test: {missing}"


def check_edgeyolo(words: list[str]) -> None:
    """Parse the words after ``edgeyolo`` with click, without running or opening anything."""
    command: click.Command = group
    context = click.Context(group, info_name="edgeyolo")
    rest = list(words)
    while isinstance(command, click.Group):
        assert rest, "edgeyolo without a command"
        if rest[0].startswith("-"):
            assert rest[0] in ("-h", "--help", "--version"), f"edgeyolo has no option {rest[0]}"
            return
        name = rest.pop(0)
        inner = command.get_command(context, name)
        assert inner is not None, f"edgeyolo has no command {name}"
        command, context = inner, click.Context(inner, info_name=name, parent=context)
    if "--help" in rest or "-h" in rest:
        return
    try:
        given, left_over, _ = command.make_parser(context).parse_args(rest)
        assert not left_over, f"edgeyolo {context.info_name}: too much: {left_over}"
        for parameter in command.params:
            value = given.get(parameter.name or "")
            # What is left out is None, an empty tuple, or click's own mark without a public name.
            missing = value is None or value == () or type(value).__name__ == "Sentinel"
            if parameter.required and missing:
                raise click.MissingParameter(param=parameter, ctx=context)
            # Paths and names of weights are judged by what lies on a disk; that is not parsing.
            if not missing and not isinstance(parameter.type, (click.Path, WeightsFile)):
                parameter.type_cast_value(context, value)
    except click.UsageError as error:
        raise AssertionError(f"edgeyolo {' '.join(words)}: {error.format_message()}") from error


def options_of(command_name: str) -> set[str]:
    """Every option of a command, and of the commands inside it."""
    command = group.get_command(click.Context(group), command_name)
    assert command is not None, f"edgeyolo has no command {command_name}"
    inner = list(command.commands.values()) if isinstance(command, click.Group) else []
    return {
        name
        for each in (command, *inner)
        for parameter in each.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    } | {"--help", "-h"}


def _check_script(words: list[str]) -> None:
    script = ROOT / words[0]
    if words[0].split("/")[0] not in ("benchmarks", "examples", "tests", "tools"):
        return
    assert script.is_file(), f"no such script: {words[0]}"
    source = script.read_text(encoding="utf-8")
    for word in words[1:]:
        if word.startswith("--"):
            assert f'"{word.split("=")[0]}"' in source, f"{words[0]} has no option {word}"


def _check_extras(words: list[str]) -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for word in words:
        if found := re.match(r"(?:edgeyolo|\.)\[([a-z,-]+)\]", word):
            unknown = set(found[1].split(",")) - set(known)
            assert not unknown, f"no such extra: {unknown}"


def _check_targets(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        if not word.startswith("-") and "=" not in word:
            assert re.search(rf"^{word}:", makefile, re.M), f"no such make target: {word}"
