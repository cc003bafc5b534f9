"""A stand-in for ``tensorrt`` that has what a recorded version has, and nothing else.

Which classes, members, parameters and enum members exist comes from the recording
(:mod:`extract_tensorrt_api`): anything else raises ``AttributeError`` or ``TypeError``, as the
real bindings do. Behind them stands the least that makes a call sequence right or wrong: the
documented rules of each version, and ONNX Runtime in the place of the GPU. Using what is deprecated
in a version raises ``AssertionError``.
"""

from __future__ import annotations

import ctypes
import enum
import json
import re
import types
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from tests.doubles.extract_tensorrt_api import DEPRECATED, absent_from

VERSIONS = ("8.6.1", "10.3.0", "10.16.1.11", "11.4.0.106")
_API = json.loads(Path(__file__).with_name("tensorrt_api.json").read_text())
_TYPE_NAMES = {
    TensorProto.FLOAT: "FLOAT",
    TensorProto.FLOAT16: "HALF",
    TensorProto.UINT8: "UINT8",
    TensorProto.INT8: "INT8",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT32",
    TensorProto.BOOL: "BOOL",
}
_NEWEST_OPSET = {8: 17, 10: 22, 11: 25}
_KNOWN_OPS_MISSING = frozenset({"Foo"})


def recorded_tensorrt(version: str, libcuda: Any = None) -> Any:
    """A module like ``tensorrt`` of *version*.

    Args:
        libcuda: The driver's double, which is told of work during a capture.

    Attributes of the result beside the recorded ones: ``calls`` (``["Builder.create_network",
    ...]``), ``dla_cores``, ``state`` of the last build.
    """
    api = _API[version]
    module = types.ModuleType("tensorrt")
    module.__dict__.update(
        __version__=version,
        calls=[],
        dla_cores=0,
        libcuda=libcuda,
        api=api,
        builds=[],
        deprecated=_deprecated(version),
    )
    for name, members in api["enums"].items():
        module.__dict__[name] = _enum(name, members)
    for name, members in api["classes"].items():
        module.__dict__[name] = _recorded_class(module, name, members)
    return module


def _deprecated(version: str) -> set[str]:
    """Members of *version* that must not be used there: marked, or gone in the next recording."""
    later = dict(pairwise(VERSIONS)).get(version)
    if later is None:
        return set(json.loads(DEPRECATED.read_text())["members"])
    return absent_from(_API[later], _API[version])


def _refuse_deprecated(module: Any, *names: str) -> None:
    for name in names:
        if name in module.deprecated:
            raise AssertionError(f"{name} is deprecated in {module.__version__}")


def _enum(name: str, members: list[str]) -> Any:
    return enum.Enum(
        name,
        {member: index for index, member in enumerate(members)},
        type=type("_Int", (), {"__int__": lambda self: int(self.value)}),
    )


def _recorded_class(module: Any, name: str, members: dict[str, Any]) -> type:
    behaviour = _BEHAVIOURS.get(name, object)
    allowed = {member for member in members if not member.startswith("__")}

    def guard(instance: Any, attribute: str, value: Any) -> None:
        if not attribute.startswith("_") and attribute not in allowed:
            raise AttributeError(f"{name!r} object of {module.__version__} has no {attribute!r}")
        _refuse_deprecated(module, f"{name}.{attribute}", *_enum_names(value))
        object.__setattr__(instance, attribute, value)

    namespace: dict[str, Any] = {"_module": module, "__setattr__": guard}
    for member, parameters in members.items():
        if member.startswith("__"):
            continue
        implementation = getattr(behaviour, f"do_{member}", None)
        if parameters is None:
            if isinstance(implementation, property):
                namespace[member] = _recorded_property(module, name, member, implementation)
        else:
            namespace[member] = _recorded_call(module, name, member, parameters, implementation)
    return type(name, (behaviour,), namespace)


def _recorded_property(module: Any, owner: str, member: str, implementation: property) -> property:
    def read(self: Any) -> Any:
        _refuse_deprecated(module, f"{owner}.{member}")
        assert implementation.fget is not None
        return implementation.fget(self)

    return property(read)


def _enum_names(*values: Any) -> list[str]:
    return [f"{type(v).__name__}.{v.name}" for v in values if isinstance(v, enum.Enum)]


def _recorded_call(
    module: Any, owner: str, member: str, parameters: list[str], implementation: Any
) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        module.calls.append(f"{owner}.{member}")
        _refuse_deprecated(module, f"{owner}.{member}", *_enum_names(*args, *kwargs.values()))
        if parameters != ["*"]:
            _check_arguments(f"{owner}.{member}", parameters, args, kwargs)
        if implementation is None:
            raise AssertionError(f"the double has no behaviour for {owner}.{member}")
        return implementation(self, *args, **kwargs)

    return call


def _check_arguments(
    name: str, parameters: list[str], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    names = [re.split(r"[:=]", parameter)[0].strip() for parameter in parameters]
    required = [n for n, p in zip(names, parameters, strict=True) if "=" not in p]
    given = [*names[: len(args)], *kwargs]
    if len(args) > len(names) or set(kwargs) - set(names) or not set(required) <= set(given):
        raise TypeError(f"{name}({', '.join(parameters)}) called with {args} {kwargs}")
    for parameter, value in zip(parameters, args, strict=False):
        if ": str" in parameter and not isinstance(value, str):
            raise TypeError(f"{name}: {parameter} got {value!r}")
        if re.search(r": (int|typing.SupportsInt)\b", parameter) and not isinstance(value, int):
            raise TypeError(f"{name}: {parameter} got {value!r}")


class _Part:
    """What every class of the double has beside what was recorded."""

    _module: Any
    _logger: Any


class _Logger:
    Severity = enum.IntEnum(
        "Severity", ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"], start=0
    )

    def __init__(self) -> None: ...


class _Builder(_Part):
    def __init__(self, logger: Any) -> None:
        assert isinstance(logger, self._module.ILogger)
        self._logger = logger
        self.num_DLA_cores = self._module.dla_cores

    def do_create_network(self, flags: int = 0) -> Any:
        module = self._module
        network = module.INetworkDefinition()
        members = list(module.NetworkDefinitionCreationFlag)
        assert flags < 1 << len(members), f"{module.__version__} has no creation flags {flags:b}"
        chosen = [member for member in members if flags >> member.value & 1]
        _refuse_deprecated(module, *_enum_names(*chosen))
        network._flags = {member.name for member in chosen}
        return network

    def do_create_builder_config(self) -> Any:
        return self._module.IBuilderConfig()

    def do_create_optimization_profile(self) -> Any:
        return self._module.IOptimizationProfile()

    def do_build_serialized_network(self, network: Any, config: Any) -> Any:
        module = self._module
        module.builds.append((network, config))
        if problem := _why_not_built(module, network, config):
            self._logger.log(_Logger.Severity.ERROR, problem)
            return None
        memory = module.IHostMemory()
        profile = config._profiles[0] if config._profiles else []
        header = json.dumps({"version": module.__version__, "profile": profile}).encode()
        memory._bytes = header + b"\n" + network._model.SerializeToString()
        return memory


def _why_not_built(module: Any, network: Any, config: Any) -> str | None:
    """The documented rules about types; ``None`` where all are kept."""
    strong = int(module.__version__.split(".")[0]) >= 11 or "STRONGLY_TYPED" in network._flags
    precise = config._flags & {"FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"}
    ops = {node.op_type for node in network._model.graph.node}
    halves = any(t.data_type == TensorProto.FLOAT16 for t in network._model.graph.initializer)
    if strong and precise:
        return f"precision flags {sorted(precise)} on a strongly typed network"
    if not strong and "QuantizeLinear" in ops and "INT8" not in config._flags:
        return "a Q/DQ network needs BuilderFlag.INT8"
    if not strong and halves and "FP16" not in config._flags:
        return "a network with FP16 tensors needs BuilderFlag.FP16"
    dynamic = any(side < 0 for tensor in network._inputs for side in tensor.shape)
    if dynamic and not config._profiles:
        return "a network with dynamic shapes needs an optimization profile"
    if getattr(config, "default_device_type", None) == module.DeviceType.DLA:
        if strong and module.__version__.startswith("10"):
            return "DLA does not take strongly typed networks"
        if "GPU_FALLBACK" not in config._flags:
            return "layers that DLA does not have need GPU_FALLBACK"
    return None


class _Config(_Part):
    def __init__(self) -> None:
        self._flags: set[str] = {"TF32"}
        self._pools: dict[str, int] = {}
        self._profiles: list[Any] = []
        self._cache: Any = None
        self.builder_optimization_level = 3

    def do_set_flag(self, flag: Any) -> None:
        assert isinstance(flag, self._module.BuilderFlag)
        self._flags.add(flag.name)

    def do_clear_flag(self, flag: Any) -> None:
        self._flags.discard(flag.name)

    def do_set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        self._pools[pool.name] = pool_size

    def do_add_optimization_profile(self, profile: Any) -> int:
        self._profiles.append(profile._shapes)
        return len(self._profiles) - 1

    def do_create_timing_cache(self, serialized_timing_cache: bytes) -> Any:
        if serialized_timing_cache and not serialized_timing_cache.startswith(b"timings of "):
            return None
        cache = self._module.ITimingCache()
        cache._bytes = serialized_timing_cache or b"timings of " + self._own()
        return cache

    def do_set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        if not cache._bytes.endswith(self._own()):
            return False
        self._cache = cache
        return True

    def do_get_timing_cache(self) -> Any:
        return self._cache

    def _own(self) -> bytes:
        return str(self._module.__version__).encode()


class _Profile(_Part):
    _shapes: Any = None

    def do_set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
        self._shapes = [list(min), list(opt), list(max)]


class _TimingCache(_Part):
    _bytes = b""

    def do_serialize(self) -> Any:
        memory = self._module.IHostMemory()
        memory._bytes = self._bytes
        return memory


class _HostMemory(_Part):
    _bytes = b""

    def __bytes__(self) -> bytes:
        return self._bytes


class _Network(_Part):
    def __init__(self) -> None:
        self._flags: set[str] = set()
        self._inputs: list[Any] = []
        self._layers: list[Any] = []
        self._model: Any = None

    do_num_inputs = property(lambda self: len(self._inputs))
    do_num_layers = property(lambda self: len(self._layers))

    def do_get_input(self, index: int) -> Any:
        return self._inputs[index]

    def do_get_layer(self, index: int) -> Any:
        return self._layers[index]


class _Tensor(_Part):
    do_name = property(lambda self: self._name)
    do_shape = property(lambda self: self._shape)
    do_dtype = property(lambda self: self._dtype)


class _Layer(_Part):
    def __init__(self) -> None:
        self._outputs: list[Any] = []
        self._types: dict[int, Any] = {}

    do_name = property(lambda self: self._name)
    do_type = property(lambda self: self._type)
    do_num_outputs = property(lambda self: len(self._outputs))

    def do_get_output(self, index: int) -> Any:
        return self._outputs[index]

    def do_set_output_type(self, index: int, dtype: Any) -> None:
        self._types[index] = dtype


class _ParserError(_Part):
    _desc, _node, _name, _op = "", -1, "", ""

    def do_desc(self) -> str:
        return self._desc

    def do_node(self) -> int:
        return self._node

    def do_node_name(self) -> str:
        return self._name

    def do_node_operator(self) -> str:
        return self._op


class _Parser(_Part):
    def __init__(self, network: Any, logger: Any) -> None:
        self._network, self._logger = network, logger
        self._errors: list[Any] = []
        self._said: set[str] = set()

    do_num_errors = property(lambda self: len(self._errors))

    def do_get_error(self, index: int) -> Any:
        return self._errors[index]

    def do_parse(self, model: bytes, path: str | None = None) -> bool:
        module = self._module
        major = int(module.__version__.split(".")[0])
        proto = onnx.load_from_string(model)
        if major == 8 and "EXPLICIT_BATCH" not in self._network._flags:
            return self._fail(-1, "", "", "the ONNX parser needs EXPLICIT_BATCH")
        if proto.opset_import[0].version > _NEWEST_OPSET[major]:
            return self._fail(-1, "", "", f"opset {proto.opset_import[0].version} is too new")
        constants = {t.name: t for t in proto.graph.initializer}
        types_of = _types_of(proto)
        if major == 8:
            self._warn_of_int64(constants.values())
        for index, node in enumerate(proto.graph.node):
            self._logger.log(
                _Logger.Severity.VERBOSE, f"Parsing node: {node.name} [{node.op_type}]"
            )
            if problem := _why_not_imported(node, constants, types_of, proto, major):
                return self._fail(index, node.name, node.op_type, problem)
            if major == 8 and node.op_type == "Constant":
                self._warn_of_int64([helper.get_attribute_value(node.attribute[0])])
            if major == 8 and node.op_type in ("ArgMax", "TopK"):
                # The parser itself types the indices.
                self._warn(
                    "Tensor DataType is determined at build time for tensors not marked as input "
                    "or output."
                )
            if node.name == "clamped":
                self._warn("weight out of range was clamped")
        self._fill(proto, types_of)
        return True

    def _warn_of_int64(self, tensors: Iterable[onnx.TensorProto]) -> None:
        """What convertINT64 of onnx2trt_utils.cpp (8.6.1) says, each once a parser."""
        for tensor in tensors:
            if tensor.data_type != TensorProto.INT64:
                continue
            self._warn_once(
                "onnx2trt_utils.cpp:374: Your ONNX model has been generated with INT64 weights, "
                "while TensorRT does not natively support INT64. Attempting to cast down to INT32."
            )
            values, int32 = numpy_helper.to_array(tensor), np.iinfo(np.int32)
            if ((values > int32.max) | (values < int32.min)).any():
                self._warn_once(
                    "onnx2trt_utils.cpp:400: One or more weights outside the range of INT32 was "
                    "clamped"
                )

    def _warn_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._warn(text)

    def _warn(self, text: str) -> None:
        self._logger.log(_Logger.Severity.WARNING, text)

    def _fail(self, index: int, name: str, op: str, text: str) -> bool:
        error = self._module.ParserError()
        error._node, error._name, error._op, error._desc = index, name, op, text
        self._errors.append(error)
        return False

    def _fill(self, proto: onnx.ModelProto, types_of: dict[str, int]) -> None:
        module = self._module

        def tensor(name: str, shape: tuple[int, ...] = ()) -> Any:
            made = module.ITensor()
            made._name, made._shape = name, shape
            made._dtype = module.DataType[_TYPE_NAMES[types_of[name]]]
            return made

        self._network._model = proto
        for value in proto.graph.input:
            self._network._inputs.append(tensor(value.name, _shape(value)))
        for node in proto.graph.node:
            layer = module.ILayer()
            kind = "CONSTANT" if node.op_type == "Constant" else "ELEMENTWISE"
            layer._name, layer._type = node.name, module.LayerType[kind]
            layer._outputs = [tensor(name) for name in node.output]
            self._network._layers.append(layer)


def _types_of(proto: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(proto).graph
    return {
        value.name: value.type.tensor_type.elem_type
        for value in (*graph.value_info, *graph.output, *graph.input)
    }


def _why_not_imported(
    node: onnx.NodeProto,
    constants: dict[str, onnx.TensorProto],
    types_of: dict[str, int],
    proto: onnx.ModelProto,
    major: int,
) -> str | None:
    """What the parser's own source refuses (onnx-tensorrt, 8.6-GA and 10), of what we could do."""
    if node.op_type in _KNOWN_OPS_MISSING:
        return "Plugin not found"
    outputs = {value.name for value in proto.graph.output}
    if any(types_of.get(n) == TensorProto.UINT8 and n not in outputs for n in node.output):
        return "TensorRT does not support UINT8 types for intermediate tensors!"
    data = constants.get(node.input[0]) if node.input else None
    if major == 8 and data is not None and data.data_type == TensorProto.INT8:
        return f"{data.name}: invalid weights type of Int8"
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return _why_no_quantiser(node, constants, major)
    return None


def _why_no_quantiser(
    node: onnx.NodeProto, constants: dict[str, onnx.TensorProto], major: int
) -> str | None:
    if major == 8 and len(node.input) != 3:
        return "This version of TensorRT requires 3 inputs for the DequantizeLinear operator."
    scale, *zero_point = (numpy_helper.to_array(constants[name]) for name in node.input[1:])
    if not (scale > 0).all():
        return "Scale coefficients must all be positive"
    if zero_point and zero_point[0].any():
        return "TRT only supports symmetric quantization - zeroPt must be all zeros"
    if zero_point and zero_point[0].dtype != np.int8:
        return f"Found invalid input type of {zero_point[0].dtype}"
    if zero_point and zero_point[0].size != scale.size:
        return "The scale and zero-point must have the same size"
    # 8.6 takes the channels of a constant from its first axis where none is given.
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    data = constants.get(node.input[0])
    if scale.size != 1 and data is not None and data.dims[axis] != scale.size:
        return "The number of scales is not equal to the number of output channels."
    return None


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else -1
        for dim in value.type.tensor_type.shape.dim
    )


class _Runtime(_Part):
    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def do_deserialize_cuda_engine(self, serialized_engine: bytes) -> Any:
        module = self._module
        header, _, model = serialized_engine.partition(b"\n")
        try:
            facts = json.loads(header)
        except ValueError:
            self._logger.log(_Logger.Severity.ERROR, "magic tag does not match, corrupt engine")
            return None
        if facts["version"] != module.__version__:
            self._logger.log(
                _Logger.Severity.ERROR,
                f"engine of version {facts['version']}, expecting {module.__version__}",
            )
            return None
        engine = module.ICudaEngine()
        engine._model = onnx.load_from_string(model)
        engine._profile = facts["profile"]
        engine._tensors = [*engine._model.graph.input, *engine._model.graph.output]
        return engine


class _Engine(_Part):
    _model: Any
    _tensors: list[Any]
    _profile: Any

    do_num_io_tensors = property(lambda self: len(self._tensors))

    def _value(self, name: str) -> Any:
        return next(value for value in self._tensors if value.name == name)

    def do_get_tensor_name(self, index: int) -> str:
        return str(self._tensors[index].name)

    def do_get_tensor_dtype(self, name: str) -> Any:
        types_ = self._module.DataType
        return types_[_TYPE_NAMES[self._value(name).type.tensor_type.elem_type]]

    def do_get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return _shape(self._value(name))

    def do_get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Any]:
        return [tuple(shape) for shape in self._profile]

    def do_create_execution_context(self) -> Any:
        context = self._module.IExecutionContext()
        context._engine = self
        context._session = onnxruntime.InferenceSession(
            self._model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        return context


class _Context(_Part):
    _engine: Any
    _session: Any

    def __init__(self) -> None:
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._allocators: dict[str, Any] = {}
        self._keep: list[Any] = []

    def do_set_input_shape(self, name: str, shape: Any) -> bool:
        smallest, _, largest = self._engine._profile
        if not all(a <= s <= b for a, s, b in zip(smallest, shape, largest, strict=True)):
            return False
        self._shapes[name] = tuple(shape)
        return True

    def _input_shape(self) -> tuple[int, ...]:
        value = self._engine._tensors[0]
        return self._shapes.get(value.name, _shape(value))

    def do_get_tensor_shape(self, name: str) -> tuple[int, ...]:
        value = self._engine._value(name)
        dims = value.type.tensor_type.shape.dim
        names = [dim.dim_param for dim in dims]
        return tuple(
            self._input_shape()[0] if word == "batch" else side
            for word, side in zip(names, _shape(value), strict=True)
        )

    def do_get_max_output_size(self, name: str) -> int:
        return 4 * 7 * 1000

    def do_set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return memory != 0

    def do_set_output_allocator(self, name: str, output_allocator: Any) -> bool:
        assert isinstance(output_allocator, self._module.IOutputAllocator)
        self._allocators[name] = output_allocator
        return True

    def do_execute_async_v3(self, stream_handle: int) -> bool:
        missing = [
            v.name
            for v in self._engine._tensors
            if v.name not in self._addresses and v.name not in self._allocators
        ]
        if missing or stream_handle == 0 or -1 in self._input_shape():
            return False
        libcuda = self._module.libcuda
        if libcuda is not None and libcuda.double_capturing():
            kept = ctypes.CFUNCTYPE(None)(self._work)
            self._keep.append(kept)
            libcuda.double_record_callback(kept)
        else:
            self._work()
        return True

    def _work(self) -> None:
        value = self._engine._tensors[0]
        types_ = {TensorProto.FLOAT: np.float32, TensorProto.UINT8: np.uint8}
        dtype = np.dtype(types_[value.type.tensor_type.elem_type])
        shape = self._input_shape()
        raw = ctypes.string_at(self._addresses[value.name], int(np.prod(shape)) * dtype.itemsize)
        outputs = self._session.run(None, {value.name: np.frombuffer(raw, dtype).reshape(shape)})
        for description, array in zip(self._session.get_outputs(), outputs, strict=True):
            self._give(description.name, np.ascontiguousarray(array))

    def _give(self, name: str, array: Any) -> None:
        address = self._addresses.get(name)
        if name in self._allocators:
            allocator = self._allocators[name]
            if self._module.__version__.startswith("8"):
                address = allocator.reallocate_output(name, 0, array.nbytes, 256)
            else:
                address = allocator.reallocate_output_async(name, 0, array.nbytes, 256, 1)
            allocator.notify_shape(name, array.shape)
        assert address
        ctypes.memmove(address, array.ctypes.data, array.nbytes)


_BEHAVIOURS: dict[str, type] = {
    "ILogger": _Logger,
    "Builder": _Builder,
    "IBuilderConfig": _Config,
    "IOptimizationProfile": _Profile,
    "ITimingCache": _TimingCache,
    "IHostMemory": _HostMemory,
    "INetworkDefinition": _Network,
    "ITensor": _Tensor,
    "ILayer": _Layer,
    "ParserError": _ParserError,
    "OnnxParser": _Parser,
    "Runtime": _Runtime,
    "ICudaEngine": _Engine,
    "IExecutionContext": _Context,
}
