"""Finds the weights in an unpickled root, and what the file says beside them. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from edgeyolo.checkpoints.records import (
    ArrayRecord,
    ModuleRecord,
    RefusedError,
    TensorRecord,
    shown,
)

_MAX_TENSORS = 20_000
_MAX_NAMES = 10_000
# Wrappers that put a word before every key: (distributed) data parallel, torch.compile.
_WRAPPER_PREFIXES = ("module.", "_orig_mod.")
_BATCH_NORM_EPS = 1e-3


@dataclass(frozen=True, slots=True)
class Contents:
    """The weights of one model and what is known about it.

    Attributes:
        tensors: State-dict key -> tensor, in the file's order.
        class_names: From a pickled model; ``None`` where the file has none.
        strides: The tensor ``stride`` of a pickled model, or ``None``.
        negative_slope: Of the LeakyReLU layers of a pickled model, or ``None``.
        activations: Class names of the activations of a pickled model: ``{"SiLU"}``.
        extras: Plain values from the top of the file: epoch, best score.
    """

    tensors: dict[str, TensorRecord]
    class_names: tuple[str, ...] | None = None
    strides: TensorRecord | None = None
    negative_slope: float | None = None
    activations: frozenset[str] = frozenset()
    extras: Mapping[str, str | int | float] = field(default_factory=dict)


def find_contents(root: object) -> Contents:
    """The model to use: ``ema`` if there is one, else ``model``, ``state_dict`` or the root.

    Raises:
        RefusedError: No weights are found; the message lists what is there.
    """
    model = root
    if isinstance(root, dict) and not _is_state(root):
        model = next(
            (root[key] for key in ("ema", "model", "state_dict") if _is_model(root.get(key))), None
        )
        if model is None:
            keys = ", ".join(shown(key) for key in list(root)[:8])
            raise RefusedError(
                f"it holds no weights under 'model', 'ema' or 'state_dict'; its keys: {keys}"
            )
    extras = _plain_values(root) if isinstance(root, dict) else {}
    if isinstance(model, ModuleRecord):
        model = _unwrapped(model)
        return _contents_of_module(model, extras)
    if isinstance(model, dict) and _is_state(model):
        return Contents(_without_prefix(_state_tensors(model)), extras=extras)
    raise RefusedError(f"it holds {shown(root)} where weights were expected")


def _is_model(value: object) -> bool:
    return isinstance(value, ModuleRecord) or (isinstance(value, dict) and _is_state(value))


def _is_state(value: dict[object, object]) -> bool:
    return any(
        isinstance(item, TensorRecord) and isinstance(key, str) and key.endswith(".weight")
        for key, item in value.items()
    )


def _state_tensors(state: dict[object, object]) -> dict[str, TensorRecord]:
    if len(state) > _MAX_TENSORS:
        raise RefusedError(f"its state dict has {len(state):,} entries")
    return {
        key: value
        for key, value in state.items()
        if isinstance(key, str) and isinstance(value, TensorRecord)
    }


def _without_prefix(tensors: dict[str, TensorRecord]) -> dict[str, TensorRecord]:
    for prefix in _WRAPPER_PREFIXES:
        while tensors and all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def _unwrapped(model: ModuleRecord) -> ModuleRecord:
    for _ in range(4):
        inner = model.children("_modules").get("module")
        if not isinstance(inner, ModuleRecord):
            return model
        model = inner
    return model


def _contents_of_module(model: ModuleRecord, extras: Mapping[str, str | int | float]) -> Contents:
    tensors: dict[str, TensorRecord] = {}
    activations: set[str] = set()
    slopes: set[float] = set()
    for prefix, module in _walk(model):
        _collect(module, prefix, tensors)
        kind = module.class_name.name
        if module.class_name.module == "torch.nn.modules.activation":
            activations.add(kind)
            slope = module.attributes.get("negative_slope")
            if isinstance(slope, float):
                slopes.add(slope)
        eps = module.attributes.get("eps")
        if kind == "BatchNorm2d" and isinstance(eps, float) and abs(eps - _BATCH_NORM_EPS) > 1e-9:
            raise RefusedError(
                f"its batch norm {prefix.rstrip('.')!r} has eps {eps}, both families use "
                f"{_BATCH_NORM_EPS}; such a model would compute something else here"
            )
    if not tensors:
        raise RefusedError(f"its model, a {model.class_name}, has no weights")
    stride = model.attributes.get("stride")
    return Contents(
        tensors,
        class_names=_class_names(model.attributes.get("names")),
        strides=stride if isinstance(stride, TensorRecord) else None,
        negative_slope=slopes.pop() if len(slopes) == 1 else None,
        activations=frozenset(activations),
        extras=extras,
    )


def _walk(model: ModuleRecord) -> Iterator[tuple[str, ModuleRecord]]:
    """Every module with its key prefix, in the order of ``state_dict()``."""
    pending: list[tuple[str, ModuleRecord]] = [("", model)]
    for _ in range(_MAX_TENSORS):
        if not pending:
            return
        prefix, module = pending.pop()
        yield prefix, module
        children = module.children("_modules")
        pending.extend(
            (f"{prefix}{name}.", child)
            for name, child in reversed(children.items())
            if isinstance(child, ModuleRecord)
        )
    raise RefusedError(f"its model has more than {_MAX_TENSORS:,} layers")


def _collect(module: ModuleRecord, prefix: str, tensors: dict[str, TensorRecord]) -> None:
    volatile = module.attributes.get("_non_persistent_buffers_set")
    skipped = volatile if isinstance(volatile, (set, frozenset)) else frozenset()
    for kind in ("_parameters", "_buffers"):
        for name, value in module.children(kind).items():
            if isinstance(value, TensorRecord) and not (kind == "_buffers" and name in skipped):
                tensors[prefix + name] = value


def _class_names(value: object) -> tuple[str, ...] | None:
    """From a list, or a dict from class id to name; ``None`` where the file has none."""
    if isinstance(value, dict) and value.keys() == set(range(len(value))):
        value = [value[index] for index in range(len(value))]
    if not isinstance(value, (list, tuple)) or not 0 < len(value) <= _MAX_NAMES:
        return None
    if any(not isinstance(name, str) or not name.strip() for name in value):
        return None
    return tuple(value)


def _plain_values(root: dict[object, object]) -> dict[str, str | int | float]:
    values: dict[str, str | int | float] = {}
    for key, value in root.items():
        if isinstance(value, ArrayRecord):
            value = value.number()
        if isinstance(key, str) and isinstance(value, (str, int, float)) and len(values) < 64:
            values[key[:100]] = value[:1000] if isinstance(value, str) else value
    return values
