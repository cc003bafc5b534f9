"""A deserialised engine at work: buffers allocated once, one stream, results by name."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgeyolo.contract import Contract
from edgeyolo.errors import BackendError, UnsupportedError, one_line
from edgeyolo.runtimes.cuda_driver import (
    CapturedGraph,
    Cuda,
    DeviceMemory,
    Event,
    PinnedMemory,
    Stream,
)
from edgeyolo.runtimes.tensorrt_log import Message, Severity, logger_of
from edgeyolo.runtimes.tensorrt_modules import TensorRt
from edgeyolo.runtimes.tensorrt_outputs import ShapeListener, output_listener

# Calls that may be under way at once: while the GPU works on one, the next is ready behind it.
# Each has its own pinned memory, and so has the one that the host reads meanwhile; memory on the
# GPU is used in stream order and exists once.
_SLOTS = 2

_Owned = TypeVar("_Owned", Stream, Event, DeviceMemory, PinnedMemory)


@dataclass(slots=True)
class _Slot:
    """Host side of one call."""

    input: PinnedMemory
    outputs: tuple[PinnedMemory, ...]
    done: Event
    ticket: int = 0
    shapes: tuple[tuple[int, ...], ...] = ()
    graph: CapturedGraph | None = None


class TensorRtSession:
    """See :class:`~edgeyolo.runtimes.session.Session`, ``AsyncSession`` and ``LimitedSession``.

    Batches are copied by :meth:`submit`, and outputs hold until the next but one.

    Args:
        engine: Deserialised; its tensors are checked against *contract*.
        cuda: Belongs to the session from here on.
        cuda_graph: Replay each call as one CUDA graph, for networks of many small kernels.
    """

    slots = _SLOTS

    def __init__(
        self, trt: TensorRt, engine: Any, cuda: Cuda, contract: Contract, *, cuda_graph: bool
    ) -> None:
        self._trt = trt
        self._engine = engine
        self._cuda = cuda
        self._input_name = contract.input.name
        self._output_names = contract.output.names
        _check_tensors(trt, engine, contract)
        self._replays = cuda_graph and not trt.is_rtx
        self._context = _context(trt, engine, cuda_graph=cuda_graph)
        shape = tuple(engine.get_tensor_shape(self._input_name))
        self._dynamic = shape[0] < 0
        self._picture_shape = shape[1:]
        self._dtype = np.dtype(contract.input.dtype)
        self._smallest, self._largest = self._batch_range()
        self._batch = 0
        self._listeners: dict[str, tuple[ShapeListener, Any]] = {}
        self._free: deque[_Slot] = deque()
        self._under_way: deque[_Slot] = deque()
        self._graphs: list[CapturedGraph] = []
        # What was allocated, in order; close() frees it backwards.
        self._owned: list[Stream | Event | DeviceMemory | PinnedMemory] = []
        try:
            self._allocate(cuda_graph)
        except BaseException:
            self._release()
            raise

    @property
    def device(self) -> str:
        return f"GPU:{self._cuda.gpu.index} {self._cuda.gpu.name}"

    @property
    def pictures_per_call(self) -> tuple[int, int]:
        return self._smallest, self._largest

    def run(self, batch: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        self.submit(batch, 0)
        return self.collect()[1]

    def submit(self, batch: NDArray[Any], ticket: int) -> None:
        if len(self._under_way) == self.slots:
            raise RuntimeError(f"all {self.slots} slots are under way; collect first")
        self._check_batch(batch)
        self._cuda.make_current()
        slot = self._free[0]
        slot.input.array[: batch.nbytes].view(batch.dtype).reshape(batch.shape)[...] = batch
        self._set_batch(batch.shape[0])
        self._start(slot, batch.shape[0])
        slot.done.record(self._stream)
        slot.ticket = ticket
        self._under_way.append(self._free.popleft())

    def collect(self) -> tuple[int, tuple[NDArray[np.float32], ...]]:
        if not self._under_way:
            raise RuntimeError("nothing is under way; submit first")
        slot = self._under_way.popleft()
        self._free.append(slot)
        self._cuda.make_current()
        slot.done.wait()
        return slot.ticket, tuple(
            memory.array[: 4 * int(np.prod(shape))].view(np.float32).reshape(shape)
            for memory, shape in zip(slot.outputs, slot.shapes, strict=True)
        )

    def resident(self, batch: NDArray[Any]) -> Callable[[], None]:
        """The engine's own call on memory of the GPU; see ``ResidentSession``."""
        if self._under_way:
            raise RuntimeError("calls are under way; collect them first")
        self.run(batch)
        graph = self._captured(self._execute) if self._replays else None

        def call() -> None:
            if graph is not None:
                graph.launch(self._stream)
            else:
                self._execute()
            self._stream.wait()

        return call

    def close(self) -> None:
        if self._context is None:
            return
        # After a fault of the GPU every call of the driver fails; whoever ran has been told, and
        # closing must neither hide that error nor stop half-way.
        with suppress(BackendError):
            self._cuda.make_current()
            self._stream.wait()
        self._release()
        with suppress(BackendError):
            self._cuda.close()

    def _allocate(self, cuda_graph: bool) -> None:
        self._stream = self._own(Stream(self._cuda))
        nbytes = self._largest * self._picture_nbytes
        self._input = self._own(DeviceMemory(self._cuda, nbytes))
        self._set_batch(self._largest)
        self._address(self._input_name, self._input)
        self._outputs = tuple(self._output(name) for name in self._output_names)
        if cuda_graph and self._listeners:
            raise UnsupportedError(
                "a CUDA graph needs outputs of fixed size; this engine suppresses in the graph"
            )
        for _ in range(self.slots + 1):
            self._free.append(
                _Slot(
                    self._own(PinnedMemory(self._cuda, nbytes)),
                    tuple(
                        self._own(PinnedMemory(self._cuda, memory.nbytes))
                        for memory in self._outputs
                    ),
                    self._own(Event(self._cuda)),
                )
            )

    def _own(self, made: _Owned) -> _Owned:
        self._owned.append(made)
        return made

    def _release(self) -> None:
        self._forget_graphs()
        self._context = self._engine = None
        while self._owned:
            with suppress(BackendError):
                self._owned.pop().close()

    def _forget_graphs(self) -> None:
        for slot in (*self._free, *self._under_way):
            slot.graph = None
        while self._graphs:
            with suppress(BackendError):
                self._graphs.pop().close()

    @property
    def _picture_nbytes(self) -> int:
        return int(np.prod(self._picture_shape)) * self._dtype.itemsize

    def _batch_range(self) -> tuple[int, int]:
        """Least and most pictures per call."""
        if not self._dynamic:
            count = int(self._engine.get_tensor_shape(self._input_name)[0])
            return count, count
        smallest, _, largest = self._engine.get_tensor_profile_shape(self._input_name, 0)
        return int(smallest[0]), int(largest[0])

    def _output(self, name: str) -> DeviceMemory:
        """Memory for an output, large enough for the largest batch, which is set."""
        shape = tuple(self._context.get_tensor_shape(name))
        if all(side >= 0 for side in shape):
            memory = self._own(DeviceMemory(self._cuda, 4 * int(np.prod(shape))))
            self._address(name, memory)
            return memory
        # How many boxes survive suppression is known only when it is done.
        memory = self._own(DeviceMemory(self._cuda, self._context.get_max_output_size(name)))
        listener, vendor_object = output_listener(self._trt, memory)
        self._listeners[name] = (listener, vendor_object)
        if not self._context.set_output_allocator(name, vendor_object):
            raise BackendError(f"{self._trt} refuses an allocator for output {name!r}")
        return memory

    def _address(self, name: str, memory: DeviceMemory) -> None:
        if not self._context.set_tensor_address(name, memory.address):
            raise BackendError(f"{self._trt} refuses the memory of tensor {name!r}")

    def _check_batch(self, batch: NDArray[Any]) -> None:
        if batch.dtype != self._dtype or batch.shape[1:] != self._picture_shape:
            raise ValueError(
                f"the engine takes (B, {', '.join(map(str, self._picture_shape))}) {self._dtype}, "
                f"got {batch.shape} {batch.dtype}"
            )
        if not self._smallest <= batch.shape[0] <= self._largest:
            takes = (
                f"{self._smallest} to {self._largest}"
                if self._dynamic
                else f"exactly {self._largest}"
            )
            raise ValueError(f"the engine takes {takes} pictures per call, got {batch.shape[0]}")

    def _set_batch(self, count: int) -> None:
        if count == self._batch:
            return
        if self._graphs:
            # A graph holds the context as it was for the old shape.
            self._stream.wait()
            self._forget_graphs()
        if self._dynamic:
            shape = (count, *self._picture_shape)
            with logger_of(self._trt)[1].collecting() as messages:
                fits = self._context.set_input_shape(self._input_name, shape)
            if not fits:
                raise BackendError(
                    f"{self._trt} refuses the input shape {shape}: {_reason(messages)}"
                )
        self._batch = count

    def _start(self, slot: _Slot, count: int) -> None:
        if not self._replays:
            self._enqueue(slot, count)
        elif slot.graph is not None:
            slot.graph.launch(self._stream)
            slot.shapes = self._shapes()
        else:
            # TensorRT does deferred work in the first call of a shape: that one runs normally.
            self._enqueue(slot, count)
            self._stream.wait()
            slot.graph = self._captured(lambda: self._enqueue(slot, count))

    def _captured(self, work: Callable[[], None]) -> CapturedGraph:
        graph = CapturedGraph(self._cuda)
        try:
            graph.record(self._stream, work)
        except BaseException:
            graph.close()
            raise
        self._graphs.append(graph)
        return graph

    def _enqueue(self, slot: _Slot, count: int) -> None:
        self._stream.upload(slot.input, self._input, count * self._picture_nbytes)
        self._execute()
        slot.shapes = self._shapes()
        for memory, pinned, shape in zip(self._outputs, slot.outputs, slot.shapes, strict=True):
            if nbytes := 4 * int(np.prod(shape)):
                self._stream.download(memory, pinned, nbytes)

    def _execute(self) -> None:
        """Enqueue the engine's work, between the copies."""
        with logger_of(self._trt)[1].collecting() as messages:
            done = self._context.execute_async_v3(self._stream.handle)
        if not done:
            raise BackendError(f"{self._trt} could not run: {_reason(messages)}")

    def _shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(
            self._listeners[name][0].shape
            if name in self._listeners
            else tuple(self._context.get_tensor_shape(name))
            for name in self._output_names
        )


def _context(trt: TensorRt, engine: Any, *, cuda_graph: bool) -> Any:
    arguments: tuple[Any, ...] = ()
    if cuda_graph and trt.is_rtx:
        # TensorRT for RTX captures by itself, for dynamic shapes too (since 1.2).
        config = engine.create_runtime_config()
        config.cuda_graph_strategy = trt.member("CudaGraphStrategy", "WHOLE_GRAPH_CAPTURE")
        arguments = (config,)
    with logger_of(trt)[1].collecting() as messages:
        context = engine.create_execution_context(*arguments)
    if context is None:
        raise BackendError(
            f"{trt} could not prepare the engine ({_reason(messages)}); the GPU's memory may be "
            "full"
        )
    return context


def _reason(messages: Sequence[Message]) -> str:
    """The library's newest error."""
    errors = [message.text for message in messages if message.severity <= Severity.ERROR]
    return one_line(errors[-1]) if errors else "no reason given"


def _check_tensors(trt: TensorRt, engine: Any, contract: Contract) -> None:
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    wanted = {contract.input.name, *contract.output.names}
    if set(names) != wanted:
        raise BackendError(
            f"the engine has tensors {_listed(names)}, the contract names {_listed(sorted(wanted))}"
        )
    types = {"uint8": "UINT8", "float32": "FLOAT"}
    expected = {contract.input.name: types[contract.input.dtype]}
    for name in names:
        dtype = trt.member("DataType", expected.get(name, "FLOAT"))
        if engine.get_tensor_dtype(name) != dtype:
            raise BackendError(
                f"tensor {name!r} of the engine is {engine.get_tensor_dtype(name)}, not {dtype}"
            )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
