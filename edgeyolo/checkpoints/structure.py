"""Checks on an unpickled value before anybody walks it: no loops, no endless nesting."""

from __future__ import annotations

from collections.abc import Iterator

from edgeyolo.checkpoints.records import ModuleRecord, RefusedError

# The deepest genuine nesting is about 20 (block within ELAN within model, its hooks).
MAX_DEPTH = 100


def check_structure(root: object) -> None:
    """Raise unless *root* is a finite tree (shared parts are allowed) of sane depth.

    Raises:
        RefusedError: A container holds itself, or containers nest too deeply.
    """
    finished: set[int] = set()
    on_path: set[int] = set()
    path: list[tuple[object, Iterator[object]]] = [(root, _contents(root))]
    on_path.add(id(root))
    while path:
        value, contents = path[-1]
        child = next(contents, path)
        if child is path:
            path.pop()
            on_path.discard(id(value))
            finished.add(id(value))
            continue
        if not isinstance(child, (dict, list, tuple, ModuleRecord)) or id(child) in finished:
            continue
        if id(child) in on_path:
            raise RefusedError("its pickle holds an object that contains itself")
        if len(path) >= MAX_DEPTH:
            raise RefusedError(f"its pickle nests objects more than {MAX_DEPTH} deep")
        on_path.add(id(child))
        path.append((child, _contents(child)))


def _contents(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        return iter(value.values())
    if isinstance(value, (list, tuple)):
        return iter(value)
    if isinstance(value, ModuleRecord):
        return iter(value.attributes.values())
    return iter(())
