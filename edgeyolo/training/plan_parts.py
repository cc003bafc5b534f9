"""The loss and the schedule that a plan asks for."""

from __future__ import annotations

from edgeyolo.errors import TrainingError
from edgeyolo.models.detector import Detector
from edgeyolo.training.distributed import Ranks
from edgeyolo.training.family_rules import TRAINING
from edgeyolo.training.plan import TrainingPlan
from edgeyolo.training.recipe import (
    YoloV7Recipe,
    YoloxRecipe,
    accumulation,
    warmup_iterations,
)
from edgeyolo.training.schedules import EpochDecay, Schedule, WarmCosine
from edgeyolo.training.yolov7_loss import Assignment, Gains, YoloV7Loss, YoloV7LossOptions
from edgeyolo.training.yolox_loss import YoloxLoss


def loss_for(model: Detector, plan: TrainingPlan, ranks: Ranks) -> YoloxLoss | YoloV7Loss:
    """The loss of *model* under *plan*.

    Raises:
        TrainingError: The recipe is another family's.
    """
    recipe = plan.recipe
    if not isinstance(recipe, TRAINING[model.family].recipe):
        raise TrainingError(f"{plan.model} cannot be trained with a {type(recipe).__name__}")
    if isinstance(recipe, YoloxRecipe):
        return YoloxLoss(
            model.num_classes, model.strides, sum_over_ranks=ranks.sum, ranks=ranks.count
        )
    if model.anchors_px is None:
        raise TrainingError(f"{plan.model} has no anchors to train with")
    gains = Gains(recipe.box_gain, recipe.objectness_gain, recipe.class_gain)
    return YoloV7Loss(
        model.num_classes,
        model.strides,
        model.anchors_px,
        gains.scaled(
            levels=len(model.strides),
            num_classes=model.num_classes,
            input_side=max(plan.input_hw),
        ),
        YoloV7LossOptions(
            assignment=recipe.assignment,
            anchor_threshold=recipe.anchor_threshold,
            label_smoothing=recipe.label_smoothing,
            focal_gamma=recipe.focal_gamma,
            class_positive_weight=recipe.class_positive_weight,
            objectness_positive_weight=recipe.objectness_positive_weight,
            height_for_both_axes=recipe.height_for_both_axes,
        ),
        sum_over_ranks=ranks.sum,
        ranks=ranks.count,
    )


def uses_auxiliary_heads(plan: TrainingPlan) -> bool:
    """Whether the auxiliary outputs of P6 models enter the loss."""
    recipe = plan.recipe
    return isinstance(recipe, YoloV7Recipe) and recipe.assignment is Assignment.AUXILIARY_OTA


def schedule_for(plan: TrainingPlan, iterations_per_epoch: int) -> Schedule:
    """The family's schedule of *plan*.

    Raises:
        TrainingError: There are no batches.
    """
    recipe = plan.recipe
    if not iterations_per_epoch:
        raise TrainingError(
            f"an epoch has no batch: fewer pictures than the batch of {plan.batch}; "
            "use a smaller --batch"
        )
    if isinstance(recipe, YoloxRecipe):
        accumulate = accumulation(recipe.nominal_batch, plan.batch)
        return WarmCosine(
            peak_lr=recipe.lr_per_picture * plan.batch * accumulate,
            iterations_per_epoch=iterations_per_epoch,
            epochs=plan.epochs,
            warmup_epochs=recipe.warmup_epochs,
            final_epochs=recipe.final_epochs,
            floor_ratio=recipe.floor_ratio,
            momentum=recipe.momentum,
            accumulate=accumulate,
        )
    return EpochDecay(
        lr=recipe.lr,
        final_ratio=recipe.final_ratio,
        linear=recipe.linear,
        iterations_per_epoch=iterations_per_epoch,
        epochs=plan.epochs,
        warmup_iterations=warmup_iterations(recipe, iterations_per_epoch, plan.epochs),
        warmup_momentum=recipe.warmup_momentum,
        warmup_bias_lr=recipe.warmup_bias_lr,
        momentum=recipe.momentum,
        batch=plan.batch,
        nominal_batch=recipe.nominal_batch or plan.batch,
    )
