"""Accuracy of the very file whose speed is measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgeyolo.benchmark.records import Accuracy
from edgeyolo.validation import ValidationRequest, validate


class CocoAccuracy:
    """Evaluates artifacts as ``edgeyolo val`` does.

    Args:
        request: Labels, pictures, device and threads; its model is replaced by each artifact.
    """

    def __init__(self, request: ValidationRequest) -> None:
        self._request = request

    def __call__(self, artifact: Path) -> Accuracy:
        found = validate(replace(self._request, model=artifact))
        return Accuracy(
            ap=found.report.ap,
            ap50=found.report.ap50,
            pictures=found.report.pictures,
            dataset=found.dataset.name,
        )
