"""One HTML file with everything inside: tables, charts, pictures, machine."""

from __future__ import annotations

from html import escape

from edgeyolo.benchmark.charts import Point, accuracy_chart, stage_bars
from edgeyolo.benchmark.published import COCO_CLASSES, NOTE, VAL_AP
from edgeyolo.benchmark.records import ArtifactFigures, BenchmarkReport
from edgeyolo.benchmark.report_style import CSS
from edgeyolo.benchmark.tables import BACKEND_NAMES, accuracy_text, published_rows


def as_html(report: BenchmarkReport) -> str:
    """The report as one page without scripts; nothing is loaded from anywhere."""
    sections = [
        _head(report),
        _section("Speed", _table(_speed(report)) + _explained(report)),
        _section("Where the time goes", stage_bars(report.artifacts)),
        _section("Accuracy and latency", _accuracy(report)),
        _section("Parity with PyTorch", _parity(report)),
        _section("Memory, files and start", _table(_resources(report))),
        _section("Detections side by side", _pictures(report)),
        _section("Published networks", _published(report)),
        _section("Machine", _machine(report)),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>edgeyolo benchmark</title>\n<style>{CSS}</style></head>\n"
        f"<body>\n{chr(10).join(sections)}\n</body></html>\n"
    )


def _head(report: BenchmarkReport) -> str:
    warnings = "".join(f'<p class="warn">{escape(text)}</p>' for text in report.warnings)
    height, width = report.frame_hw
    return (
        "<h1>edgeyolo benchmark</h1>"
        f'<p class="soft">{escape(report.created)} · {escape(report.machine.line())}</p>'
        f'<p class="soft">{report.frames} frames of {escape(report.source)} '
        f"({width}×{height}), {report.request.rounds} rounds in turns, "
        f"{report.request.seconds:g} s each</p>{warnings}"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>" if content else ""


def _table(rows: list[list[str]]) -> str:
    """Header first; on a phone each row becomes a card. Cells are escaped here."""
    header, *body = rows
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    lines = []
    for number, row in enumerate(body, 1):
        cells = "".join(
            f'<td data-name="{escape(name)}">{escape(cell)}</td>'
            for name, cell in zip(header[1:], row[1:], strict=True)
        )
        lines.append(
            f'<tr><th scope="row"><span><span class="number">{number}</span> '
            f"{escape(row[0])}</span></th>{cells}</tr>"
        )
    return (
        f'<div class="wide"><table class="stacked"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _speed(report: BenchmarkReport) -> list[list[str]]:
    rows = [
        [
            "artifact",
            "runs on",
            "bare p50 / p95 / p99, ms",
            "predict p50 / p95 / p99, ms",
            "stream p50 / p95 / p99, ms",
            "bare /s",
            "predict /s",
            "stream /s",
            "stream / bare",
            "AP",
        ]
    ]
    for figures in report.artifacts:
        contract = figures.contract
        times = [
            f"{one.p50:.2f} / {one.p95:.2f} / {one.p99:.2f}"
            for one in (figures.bare, figures.sync, figures.stream)
        ]
        rates = [figures.bare_per_s, figures.sync_per_s, figures.stream_per_s]
        rows.append(
            [
                figures.name,
                f"{BACKEND_NAMES[contract.backend]} {contract.precision} {figures.device}",
                *times,
                *(f"{rate:.1f}" for rate in rates),
                f"{figures.stream_over_bare:.3f}",
                accuracy_text(figures.accuracy) or "–",
            ]
        )
    return rows


def _explained(report: BenchmarkReport) -> str:
    accuracy = report.artifacts[0].accuracy
    dataset = (
        f"AP: COCO accuracy of the same files on {accuracy.pictures} pictures of "
        f"{accuracy.dataset}{f', without {accuracy.left_out}' if accuracy.left_out else ''}."
        if accuracy
        else "AP was not measured; give --annotations."
    )
    return (
        '<p class="soft">Bare: the vendor’s call on a resident tensor. Predict: one frame after '
        "the other, from picture to detections. Stream: stages overlapped, from one result to the "
        f"next. {escape(dataset)}</p>"
    )


def _accuracy(report: BenchmarkReport) -> str:
    points = [
        point
        for number, figures in enumerate(report.artifacts, 1)
        if (point := _point(number, figures)) is not None
    ]
    if not points:
        return '<p class="soft">No accuracy is known; give --annotations to measure it.</p>'
    hollow = any(not point.measured for point in points)
    note = (
        "Hollow: the accuracy that the authors published for the float network on val2017 at its "
        "usual size, not measured here."
        if hollow
        else "Measured here, in percent. Up and to the left is better."
    )
    return accuracy_chart(points) + f'<p class="soft">{note}</p>'


def _point(number: int, figures: ArtifactFigures) -> Point | None:
    if figures.accuracy is not None:
        return Point(number, figures.bare.p50, figures.accuracy.ap * 100, measured=True)
    model = figures.contract.model
    ap = VAL_AP.get(model.name)
    if ap is None or model.num_classes != COCO_CLASSES:
        return None
    return Point(number, figures.bare.p50, ap, measured=False)


def _parity(report: BenchmarkReport) -> str:
    """What each export recorded; nothing where no artifact has a record."""
    rows = [
        ["artifact", "pictures", "detections found", "only here", "boxes within", "scores within"]
    ]
    for figures in report.artifacts:
        parity = figures.contract.measured.parity
        if parity is None:
            rows.append([figures.name, "not compared", "–", "–", "–", "–"])
            continue
        rows.append(
            [
                figures.name,
                f"{parity.images} ({parity.image_source})",
                f"{parity.matched} of {parity.reference}",
                str(parity.extra),
                f"{parity.max_box_error_px:.3g} px",
                f"{parity.max_score_error:.2g}",
            ]
        )
    if all(figures.contract.measured.parity is None for figures in report.artifacts):
        return ""
    note = "As recorded when each file was exported: its detections beside those of PyTorch."
    return _table(rows) + f'<p class="soft">{note}</p>'


def _resources(report: BenchmarkReport) -> list[list[str]]:
    rows = [["artifact", "model", "input", "file", "load", "first predict", "resident", "peak"]]
    with_power = report.with_power
    rows[0] += ["streaming power", "energy a frame", "drawn by"] if with_power else []
    for figures in report.artifacts:
        model = figures.contract.model
        height, width = model.input_hw
        row = [
            figures.name,
            model.name,
            f"{width}×{height}",
            f"{figures.file_bytes / 1e6:.1f} MB",
            f"{figures.load_ms:.0f} ms",
            f"{figures.first_ms:.1f} ms",
            f"{figures.resident_mb:.0f} MB",
            f"{figures.peak_mb:.0f} MB",
        ]
        if with_power:
            watts, joules = figures.stream_watts, figures.joules_a_frame
            row.append("–" if watts is None else f"{watts:.1f} W")
            row.append("–" if joules is None else f"{joules * 1e3:.1f} mJ")
            row.append(figures.power_source or "–")
        rows.append(row)
    return rows


def _pictures(report: BenchmarkReport) -> str:
    rows = []
    for place in range(max(len(figures.pictures) for figures in report.artifacts)):
        shown = []
        for number, figures in enumerate(report.artifacts, 1):
            picture = figures.pictures[place]
            shown.append(
                f'<figure><img alt="{escape(figures.name)}: {escape(picture.found)}" '
                f'src="data:image/jpeg;base64,{picture.jpeg_base64}">'
                f'<figcaption><span class="number">{number}</span> {escape(figures.name)}: '
                f"{escape(picture.found)}</figcaption></figure>"
            )
        name = report.artifacts[0].pictures[place].name
        rows.append(f'<p>{escape(name)}</p><div class="pictures">{"".join(shown)}</div>')
    return "".join(rows)


def _published(report: BenchmarkReport) -> str:
    # Numbers name artifacts elsewhere; these rows are networks.
    header, *body = published_rows(report)
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    lines = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(
            f'<td data-name="{escape(name)}">{escape(cell)}</td>'
            for name, cell in zip(header[1:], row[1:], strict=True)
        )
        + "</tr>"
        for row in body
    )
    return (
        f'<div class="wide"><table class="stacked"><thead><tr>{head}</tr></thead>'
        f'<tbody>{lines}</tbody></table></div><p class="soft">{escape(NOTE)}</p>'
    )


def _machine(report: BenchmarkReport) -> str:
    machine, sensors = report.machine, report.sensors
    threads = report.request.threads
    facts = {
        "board": machine.board,
        "processor": f"{machine.cpu} ({machine.architecture}), {machine.cpus} CPUs usable",
        "features": ", ".join(feature.value for feature in machine.cpu_features),
        "memory": f"{machine.memory_mb / 1024:.1f} GiB",
        "system": machine.system,
        "Linux for Tegra": machine.l4t,
        "threads": str(threads) if threads else "the vendors’ defaults",
        "CPU clock": _clock(sensors.cpu_mhz),
        "GPU clock": _clock(sensors.gpu_mhz),
        "warmest": None if sensors.warmest_c is None else f"{sensors.warmest_c:.0f} °C",
        "load": None if sensors.load is None else f"{sensors.load:.1f}",
        "Python": machine.python,
        **report.versions,
    }
    lines = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
        for name, value in facts.items()
        if value
    )
    digests = "".join(
        f'<p class="soft"><span class="number">{number}</span> {escape(figures.path)}: SHA-256 '
        f"{figures.sha256}</p>"
        for number, figures in enumerate(report.artifacts, 1)
    )
    return f"<table><tbody>{lines}</tbody></table>{digests}"


def _clock(spread_mhz: tuple[float, float, float] | None) -> str | None:
    if spread_mhz is None:
        return None
    low, middle, high = spread_mhz
    return f"{middle:.0f} MHz ({low:.0f} to {high:.0f})"
