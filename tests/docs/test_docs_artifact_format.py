"""docs/artifact-format.md says of artifact.json what the reader checks."""

from __future__ import annotations

import re

from edgeyolo.contract import SCHEMA
from edgeyolo.spec import OutputKind
from tests.conftest import ROOT
from tests.docs.contract_fields import fields_of

PAGE = (ROOT / "docs" / "artifact-format.md").read_text(encoding="utf-8")


def test_every_field_is_described_with_its_type_in_the_order_of_the_file() -> None:
    rows = re.findall(r"^\| `([a-z_0-9.]+)` \| ([^|]+) \| (yes|no) \| ([^|]+) \|$", PAGE, re.M)
    described = [(path, kind, required == "yes") for path, kind, required, _ in rows]
    assert described == list(fields_of())


def test_the_page_names_the_schema_and_every_kind_of_output() -> None:
    assert f"Schema number {SCHEMA}." in PAGE
    for kind in OutputKind:
        assert f"| `{kind.value}` |" in PAGE
