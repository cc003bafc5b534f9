"""COCO accuracy of an artifact (without torch) or of a checkpoint, by its family's own rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from edgeyolo.contract import AccuracyRecord
from edgeyolo.data.bad_labels import NOTHING, LeftOut, judge_labels
from edgeyolo.data.dataset import DetectionDataset
from edgeyolo.data.labels import read_dataset
from edgeyolo.errors import UnsupportedError
from edgeyolo.evaluation.coco import (
    ClassMatching,
    CocoReport,
    PictureResult,
    coco_report,
    collect,
)
from edgeyolo.families import FAMILIES
from edgeyolo.models.architecture import Activation
from edgeyolo.predictor import Predictor, load
from edgeyolo.runtimes.catalog import SUFFIXES
from edgeyolo.spec import MAX_THREADS, check_count

ARTIFACT_SUFFIXES = frozenset((*SUFFIXES, ".plan"))
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationRequest:
    """What is evaluated on what.

    Attributes:
        model: Artifact folder, vendor file, or checkpoint.
        annotations: COCO JSON, data-set YAML, or a folder of YOLO or VOC files.
        images: Folder of the pictures; beside the annotations where ``None``.
        split: Part of a data-set YAML.
        matching: How class names are matched.
        max_detections: Best so many of each picture; the family's number where ``None``.
        limit: Only so many pictures, the first.
        device: As for ``edgeyolo.load``.
        threads: CPU threads for the network.
        names_file: Class names of a checkpoint that has none; not for artifacts.
        input_hw: Input size of a checkpoint, its own where ``None``; not for artifacts.
        legacy: The checkpoint is of YOLOX's first release; not for artifacts.
        activation: Of a checkpoint that does not tell; not for artifacts.
        rectangular: Evaluate a YOLOv7 checkpoint as its published numbers were made.
        skip_bad_labels: Evaluate without labels that cannot be used and pictures that are missing.
    """

    model: Path
    annotations: Path
    images: Path | None = None
    split: str = "val"
    matching: ClassMatching = ClassMatching.STRICT
    max_detections: int | None = None
    limit: int | None = None
    device: str = "auto"
    threads: int | None = None
    names_file: Path | None = None
    input_hw: tuple[int, int] | None = None
    legacy: bool = False
    activation: Activation | None = None
    rectangular: bool = False
    skip_bad_labels: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """An evaluation, with all it was made from.

    Attributes:
        report: The twelve numbers.
        results: Every detection, for diagnostics and result files.
        dataset: The pictures that were evaluated.
        model_name: ``"yolox-nano"``.
        runs_on: Backend and precision, or PyTorch.
        input_hw: Network input.
        recorded: What an INT8 artifact's export measured, the float model's AP beside it.
        doubts: Which checks the artifact did not pass, as :attr:`Contract.doubts`.
        left_out: What the labels have and the evaluation has not.
    """

    report: CocoReport
    results: tuple[PictureResult, ...]
    dataset: DetectionDataset
    model_name: str
    runs_on: str
    input_hw: tuple[int, int]
    recorded: AccuracyRecord | None = None
    doubts: str | None = None
    left_out: LeftOut = NOTHING


def is_artifact(path: Path) -> bool:
    """Whether *path* is an artifact folder or a vendor file rather than a checkpoint."""
    return path.is_dir() or path.suffix.lower() in ARTIFACT_SUFFIXES


def validate(request: ValidationRequest, progress: Progress | None = None) -> Validation:
    """Evaluate a detector on labelled pictures.

    Raises:
        DatasetError: Labels or pictures cannot be used (unless *skip_bad_labels*), or the classes
            do not match.
        ArtifactError, CheckpointError: The model cannot be used.
        UnsupportedError: An option for checkpoints was given with an artifact.
    """
    with open_model(request) as predictor:
        dataset, left_out = labels_for(request, predictor.class_names)
        if request.limit is not None:
            dataset = dataset.first(request.limit)
        results = _collected(predictor, dataset, request, progress)
        contract = predictor.contract
        return Validation(
            report=coco_report(results, dataset),
            results=tuple(results),
            dataset=dataset,
            model_name=predictor.model.name,
            runs_on=f"{contract.backend} {contract.precision}" if contract else "PyTorch",
            input_hw=predictor.model.input_hw,
            recorded=contract.measured.accuracy if contract else None,
            doubts=contract.doubts if contract else None,
            left_out=left_out,
        )


def labels_for(
    request: ValidationRequest, class_names: tuple[str, ...]
) -> tuple[DetectionDataset, LeftOut]:
    """The labelled pictures of a request, and what was left out of them.

    Args:
        class_names: The model's.

    Raises:
        DatasetError: They cannot be used.
    """
    dataset = read_dataset(
        request.annotations,
        images=request.images,
        # A bare folder of YOLO labels has no names of its own; for other formats
        # these are not used, and the names must match.
        class_names=class_names if _is_bare_yolo(request.annotations) else None,
        split=request.split,
    )
    left_out = judge_labels(
        dataset, request.annotations, request.images, skip=request.skip_bad_labels
    )
    return dataset, left_out


def open_model(request: ValidationRequest) -> Predictor:
    """The predictor of an artifact, or the PyTorch model behind the same interface."""
    if is_artifact(request.model):
        _check_artifact_request(request)
        return load(request.model, device=request.device, threads=request.threads)
    # Only checkpoints need torch; on a device this line is never reached.
    import torch

    from edgeyolo.checkpoints.load import load_model
    from edgeyolo.evaluation.torch_session import torch_device, torch_predictor

    torch_device(request.device)  # before the checkpoint is read
    if request.threads is not None:
        check_count("threads", request.threads, MAX_THREADS)
        torch.set_num_threads(request.threads)
    loaded = load_model(
        request.model,
        names_file=request.names_file,
        input_hw=request.input_hw,
        legacy=request.legacy,
        activation=request.activation,
    )
    return torch_predictor(loaded.model, loaded.spec, device=request.device)


def _check_artifact_request(request: ValidationRequest) -> None:
    """An artifact's names, size and preprocessing are fixed: nothing asked for is passed over."""
    for option, given in (
        ("--names", request.names_file is not None),
        ("--input-size", request.input_hw is not None),
        ("--legacy", request.legacy),
        ("--activation", request.activation is not None),
    ):
        if given:
            raise UnsupportedError(
                f"{option} is for checkpoints; {request.model} is an artifact, whose contract says "
                "it: leave the option out, or export the checkpoint with it"
            )


def _collected(
    predictor: Predictor,
    dataset: DetectionDataset,
    request: ValidationRequest,
    progress: Progress | None,
) -> list[PictureResult]:
    settings = FAMILIES[predictor.model.family].evaluation
    if request.max_detections is not None:
        settings = replace(settings, max_detections=request.max_detections)
    if request.rectangular:
        from edgeyolo.evaluation.rectangular import collect_rectangular

        return collect_rectangular(
            predictor, dataset, settings, matching=request.matching, progress=progress
        )
    return collect(
        lambda frame_bgr: predictor.detect([frame_bgr], settings)[0],
        dataset.pictures,
        dataset,
        matching=request.matching,
        progress=progress,
    )


def _is_bare_yolo(annotations: Path) -> bool:
    return annotations.is_dir() and any(annotations.glob("*.txt"))
