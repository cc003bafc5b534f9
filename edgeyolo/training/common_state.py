"""One state for all processes: what differs between them is averaged, what one has is shared.

A checkpoint holds the state of the first process. Two things are not the same on the others:
gradients that wait for more batches before a step, and batch statistics without ``SyncBN``. Both
are averaged before every checkpoint and every evaluation, whether or not somebody kills the run,
so that a resumed training computes with the very numbers that the undisturbed one had. Averaging
the gradients early changes nothing else: the step takes the mean over all processes anyway.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from edgeyolo.training.distributed import Ranks

_STATISTICS = (".running_mean", ".running_var")


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter], ranks: Ranks) -> None:
    """Replace waiting gradients by their mean over all processes."""
    if ranks.count == 1:
        return
    trained = list(parameters)
    if not trained:
        return
    waiting = torch.tensor(
        [float(parameter.grad is not None) for parameter in trained], device=trained[0].device
    )
    for parameter, holders in zip(trained, ranks.sum(waiting).tolist(), strict=True):
        if not holders:
            continue
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        dist.all_reduce(parameter.grad)
        parameter.grad.div_(ranks.count)


@torch.no_grad()
def average_statistics(model: nn.Module, ranks: Ranks) -> None:
    """Replace batch statistics by their mean over all processes, as YOLOX does to evaluate."""
    if ranks.count == 1:
        return
    for name, value in model.state_dict().items():
        if name.endswith(_STATISTICS):
            dist.all_reduce(value)
            value.div_(ranks.count)


@torch.no_grad()
def share_weights(model: nn.Module, ranks: Ranks) -> None:
    """Give every process the parameters and buffers of the first one."""
    if ranks.count == 1:
        return
    for value in model.state_dict().values():
        dist.broadcast(value, src=0)


@dataclass(frozen=True, slots=True)
class _Placeholder:
    """Where a tensor stood in a tree that travels without its tensors."""

    shape: tuple[int, ...]
    dtype: torch.dtype


def share_tree(tree: Any, ranks: Ranks, device: torch.device) -> Any:
    """The first process's nested dicts and lists of tensors and plain values, on every process.

    Tensors travel one by one, so that no process needs room for a second copy of them all.

    Args:
        tree: Of the first process; ignored on the others.
        ranks: The processes.
        device: What their backend communicates on.

    Returns:
        The tree with its tensors on the CPU; on the first process *tree* itself.
    """
    if ranks.count == 1:
        return tree
    outline = ranks.from_first(_outlined(tree) if ranks.first else None)
    return _filled(outline, tree, ranks, device)


def _outlined(tree: Any) -> Any:
    if isinstance(tree, Tensor):
        return _Placeholder(tuple(tree.shape), tree.dtype)
    if isinstance(tree, dict):
        return {key: _outlined(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_outlined(value) for value in tree]
    return tree


def _filled(outline: Any, tree: Any, ranks: Ranks, device: torch.device) -> Any:
    if isinstance(outline, _Placeholder):
        if ranks.first:
            value = tree.to(device).contiguous()
        else:
            value = torch.empty(outline.shape, dtype=outline.dtype, device=device)
        dist.broadcast(value, src=0)
        return tree if ranks.first else value.cpu()
    if isinstance(outline, dict):
        return {
            key: _filled(value, tree[key] if ranks.first else None, ranks, device)
            for key, value in outline.items()
        }
    if isinstance(outline, list):
        return [
            _filled(value, tree[index] if ranks.first else None, ranks, device)
            for index, value in enumerate(outline)
        ]
    return outline
