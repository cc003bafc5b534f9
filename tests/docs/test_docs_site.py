"""The site builds, and every page is in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    pages = {path.relative_to(tmp_path / "site") for path in tmp_path.rglob("index.html")}
    assert len(pages) == len(list((ROOT / "docs").glob("*.md")))
    # A site that works on a machine without a network loads nothing from another one.
    for page in tmp_path.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for loads in ('src="http', 'rel="stylesheet" href="http', 'src="//'):
            assert loads not in text, f"{page.name} loads from the network"


def test_every_page_is_in_the_navigation_once() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed: list[str] = []
    for entry in config["nav"]:
        for value in entry.values():
            listed.extend(
                [value] if isinstance(value, str) else [v for p in value for v in p.values()]
            )
    assert sorted(listed) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))
