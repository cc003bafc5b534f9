"""Every hyper-parameter with its family's default. Saved in each checkpoint."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from edgeyolo.data.augment_yolov7 import YOLOV7_AUGMENTATION, YoloV7Augmentation
from edgeyolo.data.augment_yolox import YOLOX_AUGMENTATION, YoloxAugmentation
from edgeyolo.data.ranges import NOT_NEGATIVE, PART, RATE, Range, check_ranges
from edgeyolo.models.architecture import Architecture
from edgeyolo.spec import Family
from edgeyolo.training.settings import setting
from edgeyolo.training.yolov7_loss import Assignment

_BELOW_ONE = Range(0, 1, open_high=True)
_COUNT = Range(0, 1e6)
_GAIN = Range(0, 1e6)
# Of the settings that are numbers, by class; a test sees to it that none is missing.
RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "momentum": _BELOW_ONE,
        "weight_decay": PART,
        "ema_decay": _BELOW_ONE,
        "nominal_batch": _COUNT,
        "clip_norm": NOT_NEGATIVE,
        "evaluation_interval": _COUNT,
        "patience": _COUNT,
        "max_bad_batches": Range(1, 1e6),
    }
)
YOLOX_RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "lr_per_picture": RATE,
        "warmup_epochs": _COUNT,
        "final_epochs": _COUNT,
        "floor_ratio": PART,
        "multiscale_interval": Range(1, 1e6),
        # 8192 pixels are the most that networks take.
        "multiscale_units": Range(1, 256, ordered=True),
    }
)
YOLOV7_RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "lr": RATE,
        "final_ratio": PART,
        "warmup_epochs": _COUNT,
        "warmup_min_iterations": Range(0, 1e9),
        "warmup_momentum": _BELOW_ONE,
        "warmup_bias_lr": RATE,
        "box_gain": _GAIN,
        "objectness_gain": _GAIN,
        "class_gain": _GAIN,
        "class_positive_weight": _GAIN,
        "objectness_positive_weight": _GAIN,
        # Two boxes of one shape have the ratio 1, so nothing matches at 1.
        "anchor_threshold": Range(1, 1e6, open_low=True),
        "label_smoothing": _BELOW_ONE,
        "focal_gamma": Range(0, 100),
        "min_anchor_recall": PART,
    }
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What both families have."""

    momentum: float = setting(0.9, "momentum of SGD with nesterov")
    weight_decay: float = setting(5e-4, "of convolution weights; norms and biases have none")
    ema_decay: float = setting(0.9998, "final decay of the averaged weights")
    nominal_batch: int = setting(
        0, "pictures of an optimiser step; gradients of smaller batches are added up; 0: no adding"
    )
    clip_norm: float = setting(0.0, "largest norm of the whole gradient; 0: no clipping")
    sync_batch_norm: bool = setting(True, "batch statistics over all processes")
    evaluation_interval: int = setting(10, "epochs between evaluations; 0: only at the end")
    patience: int = setting(0, "evaluations without improvement before stopping; 0: never")
    multiscale: bool = setting(False, "change the input size during training")
    max_bad_batches: int = setting(
        10, "consecutive batches with a loss that is not finite before training gives up"
    )

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)


@dataclass(frozen=True, kw_only=True)
class YoloxRecipe(Recipe):
    """YOLOX, published for 300 epochs."""

    lr_per_picture: float = setting(0.01 / 64, "peak learning rate divided by the batch size")
    warmup_epochs: float = setting(5.0, "quadratic warm-up from 0")
    final_epochs: int = setting(15, "last epochs without mosaic and mixup, with the L1 loss")
    floor_ratio: float = setting(0.05, "last learning rate over the peak")
    multiscale_interval: int = setting(10, "iterations between changes of the input size")
    multiscale_units: tuple[int, int] = setting(
        (15, 25), "smallest and largest input height, in units of 32 pixels"
    )
    augmentation: YoloxAugmentation = dataclasses.field(default_factory=YoloxAugmentation)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, YOLOX_RANGES)


@dataclass(frozen=True, kw_only=True)
class YoloV7Recipe(Recipe):
    """YOLOv7, published for 300 epochs."""

    momentum: float = setting(0.937, "momentum of SGD with nesterov")
    ema_decay: float = setting(0.9999, "final decay of the averaged weights")
    nominal_batch: int = setting(
        64, "pictures of an optimiser step; gradients of smaller batches are added up; 0: no adding"
    )
    evaluation_interval: int = setting(1, "epochs between evaluations; 0: only at the end")
    lr: float = setting(0.01, "learning rate before decay")
    final_ratio: float = setting(0.1, "last learning rate over the first")
    linear: bool = setting(False, "linear decay instead of cosine")
    warmup_epochs: float = setting(3.0, "linear warm-up of learning rates and momentum")
    warmup_min_iterations: int = setting(
        1000, "warm up for at least as many iterations, but not beyond half of the training"
    )
    warmup_momentum: float = setting(0.8, "momentum at the start")
    warmup_bias_lr: float = setting(0.1, "learning rate of the biases at the start")
    box_gain: float = setting(0.05, "weight of the box loss")
    objectness_gain: float = setting(0.7, "weight of the objectness loss at 640 pixels")
    class_gain: float = setting(0.3, "weight of the class loss with 80 classes")
    class_positive_weight: float = setting(1.0, "weight of positives in the class loss")
    objectness_positive_weight: float = setting(1.0, "weight of positives in the objectness loss")
    anchor_threshold: float = setting(4.0, "largest ratio of sides between object and anchor")
    assignment: Assignment = setting(  # noqa: RUF009 - it is dataclasses.field
        Assignment.OTA, "how objects are given to predictions"
    )
    label_smoothing: float = setting(0.0, "softens class targets to 1-eps/2 and eps/2")
    focal_gamma: float = setting(0.0, "exponent of the focal factor; 0: off")
    height_for_both_axes: bool = setting(
        False, "reproduce the original's matching error on pictures that are not square"
    )
    auto_anchor: bool = setting(True, "fit new anchors where the published ones miss objects")
    min_anchor_recall: float = setting(0.98, "best possible recall below which anchors are fitted")
    augmentation: YoloV7Augmentation = dataclasses.field(default_factory=YoloV7Augmentation)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, YOLOV7_RANGES)


def recipe_for(
    architecture: Architecture,
    *,
    epochs: int,
    input_hw: tuple[int, int],
    fine_tuning: bool = False,
) -> YoloxRecipe | YoloV7Recipe:
    """The published recipe of a network.

    The YOLOX phases are published for 300 epochs (5 of warm-up, 15 at the end); trainings
    shorter than 60 epochs get a twelfth and a quarter of their length instead. From trained
    weights YOLOX starts with a tenth of the learning rate, which is what it was trained with in
    the end: with the full one, YOLOX-Nano fell from AP .29 to .02 within eight steps.

    Args:
        architecture: Four head levels are trained with auxiliary heads.
        epochs: Length of the training.
        input_hw: Nominal input size, in pixels.
        fine_tuning: Start from trained weights: YOLOv7's "custom" set, YOLOX with less.
    """
    return _PUBLISHED[architecture.family](
        architecture, epochs=epochs, units=input_hw[0] / 32, fine_tuning=fine_tuning
    )


def _yolov7_recipe(
    architecture: Architecture, *, epochs: int, units: float, fine_tuning: bool
) -> YoloV7Recipe:
    if architecture.has_auxiliary_heads:
        kind, seven = "p6", YoloV7Recipe(final_ratio=0.2, assignment=Assignment.AUXILIARY_OTA)
    elif architecture.graph == "tiny":
        kind, seven = "tiny", YoloV7Recipe(final_ratio=0.01, class_gain=0.5, objectness_gain=1.0)
    else:
        kind, seven = "p5", YoloV7Recipe()
    if fine_tuning:
        kind = "custom"
        seven = replace(seven, final_ratio=0.1, class_gain=0.3, objectness_gain=0.7)
    return replace(seven, augmentation=YOLOV7_AUGMENTATION[kind])


def _yolox_recipe(
    architecture: Architecture, *, epochs: int, units: float, fine_tuning: bool
) -> YoloxRecipe:
    # Published: 10..20 around 13 (416 pixels) for nano and tiny, 15..25 around 20 for the others.
    variant = architecture.variant
    small = variant in ("nano", "tiny")
    low, high = (10 / 13, 20 / 13) if small else (15 / 20, 25 / 20)
    recipe = YoloxRecipe(
        warmup_epochs=min(5.0, epochs / 12),
        final_epochs=min(15, epochs // 4),
        multiscale=True,
        multiscale_units=(max(1, round(low * units)), max(1, round(high * units))),
        augmentation=YOLOX_AUGMENTATION.get(variant, YOLOX_AUGMENTATION["s"]),
    )
    return replace(recipe, lr_per_picture=recipe.lr_per_picture / 10) if fine_tuning else recipe


_PUBLISHED: Mapping[Family, Callable[..., YoloxRecipe | YoloV7Recipe]] = {
    Family.YOLOX: _yolox_recipe,
    Family.YOLOV7: _yolov7_recipe,
}


def accumulation(nominal_batch: int, batch: int) -> int:
    """Batches whose gradients make one step."""
    return max(1, round(nominal_batch / batch)) if nominal_batch else 1


def scaled_decay(recipe: YoloV7Recipe, batch: int) -> float:
    """YOLOv7's weight decay for the pictures that one step really sees."""
    if not recipe.nominal_batch:
        return recipe.weight_decay
    seen = batch * accumulation(recipe.nominal_batch, batch)
    return recipe.weight_decay * seen / recipe.nominal_batch


def warmup_iterations(recipe: YoloV7Recipe, iterations_per_epoch: int, epochs: int) -> int:
    """Length of YOLOv7's warm-up.

    The original warms up for 1000 iterations even when the training has fewer, and then never
    reaches its learning rate; half of the training is the most here.
    """
    wanted = max(round(recipe.warmup_epochs * iterations_per_epoch), recipe.warmup_min_iterations)
    return min(wanted, math.ceil(iterations_per_epoch * epochs / 2))
