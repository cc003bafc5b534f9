"""docs/errors.md has every error class, and no other."""

from __future__ import annotations

import inspect
import re

from edgeyolo import errors
from edgeyolo.errors import EdgeYoloError
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
CLASSES = {
    name: kind
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, EdgeYoloError)
}


def sections() -> dict[str, str]:
    parts = re.split(r"^## (\w+)$", PAGE, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_class_has_a_section_and_every_section_a_class() -> None:
    assert set(sections()) == set(CLASSES)


def test_a_section_names_the_class_that_its_own_derives_from() -> None:
    for name, kind in CLASSES.items():
        base = kind.__mro__[1].__name__
        if base not in ("EdgeYoloError", "Exception"):
            assert f"`{base}`" in sections()[name], name


def test_every_section_but_the_base_shows_a_message() -> None:
    for name, text in sections().items():
        assert name == "EdgeYoloError" or "```text" in text, name
