"""The report as a browser shows it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeyolo.benchmark.accuracy import CocoAccuracy
from edgeyolo.benchmark.html_report import as_html
from edgeyolo.benchmark.measure import measure
from edgeyolo.benchmark.records import BenchmarkReport, BenchmarkRequest
from edgeyolo.benchmark.tables import as_dict, as_text, published_rows
from edgeyolo.coco_names import COCO_NAMES
from edgeyolo.validation import ValidationRequest
from tests.edgeyolo.benchmark.test_benchmark_command import labelled_quarters

PHONE_WH, DESKTOP_WH = (390, 4200), (1280, 2600)
# Reports what a reader would see; the report itself has no script.
PROBE = """<script>addEventListener("load", () => console.log("PROBE" + JSON.stringify({
  page: document.documentElement.scrollWidth, window: innerWidth,
  pictures: [...document.images].map(one => [one.complete, one.naturalWidth, one.clientWidth]),
  charts: [...document.querySelectorAll("svg, .bar span")].map(one => {
    const box = one.getBoundingClientRect(); return [box.width, box.height]; }),
  smallest: Math.min(...[...document.querySelectorAll("td, p, figcaption")].map(
    one => parseFloat(getComputedStyle(one).fontSize))),
})))</script>"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("Chromium is not installed")
    return found


@pytest.fixture
def report(two_artifacts: tuple[Path, Path], tmp_path: Path) -> BenchmarkReport:
    annotations = labelled_quarters(tmp_path / "labelled")
    return measure(
        BenchmarkRequest(
            artifacts=two_artifacts,
            source=str(annotations.parent),
            rounds=1,
            seconds=0.05,
            threads=1,
            pictures=2,
        ),
        lambda _: None,
        CocoAccuracy(
            ValidationRequest(model=two_artifacts[0], annotations=annotations), two_artifacts
        ),
    )


@pytest.fixture
def shown(browser: str, tmp_path: Path) -> Callable[..., tuple[list[str], Path]]:
    """``shown(html, size_wh)`` opens a page; console messages and a screenshot."""

    def show(html: str, size_wh: tuple[int, int]) -> tuple[list[str], Path]:
        page, screenshot = tmp_path / "page.html", tmp_path / "screen.png"
        (tmp_path / "inner.html").write_text(html, encoding="utf-8")
        # A window of Chromium is at least 500 pixels wide; a frame in it may be narrower.
        width, height = size_wh
        page.write_text(
            f'<body style="margin:0"><iframe src="inner.html" width="{width}" height="{height}" '
            'style="border:0"></iframe>'
        )
        command = [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width},{height}",
            f"--screenshot={screenshot}",
            page.as_uri(),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return re.findall(r"CONSOLE[:(]\d*\)?\]? (.*)", done.stderr), screenshot

    return show


def probed(messages: list[str]) -> dict[str, Any]:
    (line,) = [message for message in messages if "PROBE" in message]
    text = line[line.index("{") : line.rindex("}") + 1]
    found: dict[str, Any] = json.loads(text)
    return found


def test_an_error_of_a_page_would_be_seen(shown: Callable[..., tuple[list[str], Path]]) -> None:
    messages, _ = shown("<script>missing()</script><img src=nothing.png>", PHONE_WH)
    assert any("missing is not defined" in message for message in messages)


@pytest.mark.parametrize("size_wh", [PHONE_WH, DESKTOP_WH])
def test_the_report_is_whole_and_readable(
    report: BenchmarkReport,
    shown: Callable[..., tuple[list[str], Path]],
    size_wh: tuple[int, int],
) -> None:
    html = as_html(report)
    messages, screenshot = shown(html.replace("</body>", PROBE + "</body>"), size_wh)
    assert len(messages) == 1, messages
    seen = probed(messages)
    assert seen["window"] == size_wh[0]
    # Nothing sticks out: a phone need not scroll sideways.
    assert seen["page"] <= seen["window"]
    assert seen["smallest"] >= 14
    # Two artifacts, two frames each.
    assert len(seen["pictures"]) == 4
    for complete, own_width, shown_width in seen["pictures"]:
        assert complete
        assert own_width == 64
        assert 150 <= shown_width <= size_wh[0]
    # The chart, and three stages of two artifacts.
    assert len(seen["charts"]) == 7
    assert all(min(size) > 0 for size in seen["charts"])
    picture = cv2.imread(str(screenshot))
    assert picture is not None
    assert (picture.shape[1], picture.shape[0]) == size_wh
    # Every frame has one bright quarter of pure blue, green or red; the first two are shown.
    for channel in (0, 1):
        others = [other for other in range(3) if other != channel]
        pure = (picture[..., channel] > 220) & np.all(picture[..., others] < 60, axis=-1)
        assert pure.sum() > 2000


def test_the_report_needs_nothing_from_outside(report: BenchmarkReport) -> None:
    html = as_html(report)
    references = re.findall(r"(?:src|href)=\"([^\"]{0,30})|url\(([^)]*)|@import", html)
    assert references
    assert all(source.startswith("data:") for source, _ in references)
    assert "<script" not in html
    assert "prefers-color-scheme: dark" in html


def test_names_cannot_inject_markup(report: BenchmarkReport) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    first = replace(report.artifacts[0], name=hostile, path=hostile)
    html = as_html(replace(report, artifacts=(first, *report.artifacts[1:])))
    assert hostile not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html


def test_a_password_of_the_source_is_in_no_report(report: BenchmarkReport) -> None:
    request = replace(report.request, source="http://admin:hunter2@host/clip.mkv?token=hunter2")
    report = replace(report, request=request)
    for text in (as_html(report), as_text(report), json.dumps(as_dict(report))):
        assert "hunter2" not in text
        assert "http://***@host/clip.mkv?token=***" in text


def test_every_artifact_says_what_its_power_is_that_of(report: BenchmarkReport) -> None:
    sources = "GPU 0000:1a:00.0 (nvidia-smi)", "processor (RAPL)"
    drawn = [
        replace(figures, stream_watts=31.5, joules_a_frame=0.25, power_source=source)
        for figures, source in zip(report.artifacts, sources, strict=True)
    ]
    report = replace(report, artifacts=tuple(drawn))
    for text in (as_html(report), as_text(report), json.dumps(as_dict(report))):
        assert all(source in text for source in sources)
        assert text.count("31.5") >= 2


def test_every_figure_of_the_table_is_in_the_report(report: BenchmarkReport) -> None:
    html = as_html(report)
    for figures in report.artifacts:
        assert f"{figures.bare.p50:.2f} / {figures.bare.p95:.2f}" in html
        assert f"{figures.stream_over_bare:.3f}" in html
        assert figures.sha256 in html
        assert figures.accuracy is not None
        assert f"{figures.accuracy.ap:.4f}" in html
    for name in ("yolox-nano", "yolov7-x"):
        assert name in html


def test_an_accuracy_of_zero_is_shown_beside_the_published_one(report: BenchmarkReport) -> None:
    figures = report.artifacts[0]
    assert figures.accuracy is not None
    contract = figures.contract
    model = replace(contract.model, variant="nano", class_names=COCO_NAMES)
    useless = replace(
        figures,
        contract=replace(contract, model=model),
        accuracy=replace(figures.accuracy, ap=0.0),
    )
    header, *rows = published_rows(replace(report, artifacts=(useless,)))
    nano = next(row for row in rows if row[0] == "yolox-nano")
    assert nano[header.index("AP here")] == f"fp32 0.0 ({figures.accuracy.pictures} pictures)"
    assert (nano[header.index("mAP")], nano[header.index("CPU ONNX ms")]) == ("25.8", "-")
    seven = next(row for row in rows if row[0] == "yolov7-l")
    assert (seven[header.index("mAP")], seven[header.index("T4 TensorRT ms")]) == (
        "51.4 (51.2)",
        "6.84",
    )


def test_the_terminal_says_on_how_many_pictures_an_accuracy_stands(
    report: BenchmarkReport,
) -> None:
    for figures in report.artifacts:
        assert figures.accuracy is not None
        count = figures.accuracy.pictures
        assert f"{figures.accuracy.ap:.4f} on {count} pictures" in as_text(report)
