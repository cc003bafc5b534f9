"""Print sizes of modules and functions, import cycles and, from a coverage report, coverage.

    python tools/code_figures.py                                   # sizes and cycles
    coverage run -m pytest && coverage json && python tools/code_figures.py --coverage coverage.json

Exits with 1 for an import cycle, or for a coverage below ``BARS``.
"""

from __future__ import annotations

import argparse
import ast
import graphlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
# Folder in the project -> package name. The three links inside edgeyolo are skipped.
PACKAGES = {
    "edgeyolo": "edgeyolo",
    "exporters": "edgeyolo.exporters",
    "runtimes": "edgeyolo.runtimes",
    "calibration": "edgeyolo.calibration",
}
LARGEST = 10
MODULE_LINES = 250
FUNCTION_LINES = 60
# The part that runs on a device, as the import contract of pyproject.toml names it.
CORE = (
    "edgeyolo/errors.py", "edgeyolo/spec.py", "edgeyolo/contract.py", "edgeyolo/detections.py",
    "edgeyolo/artifact.py", "edgeyolo/atomic.py", "edgeyolo/families/", "edgeyolo/tflite/",
    "edgeyolo/letterbox.py", "edgeyolo/preparation.py", "edgeyolo/suppression.py",
    "edgeyolo/frames.py", "edgeyolo/pictures.py", "edgeyolo/sources/", "edgeyolo/stream.py",
    "edgeyolo/handover.py", "edgeyolo/drawing.py", "edgeyolo/camera.py", "edgeyolo/predictor.py",
    "edgeyolo/machine.py", "edgeyolo/runtimes/", "runtimes/",
)  # fmt: skip
BARS = {"core": 95.0, "whole": 85.0}


class Size(NamedTuple):
    """Lines of a module or function."""

    lines: int
    name: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--coverage", type=Path, help="What `coverage json` wrote.")
    arguments = parser.parse_args()
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in modules().items()}
    _print_sizes("modules", module_sizes(), MODULE_LINES)
    _print_sizes("functions", function_sizes(trees), FUNCTION_LINES)
    cycle = import_cycle(trees)
    print(f"import cycles: {0 if cycle is None else ' -> '.join(cycle)}")
    low = [] if arguments.coverage is None else _print_coverage(arguments.coverage)
    sys.exit(1 if cycle or low else 0)


def modules() -> dict[str, Path]:
    """Dotted name -> file of every module."""
    found = {}
    for folder, package in PACKAGES.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            if folder == "edgeyolo" and parts[0] in PACKAGES:
                continue
            dotted = ".".join((package, *parts)).removesuffix(".__init__")
            found[dotted] = path
    return found


def module_sizes() -> list[Size]:
    """Largest first."""
    return sorted(
        (
            Size(len(path.read_text(encoding="utf-8").splitlines()), name)
            for name, path in modules().items()
        ),
        reverse=True,
    )


def function_sizes(trees: Mapping[str, ast.Module]) -> list[Size]:
    """From ``def`` to the last line, docstring included; largest first."""
    return sorted(
        (
            Size((node.end_lineno or node.lineno) - node.lineno + 1, f"{module}.{node.name}")
            for module, tree in trees.items()
            for node in ast.walk(tree)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        ),
        reverse=True,
    )


def import_cycle(trees: Mapping[str, ast.Module]) -> list[str] | None:
    """Modules that import each other while they are loaded; ``None`` where there are none.

    Imports inside functions run later and close no cycle.
    """
    graph = {name: set(_imported(tree, trees)) - {name} for name, tree in trees.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle
    return None


def _imported(tree: ast.Module, known: Mapping[str, ast.Module]) -> Iterator[str]:
    for node in _at_load(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in known:
                    yield inner
                elif node.module in known:
                    yield node.module


def _at_load(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run while the module loads: neither functions nor ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _at_load(child)


def _print_sizes(kind: str, sizes: list[Size], limit: int) -> None:
    above = sum(size.lines > limit for size in sizes)
    middle = sizes[len(sizes) // 2].lines
    print(f"{len(sizes)} {kind}, {sum(size.lines for size in sizes)} lines, median {middle}; "
          f"{above} above {limit} lines")  # fmt: skip
    for size in sizes[:LARGEST]:
        print(f"  {size.lines:5} {size.name}")


def _print_coverage(report: Path) -> list[str]:
    files = json.loads(report.read_text(encoding="utf-8"))["files"]
    low = []
    for part, bar in BARS.items():
        chosen = [
            entry["summary"]
            for name, entry in files.items()
            if part == "whole" or name.startswith(CORE)
        ]
        statements = sum(one["num_statements"] for one in chosen)
        covered = sum(one["covered_lines"] for one in chosen)
        percent = 100 * covered / statements
        print(f"coverage of the {part}: {percent:.1f} % of {statements} statements (bar {bar:g} %)")
        if percent < bar:
            low.append(part)
    return low


if __name__ == "__main__":
    main()
