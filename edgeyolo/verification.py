"""An artifact against the checkpoint it was made from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeyolo.checkpoints.load import LoadedModel, load_model
from edgeyolo.contract import ParityRecord
from edgeyolo.errors import ArtifactError
from edgeyolo.evaluation.parity import compare
from edgeyolo.evaluation.preprocess_check import CHECKED_PICTURES, check_weights
from edgeyolo.evaluation.torch_session import exact_session, torch_predictor
from edgeyolo.families import FAMILIES
from edgeyolo.models.architecture import Activation
from edgeyolo.pictures import list_pictures, read_picture
from edgeyolo.predictor import load
from edgeyolo.spec import ModelSpec, Precision


@dataclass(frozen=True, slots=True)
class Verification:
    """Attributes:
    parity: The comparison.
    same_weights: Whether the artifact's contract names this very checkpoint.
    warnings: What a user should know, one line each.
    preprocessing: Why the artifact's preprocessing must be wrong; ``None`` where it may be right.
    """

    parity: ParityRecord
    same_weights: bool
    warnings: tuple[str, ...]
    preprocessing: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the artifact detects what the checkpoint was trained to."""
        return self.parity.passed and self.preprocessing is None


def verify(
    artifact: Path,
    checkpoint: Path,
    images: Path,
    *,
    names_file: Path | None = None,
    activation: Activation | None = None,
    limit: int | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> Verification:
    """Run artifact and checkpoint on the pictures of a folder and compare.

    The checkpoint is run with its own official preprocessing, not with what the artifact's
    contract claims, so that a wrong contract is noticed. What a checkpoint does not tell, the
    release that it is of, is taken from the contract and tried on the pictures.

    Args:
        names_file: Class names of a checkpoint that has none; the artifact's where ``None``.
        activation: Of a checkpoint that does not tell; the published one where ``None``.

    Raises:
        ArtifactError: The two are different detectors (family, classes).
    """
    paths = list_pictures(images)[:limit]
    with load(artifact, device=device, threads=threads) as candidate:
        model = candidate.model
        loaded = load_model(
            checkpoint,
            names_file=names_file,
            input_hw=model.input_hw,
            known_names=model.class_names,
            activation=activation,
        )
        spec = loaded.spec
        if spec.family is not model.family or spec.num_classes != model.num_classes:
            raise ArtifactError(
                f"{artifact} is {model.name} with {model.num_classes} classes, {checkpoint} is "
                f"{spec.name} with {spec.num_classes}: they cannot be compared"
            )
        if loaded.checkpoint.spec is None and _is_legacy(model):
            spec = dataclasses.replace(spec, preprocess=model.preprocess)
            loaded = dataclasses.replace(loaded, spec=spec)
        warnings: list[str] = []
        preprocessing = _implausible(loaded, model, paths, warnings)
        contract = candidate.contract
        precision = contract.precision if contract else Precision.FP32
        record = compare(
            torch_predictor(loaded.model, spec, thresholds=candidate.thresholds),
            candidate,
            (read_picture(path) for path in paths),
            precision=precision,
            image_source=images.name,
            exact=lambda: exact_session(loaded.model, spec),
        )
    same = contract is not None and contract.provenance.source_sha256 == loaded.checkpoint.sha256
    if not same:
        warnings.append(f"{artifact} was not made from {checkpoint.name} (its digest differs)")
    if spec.preprocess != model.preprocess:
        warnings.append(
            f"the artifact preprocesses as {dataclasses.asdict(model.preprocess)}, the official "
            f"way of {spec.name} is {dataclasses.asdict(spec.preprocess)}"
        )
    return Verification(record, same, tuple(warnings), preprocessing)


def _is_legacy(model: ModelSpec) -> bool:
    return model.preprocess == FAMILIES[model.family].legacy_preprocess(model.input_hw)


def _implausible(
    loaded: LoadedModel, model: ModelSpec, paths: Sequence[Path], warnings: list[str]
) -> str | None:
    """Why *model*'s preprocessing must be wrong; *warnings* where the pictures do not tell."""
    own = loaded.checkpoint.spec
    if own is not None and loaded.spec.preprocess != model.preprocess:
        return f"the preprocessing is not the one that {loaded.checkpoint.path.name} tells"
    check = check_weights(loaded, [read_picture(path) for path in paths[:CHECKED_PICTURES]])
    if check is None:
        return None
    if not check.conclusive:
        warnings.append(
            f"the preprocessing was not checked: nothing recognised in {len(paths)} pictures"
        )
    return None if check.plausible else f"the preprocessing looks wrong: {check.describe()}"
