"""Links of README.md and docs/ lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import ROOT
from tests.docs.fences import PAGES, without_blocks

# Opened and read in November 2026; a new one is added here once somebody has read it.
EXTERNAL = {
    "https://docs.openvino.ai/2025/openvino-workflow/model-optimization-guide/"
    "quantizing-models-post-training/quantizing-with-accuracy-control.html",
    "https://docs.ultralytics.com/de/modes/benchmark",
    "https://docs.ultralytics.com/de/modes/export/",
    "https://github.com/NVIDIA-AI-IOT/yolo_deepstream/issues/58",
    "https://github.com/openvinotoolkit/model_api",
    "https://pypi.org/project/libreyolo/1.1.0/",
    "https://pypi.org/project/libreyolo/1.7.1/",
    "https://pypi.org/project/super-gradients/",
    "https://rfdetr.roboflow.com/develop/learn/benchmarks/",
    "https://www.github.com/open-mmlab/mmdeploy/blob/main/docs/en/02-how-to-run/convert_model.md",
    "https://yolox.readthedocs.io/",
}

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
_CODE = re.compile(r"`[^`]*`")


def anchors_of(path: Path) -> set[str]:
    """The anchors that headings get, by MkDocs and by GitHub alike for plain headings."""
    anchors: set[str] = set()
    for line in without_blocks(path).splitlines():
        if found := re.match(r"#{1,6}\s+(.*)", line):
            text = re.sub(r"[^\w\s-]", "", found[1].replace("`", "")).strip().lower()
            anchors.add(re.sub(r"[\s]+", "-", text))
    return anchors


def links_of(path: Path) -> list[tuple[int, str]]:
    return [
        (number, target)
        for number, line in enumerate(without_blocks(path).splitlines(), 1)
        for target in _LINK.findall(_CODE.sub("", line))
    ]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    for number, target in links_of(path):
        where = f"{path.name}:{number}: {target}"
        parts = urlsplit(target)
        if parts.scheme:
            assert parts.scheme == "https", f"{where}: not https"
            assert re.fullmatch(r"[a-z0-9.-]+\.[a-z]{2,}", parts.netloc), f"{where}: no host"
            continue
        goal = (path.parent / parts.path).resolve() if parts.path else path
        assert goal.exists(), f"{where}: no such file"
        assert goal.is_relative_to(ROOT), f"{where}: leads out of the project"
        if parts.fragment:
            assert parts.fragment in anchors_of(goal), f"{where}: no such heading"


def test_readme_links_every_page() -> None:
    linked = {target.split("#")[0] for _, target in links_of(ROOT / "README.md")}
    pages = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert pages - linked == {"docs/index.md"}


def test_links_out_of_the_project_are_those_that_were_read() -> None:
    found = {target for path in PAGES for _, target in links_of(path) if "://" in target}
    assert found == EXTERNAL
