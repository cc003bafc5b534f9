"""What a training is: everything that its result depends on, saved in each checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edgeyolo.data.multiscale import yolov7_size, yolox_size
from edgeyolo.errors import TrainingError
from edgeyolo.spec import check_input_hw
from edgeyolo.training.recipe import YoloV7Recipe, YoloxRecipe


class MixedPrecision(str, Enum):
    """Numbers that convolutions are computed with during training; weights stay FP32."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """A training, apart from the network and the pictures.

    Attributes:
        model: Name of the network, for people.
        epochs: Length.
        batch: Pictures of one batch over all processes.
        input_hw: Nominal input size in pixels.
        recipe: Hyper-parameters.
        seed: All randomness derives from it.
        precision: Of the forward pass.
        freeze: Prefixes of parameter names that are not trained.
        checkpoint_interval: Iterations between checkpoints within an epoch; 0: only after it.
    """

    model: str
    epochs: int
    batch: int
    input_hw: tuple[int, int]
    recipe: YoloxRecipe | YoloV7Recipe
    seed: int = 0
    precision: MixedPrecision = MixedPrecision.FP32
    freeze: tuple[str, ...] = ()
    checkpoint_interval: int = 0

    def __post_init__(self) -> None:
        check_input_hw(self.input_hw)
        if self.epochs < 1 or self.batch < 1:
            raise ValueError(
                f"epochs and batch must be at least 1, got {self.epochs} and {self.batch}"
            )
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be 0 to {2**32 - 1}, got {self.seed}")

    def evaluates_after(self, epoch: int) -> bool:
        """Whether the model is evaluated after *epoch* (from 0)."""
        last = epoch == self.epochs - 1
        interval = self.recipe.evaluation_interval
        return last or (interval > 0 and (epoch + 1) % interval == 0) or self.in_final_phase(epoch)

    def in_final_phase(self, epoch: int) -> bool:
        """Whether *epoch* (from 0) belongs to YOLOX's last ones, with L1 and without mosaic."""
        return (
            isinstance(self.recipe, YoloxRecipe) and epoch >= self.epochs - self.recipe.final_epochs
        )


def check_values_per_channel(plan: TrainingPlan, pictures: int, stride: int) -> None:
    """Refuse batches that batch statistics cannot be taken of.

    Args:
        plan: Its smallest input decides.
        pictures: Whose statistics are taken together.
        stride: Of the coarsest level.

    Raises:
        TrainingError: A single value would be left for each channel.
    """
    sizes = {plan.input_hw}
    if isinstance(plan.recipe, YoloxRecipe) and plan.recipe.multiscale:
        low = plan.recipe.multiscale_units[0]
        sizes.add((stride * low, stride * max(int(low * plan.input_hw[1] / plan.input_hw[0]), 1)))
    elif plan.recipe.multiscale:
        height, width = (max(side // 2 // stride, 1) * stride for side in plan.input_hw)
        sizes.add((height, width))
    height, width = min(sizes, key=lambda hw: hw[0] * hw[1])
    if pictures * (height // stride) * (width // stride) < 2:
        raise TrainingError(
            f"{pictures} picture of {height}x{width} leaves one value for each channel of the "
            f"coarsest level, too few for batch statistics; use a larger --batch or --input-size"
        )


def input_size_at(plan: TrainingPlan, multiple: int, iteration: int) -> tuple[int, int]:
    """Input size of an iteration; sides are multiples of *multiple* pixels."""
    recipe = plan.recipe
    if not recipe.multiscale:
        return plan.input_hw
    if isinstance(recipe, YoloxRecipe):
        return yolox_size(
            plan.seed,
            iteration,
            plan.input_hw,
            multiples=recipe.multiscale_units,
            every=recipe.multiscale_interval,
        )
    return yolov7_size(plan.seed, iteration, plan.input_hw, multiple)
