"""Class names: which of two lists mean the same class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence


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
