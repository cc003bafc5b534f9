"""Accuracy of the very file whose speed is measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgeyolo.benchmark.records import Accuracy
from edgeyolo.predictor import locate
from edgeyolo.validation import ValidationRequest, labels_for, validate


class CocoAccuracy:
    """Evaluates artifacts as ``edgeyolo val`` does.

    Args:
        request: Labels, pictures, device and threads; its model is replaced by each artifact.

    Raises:
        DatasetError: The labels cannot be used; said before hours of measuring.
    """

    def __init__(self, request: ValidationRequest) -> None:
        labels_for(request, locate(request.model)[1].model.class_names)
        self._request = request

    def __call__(self, artifact: Path) -> Accuracy:
        found = validate(replace(self._request, model=artifact))
        return Accuracy(
            ap=found.report.ap,
            ap50=found.report.ap50,
            pictures=found.report.pictures,
            dataset=found.dataset.name,
            left_out=str(found.left_out) if found.left_out else "",
        )
