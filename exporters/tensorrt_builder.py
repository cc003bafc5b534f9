"""ONNX to a serialised TensorRT engine, on the machine that will run it.

One path for ``tensorrt`` 8.6 to 11 and ``tensorrt_rtx``; :mod:`tensorrt_flags` says where they
part. Nothing here needs torch or onnx: it runs on the device.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeyolo.errors import BackendError, UnsupportedError, one_line
from edgeyolo.exporters.tensorrt_flags import BuildFlags, Typing, choose_flags
from edgeyolo.exporters.tensorrt_timings import reuse_timings, timings_of
from edgeyolo.runtimes.tensorrt_log import Message, Severity, logger_of
from edgeyolo.runtimes.tensorrt_modules import TensorRt, make
from edgeyolo.spec import Precision

# Warnings of the parser that mean another type than the file says; they are errors here.
_ABOUT_TYPES = re.compile(
    r"\b(cast(ing)? down|data ?types?|precision|subnormal|u?int(8|32|64)|double|float(16|32|64)?"
    r"|fp16|half|clamp(ed|ing)?|truncat|out of range|unsupported type)\b",
    re.IGNORECASE,
)
# 8.x has no INT64 and says so for every shape constant; only a clamped value would matter.
_INT64_SHAPES = re.compile(r"INT64.*cast down to INT32", re.IGNORECASE | re.DOTALL)
# 8.x says so where its parser itself types an index (ArgMax, TopK); nothing is changed.
_NOTICE = re.compile(r"DataType is determined at build time for tensors not marked", re.IGNORECASE)
# What the builder says of a layer that it parses but cannot run, after "failed. ".
_NO_KERNEL = re.compile(r"(\S+) has no runners that implement it")


@dataclass(frozen=True, slots=True)
class BatchRange:
    """Numbers of pictures per call that an engine with dynamic batch takes.

    Attributes:
        typical: The number it is optimised for.
    """

    smallest: int
    typical: int
    largest: int

    def __post_init__(self) -> None:
        if not 1 <= self.smallest <= self.typical <= self.largest:
            raise ValueError(
                "a batch range is 1 <= smallest <= typical <= largest, got "
                f"{self.smallest}, {self.typical}, {self.largest}"
            )

    def __str__(self) -> str:
        return f"{self.smallest}:{self.typical}:{self.largest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """How to build.

    Attributes:
        batch: Needed where the network's batch is dynamic, else ``None``.
        workspace_mib: Most scratch memory that a layer may use; TensorRT's default (all) if None.
        optimization_level: 0 (builds fast) to 5 (runs fastest); TensorRT's default (3) if None.
        timing_cache: File with kernel timings of earlier builds; read where it fits.
        dla_core: Put what can run there on this DLA, the rest on the GPU.
        compute_capability: For TensorRT for RTX, the one GPU generation to build for (``"7.5"``);
            ``None`` for all from 8.6 on.
        float32_layers: ONNX nodes that stay in FP32 where types do not say so (weak typing).
    """

    precision: Precision
    batch: BatchRange | None = None
    workspace_mib: int | None = None
    optimization_level: int | None = None
    timing_cache: Path | None = None
    dla_core: int | None = None
    compute_capability: str | None = None
    float32_layers: Collection[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        if self.workspace_mib is not None and self.workspace_mib < 1:
            raise ValueError(f"workspace_mib must be at least 1, got {self.workspace_mib}")
        if self.optimization_level is not None and not 0 <= self.optimization_level <= 5:
            raise ValueError(f"optimization_level is 0 to 5, got {self.optimization_level}")
        if self.dla_core is not None and self.dla_core < 0:
            raise ValueError(f"dla_core must not be negative, got {self.dla_core}")


@dataclass(frozen=True, slots=True)
class BuiltEngine:
    """A serialised engine.

    Attributes:
        plan: What the runtime deserialises.
        warnings: What TensorRT warned of, one line each, every line once.
        timings: Kernel timings for the next build, to be kept once the engine is safe.
    """

    plan: bytes
    typing: Typing
    layers: int
    elapsed_s: float
    warnings: tuple[str, ...]
    timings: bytes = b""


def build_engine(trt: TensorRt, onnx_bytes: bytes, options: BuildOptions) -> BuiltEngine:
    """Parse and build.

    Args:
        onnx_bytes: For strong typing the network typed by casts, else the float32 one: see
            :func:`~edgeyolo.exporters.tensorrt_flags.choose_flags`.

    Raises:
        BackendError: A node cannot be parsed, the parser changed a type, or the build failed;
            the node and TensorRT's text are in the message.
        UnsupportedError: This version or machine cannot do what *options* ask for, or has no
            kernel for a node.
    """
    started = time.perf_counter()
    flags = choose_flags(trt, options.precision, dla=options.dla_core is not None)
    logger, log = logger_of(trt)
    with log.collecting() as messages:
        builder = make(trt, "Builder", logger)
        network = builder.create_network(
            _bits(trt, "NetworkDefinitionCreationFlag", flags.creation)
        )
        # The parser owns the weights until the engine is built.
        parser = make(trt, "OnnxParser", network, logger)
        parsed = parser.parse(onnx_bytes)
    if not parsed:
        problem = _parser_error(parser, messages, log.last_node)
        raise BackendError(f"{trt} cannot parse the network: {problem}")
    _refuse_changed_types(trt, messages)
    with log.collecting() as built_messages:
        config = _configure(trt, builder, network, flags, options)
        timings_path = options.timing_cache if trt.has_timing_cache else None
        unused = reuse_timings(config, timings_path) if timings_path else None
        plan = builder.build_serialized_network(network, config)
        problem = log.last_error()
    if plan is None:
        if missing := _NO_KERNEL.search(problem):
            raise UnsupportedError(
                f"{trt} has no kernel for node {missing[1]} (TensorRT for RTX 1.7 has none for "
                "NonMaxSuppression); export without it"
            )
        raise BackendError(
            f"{trt} could not build the engine: {one_line(problem or 'no reason given')}"
            + _memory_hint(problem)
        )
    warnings = [m.text for m in (*messages, *built_messages) if m.severity is Severity.WARNING]
    warnings += [unused] if unused else []
    return BuiltEngine(
        plan=bytes(plan),
        typing=flags.typing,
        layers=network.num_layers,
        elapsed_s=time.perf_counter() - started,
        warnings=tuple(dict.fromkeys(one_line(text) for text in warnings)),
        timings=timings_of(config) if timings_path else b"",
    )


def _bits(trt: TensorRt, enum: str, names: Sequence[str]) -> int:
    return sum(1 << int(trt.member(enum, name)) for name in names)


def _configure(
    trt: TensorRt, builder: Any, network: Any, flags: BuildFlags, options: BuildOptions
) -> Any:
    config = builder.create_builder_config()
    for name in flags.builder:
        config.set_flag(trt.member("BuilderFlag", name))
    for name in flags.cleared:
        config.clear_flag(trt.member("BuilderFlag", name))
    if options.workspace_mib is not None:
        pool = trt.member("MemoryPoolType", "WORKSPACE")
        config.set_memory_pool_limit(pool, options.workspace_mib << 20)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.compute_capability is not None:
        config.num_compute_capabilities = 1
        wanted = "SM" + options.compute_capability.replace(".", "")
        config.set_compute_capability(trt.member("ComputeCapability", wanted), 0)
    _set_batch(builder, network, config, options.batch)
    if options.dla_core is not None:
        _use_dla(trt, builder, config, options.dla_core)
    if flags.typing is Typing.WEAK and options.precision is not Precision.FP32:
        _hold_in_float32(trt, network, options.float32_layers)
    return config


def _set_batch(builder: Any, network: Any, config: Any, batch: BatchRange | None) -> None:
    if network.num_inputs != 1:
        raise UnsupportedError(f"the network has {network.num_inputs} inputs, expected 1")
    tensor = network.get_input(0)
    first, *rest = tuple(tensor.shape)
    if any(side < 0 for side in rest):
        raise UnsupportedError(f"only the batch may be dynamic, {tensor.name} is {(first, *rest)}")
    if first >= 0 and batch is not None:
        raise UnsupportedError(
            f"the network was exported for a batch of exactly {first}, not for {batch}; "
            "leave out --batch, or export it again with --dynamic-batch"
        )
    if batch is None:
        if first < 0:
            raise UnsupportedError(
                "the network takes any number of pictures per call, an engine takes a range; give "
                "the least, typical and most: --batch 1:4:8"
            )
        return
    profile = builder.create_optimization_profile()
    shapes = [(n, *rest) for n in (batch.smallest, batch.typical, batch.largest)]
    profile.set_shape(tensor.name, *shapes)
    if config.add_optimization_profile(profile) < 0:
        raise BackendError(f"TensorRT refuses the batch range {batch}")


def _use_dla(trt: TensorRt, builder: Any, config: Any, core: int) -> None:
    cores = builder.num_DLA_cores
    if core >= cores:
        has = f"it has cores 0 to {cores - 1}" if cores else "it has none that TensorRT can use"
        raise UnsupportedError(f"this machine has no DLA core {core}: {has}; leave out --dla")
    config.default_device_type = trt.member("DeviceType", "DLA")
    config.DLA_core = core


def _hold_in_float32(trt: TensorRt, network: Any, names: Collection[str]) -> None:
    """Decode and FP32 islands, where flags would let them run in FP16."""
    float32 = trt.member("DataType", "FLOAT")
    constant = trt.member("LayerType", "CONSTANT")
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.name not in names or layer.type == constant:
            continue
        outputs = [i for i in range(layer.num_outputs) if layer.get_output(i).dtype == float32]
        if outputs:
            layer.precision = float32
        for output in outputs:
            layer.set_output_type(output, float32)


def _parser_error(parser: Any, messages: Sequence[Message], last_node: str | None) -> str:
    if not parser.num_errors:
        texts = [m.text for m in messages if m.severity <= Severity.ERROR]
        return one_line(texts[-1]) if texts else "no reason given"
    error = parser.get_error(0)
    # node_name is of 10 and later; before, the log says which node was being parsed.
    named = hasattr(error, "node_name") and error.node_name()
    node = f"{named} ({error.node_operator()})" if named else last_node or f"number {error.node()}"
    return f"node {node}: {one_line(error.desc())}"


def _refuse_changed_types(trt: TensorRt, messages: Sequence[Message]) -> None:
    for message in messages:
        if message.severity is not Severity.WARNING or not _ABOUT_TYPES.search(message.text):
            continue
        if trt.release < (10,) and any(
            known.search(message.text) for known in (_INT64_SHAPES, _NOTICE)
        ):
            continue
        where = f"at node {message.node}" if message.node else "in the network"
        raise BackendError(f"{trt} would change a type {where}: {one_line(message.text)}")


def _memory_hint(problem: str) -> str:
    if re.search(r"memory|alloc", problem, re.IGNORECASE):
        return "; close other programs, or give a smaller --workspace"
    return ""
