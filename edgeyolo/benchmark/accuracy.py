"""Accuracy of the very file whose speed is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgeyolo.benchmark.records import Accuracy
from edgeyolo.errors import DatasetError, UnsupportedError
from edgeyolo.evaluation.coco import class_mapping
from edgeyolo.families import FAMILIES
from edgeyolo.predictor import check_inside, locate
from edgeyolo.validation import ValidationRequest, labels_for, validate


class CocoAccuracy:
    """Evaluates artifacts as ``edgeyolo val`` does.

    Args:
        request: Labels, pictures, device and threads; its model is replaced by each artifact.
        artifacts: All that will be evaluated.

    Raises:
        DatasetError: The labels cannot be used, or not for all artifacts; said before hours of
            measuring.
        UnsupportedError: An artifact cannot be held to the settings of an evaluation.
    """

    def __init__(self, request: ValidationRequest, artifacts: Sequence[Path]) -> None:
        contracts = [locate(artifact)[1] for artifact in artifacts]
        dataset, _ = labels_for(request, contracts[0].model.class_names)
        for artifact, contract in zip(artifacts, contracts, strict=True):
            without = f"leave {artifact} or --annotations out"
            settings = FAMILIES[contract.model.family].evaluation
            try:
                check_inside(contract.output, contract.thresholds, settings)
            except ValueError as error:
                raise UnsupportedError(f"no AP of {artifact}: {error}; {without}") from error
            try:
                class_mapping(contract.model.class_names, dataset.class_names, request.matching)
            except DatasetError as error:
                raise DatasetError(f"no AP of {artifact}: {error}; {without}") from error
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
