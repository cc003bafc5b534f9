"""The names that a checkpoint may use, and the inert record that each stands for.

The list is closed: number types and tensors of torch, ordered dicts and sets, numpy scalars
and arrays of numbers, and the classes of networks (``models.*`` of the official YOLOv7
repository, ``yolox.models.*``, layers of ``torch.nn``), which become :class:`ModuleRecord`
whatever they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgeyolo.checkpoints.records import (
    ArrayRecord,
    DtypeRecord,
    GlobalName,
    ModuleRecord,
    RefusedError,
    StorageRecord,
    TensorRecord,
    shown,
)

_NUMPY_CODES = {
    *("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"),
}
STORAGE_DTYPES: Mapping[str, str] = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
# Modules whose classes are layers or networks; a class of theirs is only ever a name here.
_NETWORK_MODULES = frozenset(
    {
        *("models.yolo", "models.common", "models.experimental"),
        *(
            f"yolox.models.{name}"
            for name in ("darknet", "losses", "network_blocks", "yolo_head", "yolo_pafpn", "yolox")
        ),
        "torch.nn.parallel.data_parallel",
        *(
            f"torch.nn.modules.{name}"
            for name in (
                *("activation", "batchnorm", "container", "conv", "dropout", "flatten", "linear"),
                *(
                    "loss",
                    "module",
                    "normalization",
                    "padding",
                    "pixelshuffle",
                    "pooling",
                    "upsampling",
                ),
            )
        ),
    }
)
_MAX_ARRAY_BYTES = 16 << 20


def find(module: str, name: str) -> GlobalName:
    """The record of a name that is on the list.

    Raises:
        RefusedError: It is not; the message says that nothing was run.
    """
    found = GlobalName(module, name)
    if found in _FUNCTIONS or found in _MARKERS or is_network(found) or storage_dtype(found):
        return found
    shown = "".join(c if c.isprintable() else "?" for c in f"{module}.{name}")[:120]
    raise RefusedError(
        f"it wants to load {shown}, which no YOLOX or YOLOv7 checkpoint needs; "
        "nothing was run. Only use a file from a source you trust; if this one is, save its "
        "state dict alone: torch.save(model.state_dict(), path)"
    )


def is_network(found: GlobalName) -> bool:
    """Whether the name is that of a class of layers or networks."""
    return found.module in _NETWORK_MODULES and found.name.isidentifier()


def storage_dtype(found: GlobalName) -> str | None:
    """``"float16"`` for ``torch.HalfStorage`` and ``torch.cuda.HalfStorage``."""
    if found.module in ("torch", "torch.cuda"):
        return STORAGE_DTYPES.get(found.name)
    return None


def call(function: object, arguments: object) -> object:
    """What the pickle opcode REDUCE yields: the record for *function* applied to *arguments*."""
    if not isinstance(function, GlobalName) or not isinstance(arguments, tuple):
        raise RefusedError("its pickle calls something that is not a known function")
    rebuild = _FUNCTIONS.get(function)
    if rebuild is None:
        if is_network(function):
            return create(function, arguments)
        raise RefusedError(f"its pickle calls {function}, which is not a function")
    try:
        return rebuild(*arguments)
    except TypeError as error:
        raise RefusedError(f"its pickle calls {function} with wrong arguments") from error


def create(class_name: object, arguments: object) -> object:
    """What NEWOBJ yields: an empty record of a network class, or an empty dict or set."""
    if not isinstance(class_name, GlobalName):
        raise RefusedError("its pickle creates an object of something that is not a class")
    if is_network(class_name):
        if arguments != ():
            raise RefusedError(f"its pickle creates a {class_name} with arguments")
        return ModuleRecord(class_name)
    if class_name in _CONTAINERS and isinstance(arguments, tuple):
        return call(class_name, arguments)
    raise RefusedError(f"its pickle creates an object of {class_name}, which is not a class")


def build(target: object, state: object) -> object:
    """What BUILD yields: *target* with the attributes in *state*."""
    if isinstance(target, ModuleRecord):
        if not isinstance(state, dict) or any(not isinstance(key, str) for key in state):
            raise RefusedError(f"the attributes of a {target.class_name} are not a dict")
        # ``update`` and not assignment: "__setstate__" is a key here like any other.
        target.attributes.update(state)
        return target
    if isinstance(target, ArrayRecord):
        _fill_array(target, state)
        return target
    if isinstance(target, DtypeRecord):
        if isinstance(state, tuple) and len(state) > 1:
            target.little = state[1] in ("<", "|")
            return target
    elif isinstance(target, dict) and isinstance(state, dict):
        return target  # ``_metadata`` of a state dict: versions of torch's own layers
    raise RefusedError(f"its pickle sets attributes of a {type(target).__name__}")


# The functions


def _tensor(
    storage: object, offset: object, shape: object, strides: object, *_: object
) -> TensorRecord:
    if not isinstance(storage, StorageRecord):
        raise RefusedError("its pickle builds a tensor without a storage")
    if not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise RefusedError("its pickle builds a tensor without a shape")
    return TensorRecord(storage, offset, shape, strides)  # type: ignore[arg-type]


def _parameter(data: object, *_: object) -> object:
    if not isinstance(data, TensorRecord):
        raise RefusedError("its pickle builds a parameter from something that is not a tensor")
    return data


def _typed_tensor(function: object, kind: object, arguments: object, _: object) -> object:
    if function not in (_REBUILD, _REBUILD_PARAMETER) or kind not in (_TENSOR, _PARAMETER):
        raise RefusedError(f"its pickle builds a tensor of the type {shown(kind)}")
    return call(function, arguments)


def _ordered_dict(pairs: object = ()) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    if not isinstance(pairs, (list, tuple)):
        raise RefusedError("its pickle builds a dict from something that is not a list of pairs")
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not _plain_key(pair[0]):
            raise RefusedError("its pickle builds a dict from something that is not a pair")
        result[pair[0]] = pair[1]
    return result


def _set(items: object = ()) -> set[Any]:
    if not isinstance(items, (list, tuple)) or not all(map(_plain_key, items)):
        raise RefusedError("its pickle builds a set from something else than plain values")
    return set(items)


def _plain_key(key: object) -> bool:
    return (
        key is None
        or isinstance(key, (str, bytes))
        or (isinstance(key, int) and key.bit_length() <= 64)
    )


def _encoded(text: object, encoding: object = "utf-8") -> bytes:
    """``_codecs.encode``: how protocols below 3 write bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise RefusedError("its pickle encodes text in a way torch.save never does")
    return text.encode("latin-1")


def _bytes(*parts: object) -> bytes:
    if parts:
        raise RefusedError("its pickle builds bytes from other objects")
    return b""


def _size(values: object = ()) -> tuple[object, ...]:
    if not isinstance(values, (list, tuple)):
        raise RefusedError("its pickle builds a shape from something that is not a list")
    return tuple(values)


def _device(*parts: object) -> str:
    return ":".join(str(part) for part in parts if isinstance(part, (str, int)))[:40]


def _dtype(code: object, *_: object) -> DtypeRecord:
    if code not in _NUMPY_CODES:
        raise RefusedError(
            f"it holds a numpy array of the type {shown(code)}; only arrays of numbers are read"
        )
    return DtypeRecord(str(code))


def _empty_array(kind: object, shape: object, code: object) -> ArrayRecord:
    if kind != GlobalName("numpy", "ndarray"):
        raise RefusedError(f"its pickle builds an array of the type {shown(kind)}")
    return ArrayRecord()


def _scalar(dtype: object, data: object = b"") -> ArrayRecord:
    record = ArrayRecord()
    _fill_array(record, (1, (), dtype, False, data))
    return record


def _array_of_bytes(data: object, dtype: object, shape: object, _: object) -> ArrayRecord:
    """How protocol 5 writes arrays."""
    record = ArrayRecord()
    _fill_array(record, (1, shape, dtype, False, data))
    return record


def _fill_array(record: ArrayRecord, state: object) -> None:
    if not isinstance(state, tuple) or len(state) != 5:
        raise RefusedError("it holds a numpy array in a form that is not known")
    _, shape, dtype, _, data = state
    if isinstance(data, str):
        data = _encoded(data, "latin-1")  # written by Python 2
    if not isinstance(dtype, DtypeRecord) or not isinstance(data, bytes):
        raise RefusedError("it holds a numpy array of objects; only arrays of numbers are read")
    if (
        not isinstance(shape, tuple)
        or len(shape) > 8
        or any(type(side) is not int or not 0 <= side <= _MAX_ARRAY_BYTES for side in shape)
    ):
        raise RefusedError(f"it holds a numpy array of the impossible shape {shown(shape)}")
    expected_bytes = int(dtype.code[1:])
    for side in shape:
        expected_bytes *= side
    if expected_bytes != len(data):
        raise RefusedError(
            f"it holds a numpy array that claims {expected_bytes} bytes and has {len(data)}"
        )
    record.dtype, record.shape, record.data = dtype, shape, data


def _reconstructed(class_name: object, base: object, state: object) -> object:
    """``copyreg._reconstructor``: how protocols 0 and 1 create an object."""
    if base not in _OBJECT or state is not None:
        raise RefusedError("its pickle creates an object in a way torch.save never does")
    return create(class_name, ())


_TENSOR = GlobalName("torch", "Tensor")
_PARAMETER = GlobalName("torch.nn.parameter", "Parameter")
_REBUILD = GlobalName("torch._utils", "_rebuild_tensor_v2")
_REBUILD_PARAMETER = GlobalName("torch._utils", "_rebuild_parameter")
_OBJECT = {GlobalName("__builtin__", "object"), GlobalName("builtins", "object")}

_BUILTIN_FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "set": _set,
    "frozenset": _set,
    "dict": _ordered_dict,
    "bytes": _bytes,
}

_FUNCTIONS: Mapping[GlobalName, Callable[..., object]] = {
    _REBUILD: _tensor,
    GlobalName("torch._utils", "_rebuild_tensor"): _tensor,
    _REBUILD_PARAMETER: _parameter,
    GlobalName("torch._tensor", "_rebuild_from_type_v2"): _typed_tensor,
    GlobalName("torch", "Size"): _size,
    GlobalName("torch", "device"): _device,
    GlobalName("collections", "OrderedDict"): _ordered_dict,
    GlobalName("_codecs", "encode"): _encoded,
    GlobalName("numpy", "dtype"): _dtype,
    GlobalName("numpy.core.multiarray", "_reconstruct"): _empty_array,
    GlobalName("numpy._core.multiarray", "_reconstruct"): _empty_array,
    GlobalName("numpy.core.multiarray", "scalar"): _scalar,
    GlobalName("numpy._core.multiarray", "scalar"): _scalar,
    GlobalName("numpy.core.numeric", "_frombuffer"): _array_of_bytes,
    GlobalName("numpy._core.numeric", "_frombuffer"): _array_of_bytes,
    GlobalName("copyreg", "_reconstructor"): _reconstructed,
    GlobalName("copy_reg", "_reconstructor"): _reconstructed,
    **{
        GlobalName(module, name): function
        for module in ("__builtin__", "builtins")
        for name, function in _BUILTIN_FUNCTIONS.items()
    },
}

_CONTAINERS = {
    GlobalName("collections", "OrderedDict"),
    *(GlobalName(module, "set") for module in ("__builtin__", "builtins")),
    *(GlobalName(module, "dict") for module in ("__builtin__", "builtins")),
}

# Names that appear as arguments or values and do nothing.
_MARKERS = {
    _TENSOR,
    _PARAMETER,
    GlobalName("numpy", "ndarray"),
    *_OBJECT,
    *(GlobalName("torch", dtype) for dtype in STORAGE_DTYPES.values()),
    *(GlobalName("torch", name.replace("Storage", "Tensor")) for name in STORAGE_DTYPES),
}
