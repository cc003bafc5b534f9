"""Losses, accuracy and learning rate of a training as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgeyolo.atomic import atomic_file
from edgeyolo.errors import needs


def draw_curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Write a PNG with one panel per subject.

    Args:
        history: One row per epoch.
        path: Where to write, atomically.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    with needs("matplotlib", extra="train"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    names = list(dict.fromkeys(name for row in history for name in row))
    panels = {
        "loss": [name for name in names if name.startswith("loss/") and "positives" not in name],
        "accuracy": [name for name in names if name in ("ap", "ap50")],
        "learning rate": ["lr"],
        "pictures per second": ["pictures_per_second"],
    }
    figure = Figure(figsize=(10, 7), layout="constrained")
    FigureCanvasAgg(figure)
    for index, (title, series) in enumerate(panels.items()):
        axes = figure.add_subplot(2, 2, index + 1)
        axes.set_title(title)
        axes.set_xlabel("epoch")
        for name in series:
            points = [(row["epoch"] + 1, row[name]) for row in history if name in row]
            if points:
                epochs, values = zip(*points, strict=True)
                axes.plot(epochs, values, marker=".", label=name.removeprefix("loss/"))
        if len(series) > 1 and axes.lines:
            axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
