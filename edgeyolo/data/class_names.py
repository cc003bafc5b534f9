"""Class names: what may be one, and which of two lists mean the same class."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgeyolo.errors import DatasetError, brief


def checked_names(names: Sequence[Any], file: Path) -> tuple[str, ...]:
    """Class names out of *file*, without blanks at their ends.

    Raises:
        DatasetError: There are none, or one is no text, empty or repeated.
    """
    if not names:
        raise DatasetError(f"{file} holds no class names")
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name.strip():
            # YAML reads off and no as False, an empty place as None, 1.5 as a number.
            quote = "" if isinstance(name, str | list | dict) else "; put it in quotes"
            raise DatasetError(
                f"{file}: name of class {index} is {brief(name)}, expected text{quote}"
            )
    cleaned = tuple(name.strip() for name in names)
    name, count = Counter(cleaned).most_common(1)[0]
    if count > 1:
        raise DatasetError(f"{file}: the class name {brief(name)} occurs twice")
    return cleaned


def same_classes(names: Sequence[str], others: Sequence[str]) -> list[int]:
    """Where each of *names* stands in *others*, -1 where it does not.

    Equal names come first. Blanks at the ends and capitals are passed over only where that
    leaves one name on either side: among letters, ``A`` and ``a`` are two classes.
    """
    found = [-1] * len(names)
    for form in _FORMS:
        ours, theirs = _spellings(names, form), _spellings(others, form)
        index_of = {form(name): index for index, name in enumerate(others)}
        for index, name in enumerate(names):
            key = form(name)
            if found[index] < 0 and len(ours[key]) == 1 and len(theirs.get(key, ())) == 1:
                found[index] = index_of[key]
    return found


def _folded(name: str) -> str:
    return name.strip().casefold()


# From the strictest to the most lenient.
_FORMS: tuple[Callable[[str], str], ...] = (str, str.strip, _folded)


def _spellings(names: Sequence[str], form: Callable[[str], str]) -> dict[str, set[str]]:
    """The different names of each form."""
    spellings: dict[str, set[str]] = defaultdict(set)
    for name in names:
        spellings[form(name)].add(name)
    return dict(spellings)
