"""Texts out of files and of vendors become one short line that a terminal can show."""

from __future__ import annotations

import pytest

from edgeyolo.errors import brief, one_line


def test_lines_and_tabs_become_blanks() -> None:
    assert one_line("a\n  b\t c\r\n") == "a b c"


def test_an_error_without_text_is_named_by_its_class() -> None:
    assert one_line(KeyError()) == "KeyError"


def test_long_texts_are_cut() -> None:
    assert len(one_line("x" * 5000)) == 300
    assert one_line("x" * 5000).endswith("…")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("zero\0byte", r"zero\x00byte"),
        ("back\u202ewards", r"back\u202ewards"),
        ("bad \udcff name", r"bad \udcff name"),
        ("größer ☃ 猫", "größer ☃ 猫"),
    ],
)
def test_what_commands_a_terminal_is_spelled_out(text: str, shown: str) -> None:
    assert one_line(text) == shown


def test_nested_values_stay_short() -> None:
    value: object = "x"
    for _ in range(9):
        value = [value] * 9
    assert len(brief(value)) <= 80
    assert brief("short") == "'short'"
