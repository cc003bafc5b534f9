"""An artifact against the checkpoint it was made from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from edgeyolo.checkpoints.load import load_model
from edgeyolo.contract import ParityRecord
from edgeyolo.errors import ArtifactError
from edgeyolo.evaluation.parity import compare
from edgeyolo.evaluation.torch_session import torch_predictor
from edgeyolo.families.yolox import YOLOX
from edgeyolo.pictures import list_pictures, read_picture
from edgeyolo.predictor import load
from edgeyolo.spec import Precision


@dataclass(frozen=True, slots=True)
class Verification:
    """Attributes:
    parity: The comparison.
    same_weights: Whether the artifact's contract names this very checkpoint.
    warnings: What a user should know, one line each.
    """

    parity: ParityRecord
    same_weights: bool
    warnings: tuple[str, ...]


def verify(
    artifact: Path,
    checkpoint: Path,
    images: Path,
    *,
    limit: int | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> Verification:
    """Run artifact and checkpoint on the pictures of a folder and compare.

    The checkpoint is run with its own official preprocessing, not with what the artifact's
    contract claims, so that a wrong contract is noticed.

    Raises:
        ArtifactError: The two are different detectors (family, classes).
    """
    paths = list_pictures(images)[:limit]
    with load(artifact, device=device, threads=threads) as candidate:
        model = candidate.model
        legacy = model.preprocess == YOLOX.legacy_preprocess(model.input_hw)
        loaded = load_model(
            checkpoint, input_hw=model.input_hw, known_names=model.class_names, legacy=legacy
        )
        spec = loaded.spec
        if spec.family is not model.family or spec.num_classes != model.num_classes:
            raise ArtifactError(
                f"{artifact} is {model.name} with {model.num_classes} classes, {checkpoint} is "
                f"{spec.name} with {spec.num_classes}: they cannot be compared"
            )
        contract = candidate.contract
        precision = contract.precision if contract else Precision.FP32
        record = compare(
            torch_predictor(loaded.model, spec, thresholds=candidate.thresholds),
            candidate,
            (read_picture(path) for path in paths),
            precision=precision,
            image_source=images.name,
        )
    same = contract is not None and contract.provenance.source_sha256 == loaded.checkpoint.sha256
    warnings = []
    if not same:
        warnings.append(f"{artifact} was not made from {checkpoint.name} (its digest differs)")
    if spec.preprocess != model.preprocess:
        warnings.append(
            f"the artifact preprocesses as {dataclasses.asdict(model.preprocess)}, the official "
            f"way of {spec.name} is {dataclasses.asdict(spec.preprocess)}"
        )
    return Verification(record, same, tuple(warnings))
