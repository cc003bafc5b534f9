"""From records to torch tensors: the last step, reached only by files that were not refused."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor

from edgeyolo.checkpoints.containers import Stored
from edgeyolo.checkpoints.records import ITEM_BYTES, RefusedError, TensorRecord

_DTYPES: Mapping[str, torch.dtype] = {name: getattr(torch, name) for name in ITEM_BYTES}

# Tensors may share storages, which a hostile file could use to multiply its size.
_MAX_BYTES_PER_FILE_BYTE = 16


def to_state(stored: Stored, tensors: Mapping[str, TensorRecord]) -> OrderedDict[str, Tensor]:
    """Contiguous copies: floating point as float32, whole numbers as they are.

    Raises:
        RefusedError: A value is not finite, or shared storages add up to many times the file.
    """
    state: OrderedDict[str, Tensor] = OrderedDict()
    budget_bytes = _MAX_BYTES_PER_FILE_BYTE * stored.file_bytes
    for key, record in tensors.items():
        budget_bytes -= record.storage.count * ITEM_BYTES[record.storage.dtype]
        if budget_bytes < 0:
            raise RefusedError("its tensors add up to many times the size of the file")
        tensor = to_tensor(stored, record)
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise RefusedError(f"its tensor {key!r} holds NaN or infinite values")
        state[key] = tensor
    return state


def to_tensor(stored: Stored, record: TensorRecord) -> Tensor:
    """One tensor, as :func:`to_state` gives them."""
    dtype = _DTYPES[record.storage.dtype]
    if not record.element_count:
        tensor = torch.empty(record.shape, dtype=dtype)
    else:
        block = torch.frombuffer(bytearray(stored.tensor_bytes(record)), dtype=dtype)
        tensor = block.as_strided(record.shape, record.strides, record.offset)
    if dtype.is_floating_point:
        tensor = tensor.to(torch.float32)
    return tensor.contiguous().clone()
