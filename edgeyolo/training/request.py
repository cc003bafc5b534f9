"""What a person asks of ``edgeyolo train``: everything else follows from it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgeyolo.data.sample_source import CacheMode
from edgeyolo.models.architecture import Architecture
from edgeyolo.models.zoo import VARIANTS
from edgeyolo.spec import check_input_hw
from edgeyolo.training.plan import MixedPrecision, TrainingPlan
from edgeyolo.training.recipe import YoloV7Recipe, YoloxRecipe, recipe_for
from edgeyolo.training.settings import changed
from edgeyolo.training.yolov7_loss import Assignment


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """A training as it was asked for; plain data, so that ``--resume`` needs the run alone.

    Attributes:
        model: Published variant, such as ``"yolox-nano"``.
        data: Data set to train on; a YAML or folder with a ``val`` split is evaluated on that.
        epochs: Length.
        batch: Pictures of one batch, over all processes.
        output: Run folder.
        images: Pictures of *data*, where they are not beside the labels.
        names: Class names of bare YOLO labels; fixes the order of VOC's.
        split: Part of a data-set YAML or of VOC that is trained on.
        val: Data set to evaluate on, where it is not part of *data*.
        val_images: Pictures of *val*, where they are not beside the labels.
        val_split: Part that is evaluated on, of *val* or else of *data*.
        input_hw: Network input in pixels; the variant's published size where ``None``.
        weights: Checkpoint to start from; random weights where ``None``.
        freeze: Prefixes of parameter names that are not trained.
        settings: ``key=value`` changes of the recipe.
        seed: All randomness derives from it.
        precision: Of the forward pass.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
        workers: Processes that prepare batches, per training process.
        cache: Where decoded pictures are kept.
        checkpoint_interval: Iterations between checkpoints within an epoch; 0: after epochs.
        tensorboard: Whether TensorBoard's files are written.
        width: Another width multiple than the variant's, for small experiments.
        skip_bad_labels: Evaluate without labels that cannot be used and pictures that are missing;
            else an error. Training always goes without them.
    """

    model: str
    data: str
    epochs: int
    batch: int
    output: str
    images: str | None = None
    names: tuple[str, ...] | None = None
    split: str = "train"
    val: str | None = None
    val_images: str | None = None
    val_split: str = "val"
    input_hw: tuple[int, int] | None = None
    weights: str | None = None
    freeze: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    seed: int = 0
    precision: MixedPrecision = MixedPrecision.FP32
    device: str = "auto"
    workers: int = 2
    cache: CacheMode = CacheMode.NONE
    checkpoint_interval: int = 0
    tensorboard: bool = True
    width: float | None = None
    skip_bad_labels: bool = False

    def architecture(self, num_classes: int) -> Architecture:
        """The training form of the network that is asked for.

        Raises:
            ValueError: Unknown variant.
        """
        if self.model not in VARIANTS:
            known = ", ".join(VARIANTS)
            raise ValueError(f"unknown model {self.model!r}; choose one of: {known}")
        published = replace(VARIANTS[self.model].architecture, num_classes=num_classes)
        if self.width is None or self.width == published.width:
            return published
        return replace(published, width=self.width, variant="custom")

    def size_hw(self) -> tuple[int, int]:
        """Nominal network input."""
        return self.input_hw or VARIANTS[self.model].input_hw

    def recipe(self) -> YoloxRecipe | YoloV7Recipe:
        """The published recipe with the changes that are asked for.

        Raises:
            ValueError: A change is not understood.
        """
        if self.model not in VARIANTS:
            self.architecture(1)
        base = recipe_for(
            VARIANTS[self.model].architecture,
            epochs=self.epochs,
            input_hw=self.size_hw(),
            fine_tuning=self.weights is not None,
        )
        recipe = changed(base, self.settings)
        wants_auxiliary = getattr(recipe, "assignment", None) is Assignment.AUXILIARY_OTA
        if wants_auxiliary and not VARIANTS[self.model].architecture.has_auxiliary_heads:
            with_heads = [n for n, v in VARIANTS.items() if v.architecture.has_auxiliary_heads]
            raise ValueError(
                f"assignment={Assignment.AUXILIARY_OTA.value} needs auxiliary heads, which "
                f"{', '.join(with_heads)} have and {self.model} has not; use ota or plain"
            )
        return recipe

    def plan(self) -> TrainingPlan:
        """The training apart from network and pictures.

        Raises:
            ValueError: A setting, or the size, does not suit the network.
        """
        recipe = self.recipe()
        check_input_hw(self.size_hw(), VARIANTS[self.model].architecture.largest_stride)
        return TrainingPlan(
            model=self.model,
            epochs=self.epochs,
            batch=self.batch,
            input_hw=self.size_hw(),
            recipe=recipe,
            seed=self.seed,
            precision=self.precision,
            freeze=self.freeze,
            checkpoint_interval=self.checkpoint_interval,
        )
