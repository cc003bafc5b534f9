"""Detections as a COCO results file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from edgeyolo.atomic import write_text
from edgeyolo.data.dataset import DetectionDataset
from edgeyolo.evaluation.coco import PictureResult, coco_results


def write_coco_results(
    path: Path, results: Iterable[PictureResult], dataset: DetectionDataset
) -> None:
    """Write what COCO's tools read: image_id, category_id, bbox (x, y, w, h), score.

    Boxes are rounded to a thousandth of a pixel and scores to five decimals, as the official
    tools write them.
    """
    rows = coco_results(results, dataset)
    for row in rows:
        row["bbox"] = [round(value, 3) for value in row["bbox"]]
        row["score"] = round(row["score"], 5)
    write_text(path, json.dumps(rows))
