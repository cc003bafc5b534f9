"""The loss that a plan asks for."""

from __future__ import annotations

from edgeyolo.errors import TrainingError
from edgeyolo.models.detector import Detector
from edgeyolo.spec import Family
from edgeyolo.training.distributed import Ranks
from edgeyolo.training.plan import TrainingPlan
from edgeyolo.training.recipe import YoloV7Recipe, YoloxRecipe
from edgeyolo.training.yolov7_loss import Assignment, Gains, YoloV7Loss, YoloV7LossOptions
from edgeyolo.training.yolox_loss import YoloxLoss


def loss_for(model: Detector, plan: TrainingPlan, ranks: Ranks) -> YoloxLoss | YoloV7Loss:
    """The loss of *model* under *plan*.

    Raises:
        TrainingError: The recipe is another family's.
    """
    recipe = plan.recipe
    if isinstance(recipe, YoloxRecipe) and model.family is Family.YOLOX:
        return YoloxLoss(
            model.num_classes, model.strides, sum_over_ranks=ranks.sum, ranks=ranks.count
        )
    if not isinstance(recipe, YoloV7Recipe) or model.anchors_px is None:
        raise TrainingError(f"{plan.model} cannot be trained with a {type(recipe).__name__}")
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
