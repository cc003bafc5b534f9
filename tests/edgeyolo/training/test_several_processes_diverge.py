"""Two processes leave out the same batches and steps, whichever of them met what is not finite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from edgeyolo.data.batches import Batch
from edgeyolo.models.zoo import build_architecture
from edgeyolo.spec import Family
from edgeyolo.training.distributed import joined_ranks
from edgeyolo.training.loop import Trainer
from edgeyolo.training.plan import TrainingPlan
from edgeyolo.training.recipe import recipe_for
from tests.edgeyolo.training.rectangle_batches import RectangleBatches, mini
from tests.edgeyolo.training.small_runs import forked_ranks

CPU = torch.device("cpu")


class OneBadPicture(RectangleBatches):
    """A picture of the second batch of rank 1 is NaN."""

    def make(self, epoch: int, position: int) -> Batch:
        batch = super().make(epoch, position)
        if position == 1 and self.own.start:
            batch.images[0] = float("nan")
        return batch


def training(folder: Path, rank: int) -> Callable[[], None]:
    """A training of five batches, two of them bad on rank 1; leaves its weights in *folder*."""

    def work() -> None:
        torch.set_num_threads(1)
        recipe = recipe_for(mini(Family.YOLOX), epochs=1, input_hw=(64, 64))
        recipe = replace(recipe, multiscale=False)
        plan = TrainingPlan(model="mini", epochs=1, batch=4, input_hw=(64, 64), recipe=recipe)
        torch.manual_seed(7)
        model = build_architecture(mini(Family.YOLOX))
        with joined_ranks() as ranks:
            source = OneBadPicture(Family.YOLOX, batch=4, batches=5, rank=rank, ranks=2)
            trainer = Trainer(model, plan, source, device=CPU, ranks=ranks)

            def spoiled(gradient: torch.Tensor) -> torch.Tensor:
                return gradient * float("nan") if rank and trainer.iteration == 3 else gradient

            first = next(iter(trainer.model.parameters()))
            first.register_hook(spoiled)  # type: ignore[no-untyped-call]
            trainer.fit()
            state = {"updates": trainer.average.updates, **trainer.average.state_dict()}
            torch.save(state, folder / f"{rank}.pt")

    return work


def test_all_processes_leave_out_what_one_of_them_cannot_use(tmp_path: Path) -> None:
    assert forked_ranks([training(tmp_path, rank) for rank in (0, 1)]) == [0, 0]
    states = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert [state.pop("updates") for state in states] == [3, 3]
    for name, value in states[0].items():
        assert value.isfinite().all()
        assert torch.equal(value, states[1][name]), name
