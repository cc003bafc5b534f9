"""Only the places that docs/architecture.md lists ask which family a detector is of."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeyolo.spec import Family
from tests.conftest import ROOT

# Code that may ask: what a family is.
BRANCHES = {
    "edgeyolo/families/",
    "edgeyolo/models/",
    "exporters/yolox_decode.py",
    "exporters/yolov7_decode.py",
    "exporters/tflite_decode.py",
}
# Tables with one entry a family.
TABLES = {
    "edgeyolo/families/__init__.py",
    "edgeyolo/models/zoo.py",
    "exporters/graph_model.py",
    "exporters/foreign_layouts.py",
    "edgeyolo/data/presets.py",
    "edgeyolo/data/batch_formats.py",
    "edgeyolo/training/recipe.py",
    "edgeyolo/training/family_rules.py",
}
# Tells families apart by the type of their recipe or loss.
TYPES = {"edgeyolo/training/"}

_FAMILY_CLASS = re.compile(r"Yolo(x|V7)[A-Z]?|Yolo(x|V7)$")


def branches_of(source: str) -> Iterator[tuple[int, str]]:
    """(line, kind) of what asks for a family: ``"branch"``, ``"table"`` or ``"type"``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            if _asks([node.left, *node.comparators]):
                yield node.lineno, "branch"
        elif isinstance(node, ast.Match):
            patterns = [case.pattern for case in node.cases]
            if _is_family(node.subject) or any(_names_member(pattern) for pattern in patterns):
                yield node.lineno, "branch"
        elif isinstance(node, ast.Dict):
            if any(key is not None and _names_member(key) for key in node.keys):
                yield node.lineno, "table"
        elif isinstance(node, ast.Call) and _tests_family_class(node):
            yield node.lineno, "type"


def _asks(operands: list[ast.expr]) -> bool:
    """Whether a comparison tells families apart; asking if two are the same is allowed."""
    if any(_names_member(operand) or _is_family_word(operand) for operand in operands):
        return True
    return any(map(_is_family, operands)) and not all(map(_is_family, operands))


def _names_member(node: ast.AST) -> bool:
    return any(
        isinstance(inner, ast.Attribute)
        and isinstance(inner.value, ast.Name)
        and inner.value.id == "Family"
        and inner.attr in Family.__members__
        for inner in ast.walk(node)
    )


def _is_family_word(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value in [family.value for family in Family]


def _is_family(node: ast.expr) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr == "family") or (
        isinstance(node, ast.Name) and node.id == "family"
    )


def _tests_family_class(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Name) or call.func.id not in ("isinstance", "issubclass"):
        return False
    names = (inner.id for inner in ast.walk(call.args[1]) if isinstance(inner, ast.Name))
    return any(_FAMILY_CLASS.match(name) for name in names)


def _sources() -> list[Path]:
    folders = ("edgeyolo", "exporters", "runtimes", "calibration")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    links = [ROOT / "edgeyolo" / folder for folder in folders[1:]]
    return [path for path in found if not any(link in path.parents for link in links)]


def _within(path: str, places: set[str]) -> bool:
    return any(path == place or (place[-1] == "/" and path.startswith(place)) for place in places)


def test_no_other_place_asks_for_the_family() -> None:
    allowed = {"branch": BRANCHES, "table": TABLES | BRANCHES, "type": TYPES | BRANCHES}
    sources = _sources()
    assert len(sources) > 300
    wrong = [
        f"{path.relative_to(ROOT)}:{line} ({kind})"
        for path in sources
        for line, kind in branches_of(path.read_text(encoding="utf-8"))
        if not _within(path.relative_to(ROOT).as_posix(), allowed[kind])
    ]
    assert not wrong, f"ask FAMILIES (edgeyolo/families) instead: {wrong}"


@pytest.mark.parametrize("place", sorted(TABLES))
def test_every_listed_table_has_an_entry_for_each_family(place: str) -> None:
    tables = [
        {key.attr for key in node.keys if isinstance(key, ast.Attribute)}
        for node in ast.walk(ast.parse((ROOT / place).read_text(encoding="utf-8")))
        if isinstance(node, ast.Dict) and any(key and _names_member(key) for key in node.keys)
    ]
    assert tables
    assert all(table == set(Family.__members__) for table in tables)


def test_the_architecture_page_lists_the_same_places() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = page.split("\n## Families\n")[1].split("\n## ")[0]
    listed = re.findall(r"^\* `([^`]+)`", section, re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == BRANCHES | TABLES | TYPES


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("if spec.family is Family.YOLOX: pass", "branch"),
        ("x = 1 if family == Family.YOLOV7 else 2", "branch"),
        ("while spec.family in (Family.YOLOX,): pass", "branch"),
        ("if checkpoint.family == 'yolov7': pass", "branch"),
        ("if not spec.family != other: pass", "branch"),
        ("match spec.family:\n    case _: pass", "branch"),
        ("match thing:\n    case Family.YOLOX: pass", "branch"),
        ("table = {Family.YOLOX: 1}", "table"),
        ("if isinstance(model, (YoloV7, Other)): pass", "type"),
    ],
)
def test_the_guard_sees(line: str, kind: str) -> None:
    assert [found for _, found in branches_of(line)] == [kind]


@pytest.mark.parametrize(
    "line",
    [
        "if FAMILIES[spec.family].rectangular: pass",
        "if a.family is not b.family: pass",
        "spec = ModelSpec(family=Family.YOLOX)",
        "if isinstance(recipe, Recipe): pass",
    ],
)
def test_the_guard_lets_pass(line: str) -> None:
    assert list(branches_of(line)) == []
