"""Persistent ids: how a pickle in a torch container names a storage outside the pickle."""

from __future__ import annotations

from edgeyolo.checkpoints.allowlist import is_network, storage_dtype
from edgeyolo.checkpoints.records import GlobalName, RefusedError, StorageRecord, shown


def storage_record(identity: object) -> StorageRecord | GlobalName:
    """The storage that *identity* names; its size is still to be checked by the container.

    Old files also name the network's classes this way, with their source text, which is
    ignored.

    Raises:
        RefusedError: *identity* is none of the forms that torch writes.
    """
    if not isinstance(identity, tuple) or not identity:
        raise RefusedError(f"its pickle refers to {shown(identity)} outside itself")
    if identity[0] == "module" and len(identity) == 4:
        if isinstance(identity[1], GlobalName) and is_network(identity[1]):
            return identity[1]
        raise RefusedError("its pickle names a class by something that is not a network class")
    if identity[0] != "storage" or len(identity) not in (5, 6):
        raise RefusedError("its pickle refers to something outside itself that is not a storage")
    _, kind, key, _, count, *view = identity
    dtype = storage_dtype(kind) if isinstance(kind, GlobalName) else None
    if dtype is None:
        raise RefusedError(f"its pickle has a storage of the type {shown(kind)}")
    if not isinstance(key, str) or type(count) is not int or count < 0:
        raise RefusedError("its pickle names a storage by something that is not a key and size")
    if not view or view[0] is None:
        return StorageRecord(dtype, key, count)
    if not isinstance(view[0], tuple) or len(view[0]) != 3:
        raise RefusedError("its pickle has a view of a storage in a form that is not known")
    _, first, view_count = view[0]
    if any(type(n) is not int or n < 0 for n in (first, view_count)) or first + view_count > count:
        raise RefusedError("its pickle has a view that reaches beyond its storage")
    return StorageRecord(dtype, key, view_count, first)
