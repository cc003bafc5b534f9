"""The figures of the code: no import cycles, and the tool would see one."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("figures", ROOT / "tools" / "code_figures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_module_imports_itself_through_others(figures: ModuleType) -> None:
    trees = {name: ast.parse(path.read_text("utf-8")) for name, path in figures.modules().items()}
    assert len(trees) > 250
    assert figures.import_cycle(trees) is None


def test_a_cycle_is_found_and_a_late_import_is_none(figures: ModuleType) -> None:
    trees = {
        "a": ast.parse("from b import x"),
        "b": ast.parse("import c"),
        "c": ast.parse("def f():\n    import a"),
    }
    assert figures.import_cycle(trees) is None
    trees["c"] = ast.parse("import a")
    assert set(figures.import_cycle(trees)) == {"a", "b", "c"}


def test_a_function_is_as_long_as_its_lines(figures: ModuleType) -> None:
    sizes = figures.function_sizes({"m": ast.parse("def f():\n    x = 1\n    return x\n")})
    assert sizes == [(3, "m.f")]
