"""The loop: it learns, resumes bit for bit, accumulates, freezes, and gives up with a reason."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from edgeyolo.data.batches import Batch
from edgeyolo.errors import TrainingError
from edgeyolo.models.detector import Detector
from edgeyolo.models.zoo import VARIANTS, build_architecture
from edgeyolo.spec import Family
from edgeyolo.training.loop import (
    Accuracy,
    IterationLog,
    Trainer,
)
from edgeyolo.training.plan import MixedPrecision, TrainingPlan, input_size_at
from edgeyolo.training.recipe import YoloV7Recipe, YoloxRecipe, recipe_for
from edgeyolo.training.resumption import restore, training_state

CPU = torch.device("cpu")
FAMILIES = [Family.YOLOX, Family.YOLOV7]


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


rectangles = _module("rectangle_batches")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def plan_for(family: Family, epochs: int = 3, **changes: Any) -> TrainingPlan:
    settings = {k: changes.pop(k) for k in list(changes) if k not in TrainingPlan.__annotations__}
    recipe = recipe_for(rectangles.mini(family), epochs=epochs, input_hw=(64, 64))
    recipe = replace(recipe, multiscale=False, evaluation_interval=1, **settings)
    if isinstance(recipe, YoloxRecipe):
        recipe = replace(recipe, lr_per_picture=0.01 / 8)
    return TrainingPlan(
        model="mini", epochs=epochs, batch=4, input_hw=(64, 64), recipe=recipe, **changes
    )


def trainer_for(
    plan: TrainingPlan, family: Family, *, batches: int = 6, **arguments: Any
) -> Trainer:
    torch.manual_seed(7)
    model = build_architecture(rectangles.mini(family))
    source = rectangles.RectangleBatches(family, batch=plan.batch, batches=batches)
    return Trainer(model, plan, source, device=CPU, **arguments)


class Recorder:
    """Keeps what a training reports; stops it at a given iteration."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.rows: list[Mapping[str, float]] = []
        self.logs: list[IterationLog] = []
        self.saved: dict[str, Any] | None = None
        self.average: dict[str, torch.Tensor] = {}
        self.stop_at = stop_at

    def iteration(self, log: IterationLog) -> None:
        self.logs.append(log)
        if len(self.logs) == self.stop_at:
            raise KeyboardInterrupt

    def epoch(self, trainer: Trainer, row: Mapping[str, float], *, best: bool) -> None:
        self.rows.append(row)
        self.within_epoch(trainer)

    def within_epoch(self, trainer: Trainer) -> None:
        from copy import deepcopy

        self.saved = deepcopy(training_state(trainer))
        self.average = deepcopy(trainer.average.state_dict())


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {
        **trainer.model.state_dict(),
        **{f"ema.{k}": v for k, v in trainer.average.state_dict().items()},
    }


def same(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_falls(family: Family) -> None:
    recorder = Recorder()
    plan = plan_for(family, epochs=4, **({"nominal_batch": 4} if family is Family.YOLOV7 else {}))
    trainer_for(plan, family, batches=15, observer=recorder).fit()
    # Without the L1 term of YOLOX, which joins in the last epoch; and no part by itself: YOLOX's
    # class target is the overlap of the match, so better boxes raise what the class loss can reach.
    first, last = (row["loss/total"] - row.get("loss/l1", 0.0) for row in recorder.rows[::3])
    assert last < 0.95 * first


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("stop_at", [1, 7, 12])
def test_a_killed_training_continues_bit_for_bit(family: Family, stop_at: int) -> None:
    """Checkpoints every other batch; gradients of batches still to be stepped are in them."""
    plan = plan_for(family, epochs=3, nominal_batch=12, checkpoint_interval=2)
    if isinstance(plan.recipe, YoloV7Recipe):
        plan = replace(
            plan, recipe=replace(plan.recipe, warmup_min_iterations=4, warmup_epochs=0.1)
        )
    whole = trainer_for(plan, family, batches=5)
    whole.fit()
    recorder = Recorder(stop_at)
    with pytest.raises(KeyboardInterrupt):
        trainer_for(plan, family, batches=5, observer=recorder).fit()
    resumed = trainer_for(plan, family, batches=5)
    if recorder.saved is not None:
        restore(resumed, recorder.average, recorder.saved)
    resumed.fit()
    assert same(weights(resumed), weights(whole))
    timeless = [
        {k: v for k, v in row.items() if k not in ("pictures_per_second", "compute_share")}
        for row in whole.position.history
    ]
    for ours, theirs in zip(resumed.position.history, timeless, strict=True):
        assert {k: ours[k] for k in theirs} == theirs


def test_accumulated_batches_make_the_step_of_one_large_batch() -> None:
    """YOLOv7's loss counts pictures, so gradients of two halves add up to the whole."""
    plan = plan_for(Family.YOLOV7, epochs=1, nominal_batch=8)
    trainer = trainer_for(plan, Family.YOLOV7, batches=6)
    steps = []
    step = trainer.optimizer.step

    def counted(*args: Any, **kwargs: Any) -> Any:
        steps.append(trainer.iteration)
        return step(*args, **kwargs)

    trainer.optimizer.step = counted  # type: ignore[method-assign]
    trainer.fit()
    accumulate = [trainer.schedule.at(i).accumulate for i in range(6)]
    assert accumulate[-1] == 2
    assert steps == [i for i in range(6) if i % accumulate[i] == 0]
    assert trainer.average.updates == len(steps)


def test_frozen_parts_do_not_move() -> None:
    plan = plan_for(Family.YOLOX, epochs=1, freeze=("backbone.",))
    trainer = trainer_for(plan, Family.YOLOX)
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    trainer.fit()
    after = trainer.model.state_dict()
    moved = {k for k in after if not torch.equal(before[k], after[k])}
    assert moved
    assert all(name.startswith("head.") for name in moved)


def test_a_prefix_that_freezes_nothing_is_refused() -> None:
    with pytest.raises(TrainingError, match="nothing to freeze under 'trunk'"):
        trainer_for(plan_for(Family.YOLOX, freeze=("trunk",)), Family.YOLOX)


@pytest.mark.parametrize("precision", [MixedPrecision.BF16, MixedPrecision.FP16])
def test_mixed_precision_trains_close_to_full_precision(precision: MixedPrecision) -> None:
    rows = []
    for chosen in (MixedPrecision.FP32, precision):
        recorder = Recorder()
        plan = plan_for(Family.YOLOX, epochs=2, precision=chosen)
        trainer_for(plan, Family.YOLOX, observer=recorder).fit()
        rows.append(recorder.rows[-1]["loss/total"])
    assert rows[1] == pytest.approx(rows[0], rel=0.05)
    assert rows[1] != rows[0]


def test_a_loss_that_stays_infinite_ends_with_a_report() -> None:
    plan = plan_for(Family.YOLOX, epochs=1, max_bad_batches=3)
    trainer = trainer_for(plan, Family.YOLOX)
    with torch.no_grad():
        next(iter(trainer.model.parameters())).fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"3 batches in a row .* weights are not finite"):
        trainer.fit()


def test_an_epoch_without_a_good_batch_ends_with_a_report() -> None:
    """Also where it has fewer batches than may be bad in a row."""
    recorder = Recorder()
    trainer = trainer_for(plan_for(Family.YOLOX), Family.YOLOX, batches=2, observer=recorder)
    with torch.no_grad():
        next(iter(trainer.model.parameters())).fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"no batch of epoch 0 .*batch 1, .*total nan"):
        trainer.fit()
    assert recorder.saved is None


def on_gradients(trainer: Trainer, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Let *change* have the gradient of one parameter."""
    next(iter(trainer.model.parameters())).register_hook(change)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("clip_norm", [0.0, 10.0])
def test_a_step_with_a_bad_gradient_is_left_out(clip_norm: float) -> None:
    plan = plan_for(Family.YOLOX, epochs=1, clip_norm=clip_norm)
    trainer = trainer_for(plan, Family.YOLOX, batches=4)
    calls = []

    def spoiled(gradient: torch.Tensor) -> torch.Tensor:
        calls.append(trainer.iteration)
        return gradient * float("nan") if trainer.iteration == 1 else gradient

    on_gradients(trainer, spoiled)
    trainer.fit()
    assert calls == [0, 1, 2, 3]
    assert all(value.isfinite().all() for value in weights(trainer).values())
    assert trainer.average.updates == 3


def test_gradients_that_stay_bad_end_with_a_report() -> None:
    """Of several batches for each step, too: their losses are finite."""
    plan = plan_for(Family.YOLOX, epochs=2, max_bad_batches=3, nominal_batch=8)
    trainer = trainer_for(plan, Family.YOLOX, batches=6)
    on_gradients(trainer, lambda gradient: gradient / 0.0)
    with pytest.raises(TrainingError, match="the gradient was not finite for 3 steps in a row"):
        trainer.fit()
    assert all(value.isfinite().all() for value in weights(trainer).values())


@pytest.mark.parametrize("interval", [0, 1])
def test_weights_that_are_not_finite_are_never_saved(interval: int) -> None:
    """The gradient is finite, what it makes of the weights is not."""
    plan = plan_for(Family.YOLOX, epochs=1, checkpoint_interval=interval)
    assert isinstance(plan.recipe, YoloxRecipe)
    recipe = replace(plan.recipe, lr_per_picture=1e30, warmup_epochs=0.0)
    recorder = Recorder()
    trainer = trainer_for(
        replace(plan, recipe=recipe), Family.YOLOX, batches=2 if interval else 1, observer=recorder
    )
    on_gradients(trainer, lambda gradient: gradient * 1e12)
    with pytest.raises(
        TrainingError, match="weights, averages or momenta are not finite in epoch 0"
    ):
        trainer.fit()
    assert recorder.saved is None


def test_the_norm_that_is_only_looked_at_changes_no_bit() -> None:
    """A limit that no gradient reaches and no limit make the same weights."""
    trained = []
    for clip_norm in (0.0, 1e30):
        trainer = trainer_for(plan_for(Family.YOLOX, epochs=1, clip_norm=clip_norm), Family.YOLOX)
        trainer.fit()
        trained.append(weights(trainer))
    assert same(*trained)


def test_single_bad_batches_are_left_out() -> None:
    class OneBadBatch(rectangles.RectangleBatches):  # type: ignore[name-defined,misc]
        def make(self, epoch: int, position: int) -> Batch:
            batch: Batch = super().make(epoch, position)
            if position == 1:
                batch.images[0, 0, 0, 0] = float("nan")
            return batch

    plan = plan_for(Family.YOLOX, epochs=1)
    torch.manual_seed(7)
    model = build_architecture(rectangles.mini(Family.YOLOX))
    trainer = Trainer(model, plan, OneBadBatch(Family.YOLOX, batches=4), device=CPU)
    trainer.fit()
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())
    assert all(v.isfinite().all() for v in trainer.average.state_dict().values())
    assert trainer.average.updates == 3


def test_training_stops_when_accuracy_stays_flat() -> None:
    accuracies = iter([0.1, 0.2, 0.2, 0.15, 0.3])

    def evaluate(model: Detector) -> Accuracy:
        assert not model.training
        return Accuracy(next(accuracies), 0.0)

    plan = plan_for(Family.YOLOX, epochs=5, patience=2)
    trainer = trainer_for(plan, Family.YOLOX, batches=1, evaluate=evaluate)
    position = trainer.fit()
    assert position.stopped_early
    assert (position.epoch, position.best_epoch, position.best_fitness) == (4, 1, 0.2)


def test_multiscale_draws_the_published_sizes() -> None:
    for name, side, smallest, largest in (("nano", 416, 320, 640), ("s", 640, 480, 800)):
        architecture = VARIANTS[f"yolox-{name}"].architecture
        plan = TrainingPlan(
            model=name,
            epochs=300,
            batch=8,
            input_hw=(side, side),
            recipe=recipe_for(architecture, epochs=300, input_hw=(side, side)),
        )
        sizes = [input_size_at(plan, 32, i) for i in range(4000)]
        assert {height for height, _ in sizes} == set(range(smallest, largest + 1, 32))
        assert all(sizes[i] == sizes[i - i % 10] for i in range(len(sizes)))


@pytest.mark.parametrize("input_hw", [(640, 320), (320, 640)])
def test_multiscale_varies_around_inputs_that_are_not_square(input_hw: tuple[int, int]) -> None:
    recipe = recipe_for(VARIANTS["yolox-s"].architecture, epochs=300, input_hw=input_hw)
    plan = TrainingPlan(model="s", epochs=300, batch=8, input_hw=input_hw, recipe=recipe)
    sizes = {input_size_at(plan, 32, i) for i in range(2000)}
    for axis in (0, 1):
        sides = [size[axis] / input_hw[axis] for size in sizes]
        assert min(sides) == pytest.approx(0.75, abs=0.1)
        assert max(sides) == pytest.approx(1.25, abs=0.1)


def test_the_recipe_of_another_family_is_refused() -> None:
    plan = plan_for(Family.YOLOV7)
    with pytest.raises(TrainingError, match="cannot be trained with a YoloV7Recipe"):
        trainer_for(plan, Family.YOLOX)
