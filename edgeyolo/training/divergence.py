"""What happens when the numbers of a training stop being finite: leave out, report, give up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NoReturn

import torch
from torch import Tensor, nn

from edgeyolo.errors import TrainingError
from edgeyolo.training.distributed import Ranks
from edgeyolo.training.plan import TrainingPlan
from edgeyolo.training.recipe import YoloxRecipe
from edgeyolo.training.schedules import StepSettings


class DivergenceGuard:
    """Counts what had to be left out, and gives up with a report.

    Args:
        plan: Says how many bad batches in a row are too many.
        ranks: Processes that train together; all of them decide alike.
    """

    def __init__(self, plan: TrainingPlan, ranks: Ranks) -> None:
        self._plan = plan
        self._ranks = ranks
        self._last = ""
        # Counted apart: where several batches make a step, good losses lie between bad gradients.
        self._in_a_row = {"loss": 0, "gradient": 0}

    def good(self, what: str) -> None:
        """The *what*, ``"loss"`` or ``"gradient"``, of a batch was finite."""
        self._in_a_row[what] = 0

    def bad(self, what: str, model: nn.Module, settings: StepSettings, where: str) -> None:
        """It was not.

        Args:
            what: ``"loss"`` or ``"gradient"``.
            model: Its weights may be the reason.
            settings: Of the iteration.
            where: Which iteration, and its numbers.

        Raises:
            TrainingError: That happened too often in a row.
        """
        self._in_a_row[what] += 1
        weights = sum(int((~torch.isfinite(p)).sum()) for p in model.parameters())
        self._last = (
            f" (last: {where}, learning rate {settings.lr[1]:g}, {self._plan.precision}; "
            f"{weights} weights are not finite)"
        )
        count = self._in_a_row[what]
        if count >= self._plan.recipe.max_bad_batches:
            times = f"{count} batches" if what == "loss" else f"{count} steps"
            self.give_up(f"the {what} was not finite for {times} in a row")

    def give_up(self, reason: str) -> NoReturn:
        """Raise :class:`TrainingError` with *reason*, the last bad batch and what to do."""
        rate = "lr_per_picture" if isinstance(self._plan.recipe, YoloxRecipe) else "lr"
        raise TrainingError(
            f"{reason}{self._last}; go on from the last checkpoint, which is untouched, with "
            f"--resume RUN and a lower learning rate (--set {rate}=...), clipped gradients "
            f"(--set clip_norm=10) or --precision bf16 or fp32; if that ends alike, its "
            f"weights have run away already: start a new run with --weights RUN/best.pt"
        )

    @torch.no_grad()
    def check_state(self, tensors: Iterable[Tensor], epoch: int) -> None:
        """Refuse to replace a checkpoint by one that nobody could continue.

        Args:
            tensors: Weights, averages and momenta.
            epoch: From 0.

        Raises:
            TrainingError: Some are not finite, here or in another process.
        """
        found = [(~value.isfinite()).sum().float() for value in tensors]
        bad = int(self._ranks.sum(torch.stack(found).sum()).item()) if found else 0
        if bad:
            self.give_up(f"{bad} weights, averages or momenta are not finite in epoch {epoch}")


@torch.no_grad()
def repair_statistics(model: nn.Module, good: Mapping[str, Tensor]) -> None:
    """Take batch statistics that a bad batch ruined back from *good*, a state of the same names."""
    for name, value in model.state_dict().items():
        if name.endswith((".running_mean", ".running_var")) and not value.isfinite().all():
            value.copy_(good[name])
