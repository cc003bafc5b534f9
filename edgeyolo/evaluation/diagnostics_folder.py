"""The diagnostics as files: tables as JSON and CSV, curves and pictures as PNG."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeyolo.atomic import atomic_folder, check_folder_target
from edgeyolo.data.dataset import DetectionDataset
from edgeyolo.data.pictures import read_picture
from edgeyolo.errors import needs
from edgeyolo.evaluation.coco import PictureResult
from edgeyolo.evaluation.diagnostics import (
    ConfusionMatrix,
    MistakeKind,
    PictureMistakes,
    PrecisionRecall,
    confusion_matrix,
    precision_recall,
    worst_pictures,
)
from edgeyolo.pictures import encode_picture

# BGR: missed red, invented blue, confused orange.
_MARKER = ".edgeyolo-diagnostics.json"
_COLORS = {
    MistakeKind.MISSED: (40, 40, 230),
    MistakeKind.INVENTED: (230, 120, 30),
    MistakeKind.CONFUSED: (0, 165, 255),
}


def check_diagnostics_target(folder: Path) -> None:
    """Raise ``OutputError`` where :func:`write_diagnostics` could not write *folder*."""
    check_folder_target(folder, marker=_MARKER)


def write_diagnostics(
    folder: Path, results: Sequence[PictureResult], dataset: DetectionDataset
) -> None:
    """Write ``confusion.csv/.png``, ``curves.json/.png`` and ``worst/*.png``.

    Raises:
        OutputError: The folder cannot be written.
        MissingPackageError: matplotlib is not installed.
    """
    matrix = confusion_matrix(results, dataset)
    curves = precision_recall(results, dataset)
    worst = worst_pictures(results, dataset)
    with atomic_folder(folder, marker=_MARKER) as temporary:
        _write_matrix(temporary, matrix)
        _write_curves(temporary, curves)
        (temporary / "worst").mkdir()
        for number, item in enumerate(worst):
            content = encode_picture(drawn_mistakes(item), ".png")
            name = f"{number:02d}-{len(item.mistakes)}-errors-{item.path.stem}.png"
            (temporary / "worst" / name).write_bytes(content)


def drawn_mistakes(item: PictureMistakes) -> NDArray[np.uint8]:
    """The picture with its errors: missed red, invented blue, confused orange; BGR."""
    frame = read_picture(item.path, ignore_exif=item.ignore_exif).copy()
    for mistake in item.mistakes:
        x1, y1, x2, y2 = (round(value) for value in mistake.box_xyxy)
        color = _COLORS[mistake.kind]
        cv2.rectangle(frame, (x1, y1), (x2, y2), color, 2)
        text = f"{mistake.kind.value}: {mistake.text}"
        place = (max(x1, 0) + 2, max(y1 - 4, 12))
        cv2.putText(frame, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, color, 1, cv2.LINE_AA)
    return frame


def _write_matrix(folder: Path, matrix: ConfusionMatrix) -> None:
    names = [*matrix.class_names, "background"]
    with (folder / "confusion.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["true \\ detected", *names])
        for name, row in zip(names, matrix.counts.tolist(), strict=True):
            writer.writerow([name, *row])
    with needs("matplotlib", extra="train"):
        from matplotlib.figure import Figure
    # Rows as parts of their sum: rare classes are as visible as frequent ones.
    parts = matrix.counts / np.maximum(matrix.counts.sum(axis=1, keepdims=True), 1)
    side = min(max(0.22 * len(names), 5.0), 24.0)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(parts, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xlabel(f"detected (score {matrix.min_score:g} and above)")
    axes.set_ylabel("true")
    figure.savefig(folder / "confusion.png", dpi=110)


def _write_curves(folder: Path, curves: Sequence[PrecisionRecall]) -> None:
    document = [
        {
            "class": curve.class_name,
            "best_score": curve.best_score,
            "precision": [round(value, 5) for value in curve.precision.tolist()],
            "recall": [round(value, 5) for value in curve.recall.tolist()],
            "scores": [round(value, 5) for value in curve.scores.tolist()],
        }
        for curve in curves
    ]
    (folder / "curves.json").write_text(json.dumps(document), encoding="utf-8")
    with needs("matplotlib", extra="train"):
        from matplotlib.figure import Figure
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    for curve in curves:
        label = curve.class_name if len(curves) <= 12 else None
        axes.plot(curve.recall, curve.precision, linewidth=1, alpha=0.7, label=label)
    axes.set(xlabel="recall", ylabel="precision at IoU 0.5", xlim=(0, 1), ylim=(0, 1.02))
    if 0 < len(curves) <= 12:
        axes.legend(fontsize=8)
    figure.savefig(folder / "curves.png", dpi=110)
