"""One process or many: torchrun starts them, torch.distributed connects them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from edgeyolo.errors import EdgeYoloError, TrainingError, one_line

_Model = TypeVar("_Model", bound=nn.Module)
_Result = TypeVar("_Result")
# What a person can mend; anything else is a bug or a lost machine and ends its process at once.
_MENDABLE = (EdgeYoloError, ValueError, OSError, MemoryError)


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among its like.

    Attributes:
        rank: Number of this process over all nodes.
        count: Processes over all nodes.
        local_rank: Number of this process on its node; also its GPU.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """The sum of *value* over all processes, without gradient."""
        if self.count == 1:
            return value
        total = value.detach().clone()
        dist.all_reduce(total)
        return total

    def gather(self, value: Any) -> list[Any]:
        """The (picklable) *value* of every process, in rank order, on every process."""
        if self.count == 1:
            return [value]
        gathered: list[Any] = [None] * self.count
        dist.all_gather_object(gathered, value)
        return gathered

    def from_first(self, value: Any) -> Any:
        """The (picklable) *value* of the first process, on every process."""
        if self.count == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def on_first(self, work: Callable[[], _Result]) -> _Result:
        """What *work* returns (picklable) on the first process, on every process.

        An error of it is raised on every process.
        """
        value: _Result | None = None
        with self.together():
            if self.first:
                value = work()
        result: _Result = self.from_first(value)
        return result

    @contextmanager
    def together(self) -> Iterator[None]:
        """Raise an error that any process meets in this block on all of them; shown once.

        Where the block communicates, all processes must fail at the same place or none.
        """
        if self.count == 1:
            yield
            return
        own: Exception | None = None
        try:
            yield
        except _MENDABLE as error:
            own = error
        reports = self.gather(None if own is None else _report(own))
        failed = next((rank for rank, report in enumerate(reports) if report is not None), None)
        if failed is None:
            return
        if own is not None and failed == self.rank:
            raise own
        kind, text = reports[failed]
        told = kind(text)
        told.told = True
        raise told


def _report(error: Exception) -> tuple[type[EdgeYoloError], str]:
    if isinstance(error, EdgeYoloError):
        return type(error), str(error)
    return TrainingError, one_line(error)


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """The processes that torchrun started, or this one alone.

    Tensors on GPUs travel by NCCL, tensors and records on CPUs by gloo.

    Raises:
        TrainingError: torchrun's variables are there but the processes cannot meet.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    if dist.is_initialized():
        yield Ranks(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_RANK", "0")))
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        dist.init_process_group(backend)
    except (ValueError, RuntimeError) as error:
        raise TrainingError(f"processes started by torchrun cannot meet: {error}") from error
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), int(os.environ["LOCAL_RANK"]))
    except RuntimeError as error:
        if not _is_lost_process(error):
            raise
        raise TrainingError(
            "another process of this training has ended; its own message says why "
            f"({one_line(error, limit=120)})"
        ) from error
    finally:
        dist.destroy_process_group()


def _is_lost_process(error: RuntimeError) -> bool:
    if isinstance(error, dist.DistError):
        return True
    # gloo has no class of its own: "[.../gloo/transport/tcp/pair.cc:...] Connection closed by peer"
    return "gloo" in str(error) or "by peer" in str(error)


class _SumOverRanks(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def _summed(value: Tensor) -> Tensor:
    total: Tensor = _SumOverRanks.apply(value)
    return total


class CommonBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the pictures of all processes, on any device.

    ``torch.nn.SyncBatchNorm`` runs on CUDA only. Mean and squared deviation are summed in two
    rounds, since the sum of squares less the squared mean loses digits.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        self.num_batches_tracked: Tensor | None
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        axes = (0, 2, 3)
        own = torch.full((1,), x.numel() / x.shape[1], device=x.device)
        sums = _summed(torch.cat((x.float().sum(dim=axes), own)))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = x.float() - mean[:, None, None]
        variance = _summed(centred.pow(2).sum(dim=axes)) / count
        if self.running_mean is not None and self.running_var is not None:
            momentum = 0.1 if self.momentum is None else self.momentum
            with torch.no_grad():
                self.running_mean.lerp_(mean, momentum)
                self.running_var.lerp_(variance * (count / (count - 1)), momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        normalised: Tensor = centred * scale[:, None, None] + self.bias[:, None, None]
        return normalised.to(x.dtype)


def synchronized(model: _Model, device: torch.device) -> _Model:
    """*model* with batch statistics over all processes; names of its state stay."""
    if device.type == "cuda":
        converted: _Model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return converted
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(module, name, _common(child))
    return model


def _common(norm: nn.BatchNorm2d) -> CommonBatchNorm:
    momentum = norm.momentum
    copy = CommonBatchNorm(norm.num_features, eps=norm.eps, momentum=momentum)
    copy.load_state_dict(norm.state_dict())
    copy.train(norm.training)
    for ours, theirs in zip(copy.parameters(), norm.parameters(), strict=True):
        ours.requires_grad_(theirs.requires_grad)
    return copy.to(norm.weight.device)


def is_first_process() -> bool:
    """Whether this process prints, also before and after the processes are joined."""
    return int(os.environ.get("RANK", "0")) == 0
