"""docs/pains.md speaks of all 25 pains, and every test that it names exists."""

from __future__ import annotations

import re

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "pains.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("| ").split(" | ")]
    for line in PAGE.splitlines()
    if re.match(r"\| \d+ \|", line)
]


def test_there_are_twenty_five_in_order() -> None:
    assert [int(row[0]) for row in ROWS] == list(range(1, 26))


def test_every_pain_has_a_proof_and_every_proof_is_a_test() -> None:
    for row in ROWS:
        proofs = re.findall(r"`([\w/]+\.py)::(\w+)`", row[3])
        assert proofs, f"pain {row[0]} has no proof"
        for file, name in proofs:
            source = (ROOT / "tests" / file).read_text(encoding="utf-8")
            assert re.search(rf"^(?:async )?def {name}\(", source, re.M), f"{file}::{name}"
