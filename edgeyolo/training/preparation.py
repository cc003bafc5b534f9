"""Data and network of a training, from its request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edgeyolo.checkpoints.load import LoadedModel, load_model
from edgeyolo.data.bad_labels import judge_labels
from edgeyolo.data.batch_formats import BATCH_FORMATS
from edgeyolo.data.batches import TrainingBatches
from edgeyolo.data.checking import usable_dataset
from edgeyolo.data.dataset import DetectionDataset, ProblemKind
from edgeyolo.data.labels import has_split, read_dataset
from edgeyolo.data.sample_source import CacheMode, DatasetSource
from edgeyolo.errors import DatasetError, TrainingError
from edgeyolo.families import FAMILIES
from edgeyolo.models.architecture import Architecture
from edgeyolo.models.detector import Detector
from edgeyolo.models.zoo import build_architecture
from edgeyolo.spec import ModelSpec
from edgeyolo.training.anchors import check_anchors
from edgeyolo.training.batch_source import on_device
from edgeyolo.training.batch_statistics import (
    balance_filters,
    measure_norms,
    normalize_filters,
    norms_are_neutral,
    with_neutral_norms,
)
from edgeyolo.training.distributed import Ranks
from edgeyolo.training.plan import TrainingPlan
from edgeyolo.training.plan_parts import loss_for
from edgeyolo.training.recipe import YoloV7Recipe
from edgeyolo.training.request import TrainingRequest
from edgeyolo.training.run_folder import CACHE
from edgeyolo.training.transfer import transfer
from edgeyolo.training.yolov7_loss import Assignment

Say = Callable[[str], None]
# Problems of a whole picture, of which the first are named at the start.
_PICTURE_LOST = (
    ProblemKind.MISSING_PICTURE,
    ProblemKind.UNREADABLE_PICTURE,
    ProblemKind.TRUNCATED_PICTURE,
    ProblemKind.SIZE_MISMATCH,
    ProblemKind.UNCLEAR_PICTURE,
    ProblemKind.SHARED_LABELS,
)
_SHOWN = 5
# Pictures on which the batch norms of folded weights are measured.
_STATISTICS_PICTURES = 128


def datasets(
    request: TrainingRequest, say: Say
) -> tuple[DetectionDataset, DetectionDataset | None]:
    """Checked pictures to train on, and those to evaluate on, if any.

    Raises:
        DatasetError: Nothing usable, no object to learn, or labels to evaluate on that are not.
        TrainingError: The two have different classes.
    """
    data = Path(request.data)
    if request.val is None and request.val_images is not None:
        raise TrainingError("--val-images needs --val")
    found = read_dataset(
        data, images=_path(request.images), class_names=request.names, split=request.split
    )
    # Training pictures that cannot be decoded are replaced on the way; these are many.
    training = _checked(found, say, decode=False)
    _demand_objects(training, data)
    validation = None
    evaluated = Path(request.val) if request.val is not None else data
    if request.val is not None or has_split(data, request.val_split):
        images = request.images if request.val is None else request.val_images
        found = read_dataset(
            evaluated,
            images=_path(images),
            # Formats that name no classes, or only those that occur, have those of the training.
            class_names=training.class_names,
            split=request.val_split,
        )
        validation = _checked(found, say, decode=True)
        left_out = judge_labels(validation, evaluated, _path(images), skip=request.skip_bad_labels)
        if left_out:
            say(f"{validation.name}: left out of the evaluation: {left_out}")
        if not validation.boxes_per_class().any():
            say(f"{validation.name} has no object: the last weights, not the best, are the result")
            return training, None
    elif request.val_split != "val":
        raise TrainingError(f"{data} has no split {request.val_split!r}; give --val")
    else:
        say("no validation pictures (give --val): the last weights will be the result")
    if validation is not None and set(validation.class_names) - set(training.class_names):
        unknown = sorted(set(validation.class_names) - set(training.class_names))
        raise TrainingError(
            f"{validation.name} has classes that are not trained: {', '.join(unknown[:5])}"
        )
    return training, validation


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _checked(dataset: DetectionDataset, say: Say, *, decode: bool) -> DetectionDataset:
    report = usable_dataset(dataset, decode=decode)
    usable = report.dataset
    say(f"{usable.name}: {len(usable)} pictures, {usable.num_boxes} objects")
    lost = [problem for problem in report.problems if problem.kind in _PICTURE_LOST]
    for problem in lost[:_SHOWN]:
        say(f"left out: {problem.kind.value}: {problem}")
    if len(lost) > _SHOWN:
        say(f"left out: {len(lost) - _SHOWN} more pictures")
    if report.problems:
        say(f"{usable.name}: {len(report.problems)} remarks; see: edgeyolo data check")
    return replace(usable, problems=report.problems)


def _demand_objects(dataset: DetectionDataset, source: Path) -> None:
    """A network that is shown nothing but background learns to find nothing."""
    if dataset.boxes_per_class().any():
        return
    bare = [one for one in dataset.problems if one.kind is ProblemKind.NO_LABELS]
    errors = [one for one in dataset.problems if one.kind.is_error]
    reasons = []
    if bare:
        reasons.append(
            f"{len(bare)} of {len(dataset)} pictures have no label file, the first is {bare[0]}"
        )
    if errors:
        reasons.append(f"{errors[0].kind.value}: {errors[0]} (errors in all: {len(errors)})")
    if dataset.num_boxes:
        reasons.append(f"{dataset.num_boxes} labels are of crowds or difficult objects")
    if not reasons:
        reasons.append(f"the labels of its {len(dataset)} pictures are empty")
    raise DatasetError(
        f"{dataset.name} has no object to learn: {'; '.join(reasons)}; "
        f"see: edgeyolo data check {source}"
    )


def batches_for(
    request: TrainingRequest,
    plan: TrainingPlan,
    dataset: DetectionDataset,
    ranks: Ranks,
    device: torch.device,
) -> TrainingBatches:
    """This process's batches, made for *device*."""
    folder = Path(request.output) / CACHE if request.cache is CacheMode.DISK else None
    source = DatasetSource(dataset, plan.input_hw, cache=request.cache, cache_folder=folder)
    return TrainingBatches(
        source,
        plan.recipe.augmentation,
        family=request.architecture(1).family,
        input_hw=plan.input_hw,
        batch_size=request.batch // ranks.count,
        seed=plan.seed,
        workers=request.workers,
        rank=ranks.rank,
        world=ranks.count,
        pin_memory=device.type == "cuda",
    )


def starting_model(
    request: TrainingRequest,
    plan: TrainingPlan,
    dataset: DetectionDataset,
    batches: TrainingBatches,
    say: Say,
) -> Detector:
    """The network with the weights that training starts from.

    Raises:
        TrainingError: The weights are of another network.
        CheckpointError: The weights cannot be read.
    """
    architecture = request.architecture(len(dataset.class_names))
    loaded = None if request.weights is None else load_model(Path(request.weights))
    if loaded is not None and loaded.spec.family is not architecture.family:
        raise TrainingError(
            f"{request.weights} is {loaded.spec.name}; {request.model} cannot start from it"
        )
    if isinstance(plan.recipe, YoloV7Recipe):
        if loaded is not None and loaded.spec.anchors_px is not None:
            architecture = replace(architecture, anchors_px=loaded.spec.anchors_px)
        architecture = _with_fitting_anchors(architecture, plan, plan.recipe, dataset, say)
    torch.manual_seed(plan.seed)
    model = build_architecture(architecture)
    if loaded is not None:
        source = _trainable(loaded, plan, batches, say)
        report = transfer(source.state_dict(), loaded.spec.class_names, model, dataset.class_names)
        say(f"{request.weights}: {report.text(len(dataset.class_names))}")
    return model


def _trainable(
    loaded: LoadedModel, plan: TrainingPlan, batches: TrainingBatches, say: Say
) -> Detector:
    """The network of *loaded*, with batch statistics measured where folding has lost them."""
    model = loaded.model
    if loaded.checkpoint.architecture.folded:
        model = with_neutral_norms(model)
    if not norms_are_neutral(model):
        return model

    cpu = torch.device("cpu")

    def inputs() -> Iterator[torch.Tensor]:
        seen = 0
        for batch in batches.epoch(0, closing=True):
            yield on_device(batch, cpu, model.family)[0]
            seen += len(batch.images)
            if seen >= _STATISTICS_PICTURES:
                return

    normalize_filters(model)
    pictures = measure_norms(model, inputs())
    images, targets = on_device(next(batches.epoch(0)), cpu, model.family)
    # Sizes of gradients are wanted: which class an object has is of no account here.
    BATCH_FORMATS[model.family].class_ids(targets).clamp_(max=model.num_classes - 1)
    recipe = plan.recipe
    if isinstance(recipe, YoloV7Recipe):
        recipe = replace(recipe, assignment=Assignment.PLAIN)
    loss = loss_for(model, replace(plan, recipe=recipe), Ranks())
    state = {name: value.clone() for name, value in model.state_dict().items()}
    torch.autograd.backward(loss(model.train()(images), targets).total)
    model.load_state_dict(state)  # the statistics, which the batch has moved
    factor = balance_filters(model.eval())
    model.zero_grad()
    say(
        f"{loaded.checkpoint.path.name} is folded; measured batch norms on {pictures} pictures, "
        f"enlarged filters up to {factor:.1f} times"
    )
    return model


def _with_fitting_anchors(
    architecture: Architecture,
    plan: TrainingPlan,
    recipe: YoloV7Recipe,
    dataset: DetectionDataset,
    say: Say,
) -> Architecture:
    if not recipe.auto_anchor or architecture.anchors_px is None:
        return architecture
    check = check_anchors(
        object_sizes(dataset, plan.input_hw),
        architecture.anchors_px,
        threshold=recipe.anchor_threshold,
        min_recall=recipe.min_anchor_recall,
        seed=plan.seed,
    )
    if not check.changed:
        say(f"anchors: best possible recall {check.recall:.4f}")
        return architecture
    say(f"new anchors: best possible recall {check.recall_before:.4f} -> {check.recall:.4f}")
    return replace(architecture, anchors_px=check.anchors_px)


def object_sizes(dataset: DetectionDataset, input_hw: tuple[int, int]) -> NDArray[np.float64]:
    """(N, 2) width and height of all objects in pixels of the network input."""
    sizes = [np.zeros((0, 2))]
    for picture in dataset.pictures:
        ratio = min(input_hw[0] / picture.hw[0], input_hw[1] / picture.hw[1])
        boxes = picture.boxes_xyxy[~picture.crowd]
        sizes.append((boxes[:, 2:] - boxes[:, :2]) * ratio)
    return np.concatenate(sizes)


def spec_of(model: Detector, class_names: tuple[str, ...], input_hw: tuple[int, int]) -> ModelSpec:
    """What the trained detector is, for its checkpoints."""
    return ModelSpec(
        family=model.family,
        variant=model.variant,
        class_names=class_names,
        strides=model.strides,
        anchors_px=model.anchors_px,
        preprocess=FAMILIES[model.family].preprocess(input_hw),
    )
