"""CUDA's driver library through ctypes: device memory, pinned host memory, streams, graphs.

``libcuda`` comes with the driver itself, so there is no package to install and no version of
the toolkit to match, on a Jetson as on a desktop. TensorRT shares its primary context.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.errors import BackendError, one_line

_NO_DEVICE = 100
_MAJOR, _MINOR, _INTEGRATED, _MULTIPROCESSORS = 75, 76, 18, 16
_NON_BLOCKING_STREAM = 1
_THREAD_LOCAL_CAPTURE = 1
# Sleep instead of spinning while waiting, and keep no times.
_BLOCKING_EVENT_WITHOUT_TIMING = 1 | 2

# Function -> argument types; all return a CUresult. Versioned names are what cuda.h maps to.
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (POINTER(c_int),),
    "cuDeviceGetCount": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetPCIBusId": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (POINTER(c_void_p), c_int),
    "cuDevicePrimaryCtxRelease_v2": (c_int,),
    "cuCtxSetCurrent": (c_void_p,),
    "cuMemGetInfo_v2": (POINTER(c_size_t), POINTER(c_size_t)),
    "cuMemAlloc_v2": (POINTER(c_uint64), c_size_t),
    "cuMemFree_v2": (c_uint64,),
    "cuMemAllocHost_v2": (POINTER(c_void_p), c_size_t),
    "cuMemFreeHost": (c_void_p,),
    "cuMemcpyHtoDAsync_v2": (c_uint64, c_void_p, c_size_t, c_void_p),
    "cuMemcpyDtoHAsync_v2": (c_void_p, c_uint64, c_size_t, c_void_p),
    "cuStreamCreate": (POINTER(c_void_p), c_uint),
    "cuStreamDestroy_v2": (c_void_p,),
    "cuStreamSynchronize": (c_void_p,),
    "cuEventCreate": (POINTER(c_void_p), c_uint),
    "cuEventRecord": (c_void_p, c_void_p),
    "cuEventSynchronize": (c_void_p,),
    "cuEventDestroy_v2": (c_void_p,),
    "cuStreamBeginCapture_v2": (c_void_p, c_int),
    "cuStreamEndCapture": (c_void_p, POINTER(c_void_p)),
    "cuGraphInstantiateWithFlags": (POINTER(c_void_p), c_void_p, c_uint64),
    "cuGraphLaunch": (c_void_p, c_void_p),
    "cuGraphExecDestroy": (c_void_p,),
    "cuGraphDestroy": (c_void_p,),
    "cuGetErrorString": (c_int, POINTER(c_char_p)),
}
_LIBRARY_NAMES = ("nvcuda.dll",) if sys.platform == "win32" else ("libcuda.so.1", "libcuda.so")


@dataclass(frozen=True, slots=True)
class Gpu:
    """A device that the driver offers.

    Attributes:
        name: ``"Tesla T4"``; ``"Orin"`` on every Jetson of that kind, AGX, NX and Nano.
        compute_capability: ``"8.7"``.
        multiprocessors: How many are switched on, which tells those apart; on a Jetson the power
            mode decides, too.
        driver: CUDA version of the driver, ``"12.6"``.
        shares_memory: True where CPU and GPU use the same memory (Jetson).
    """

    index: int
    name: str
    compute_capability: str
    multiprocessors: int
    driver: str
    shares_memory: bool


class Cuda:
    """One GPU, with its primary context current in the calling thread.

    Raises:
        BackendError: No driver, no GPU, or no GPU of that number. Nothing of CUDA or TensorRT
            was touched that could end the process.
    """

    def __init__(self, index: int = 0, *, library: Any = None) -> None:
        self._library = library if library is not None else load_library()
        self.call("cuInit", 0)
        count = c_int()
        self.call("cuDeviceGetCount", byref(count))
        if count.value == 0:
            raise BackendError("the NVIDIA driver is installed but sees no GPU")
        if not 0 <= index < count.value:
            raise BackendError(f"there is no GPU {index}; the driver sees {count.value}")
        device = c_int()
        self.call("cuDeviceGet", byref(device), index)
        self._device = device.value
        self.gpu = self._describe(index)
        self._context = c_void_p()
        self.call("cuDevicePrimaryCtxRetain", byref(self._context), self._device)
        self.make_current()

    def make_current(self) -> None:
        """Use this GPU from the calling thread."""
        self.call("cuCtxSetCurrent", self._context)

    def free_and_total_mib(self) -> tuple[int, int]:
        free, total = c_size_t(), c_size_t()
        self.call("cuMemGetInfo_v2", byref(free), byref(total))
        return free.value >> 20, total.value >> 20

    def pci_address(self) -> str:
        address = ctypes.create_string_buffer(32)
        self.call("cuDeviceGetPCIBusId", address, len(address), self._device)
        return address.value.decode().lower()

    def close(self) -> None:
        if self._context:
            self.call("cuDevicePrimaryCtxRelease_v2", self._device)
            self._context = c_void_p()

    def call(self, function: str, *args: Any) -> None:
        """Call a function of the driver.

        Raises:
            BackendError: It returned an error; the driver's own text is inside.
        """
        status = getattr(self._library, function)(*args)
        if status:
            text = c_char_p()
            self._library.cuGetErrorString(status, byref(text))
            said = (text.value or b"unknown error").decode(errors="replace")
            if status == _NO_DEVICE:
                raise BackendError(f"no NVIDIA GPU was found (CUDA error {status}: {said})")
            raise BackendError(f"{function} failed (CUDA error {status}: {said})")

    def _describe(self, index: int) -> Gpu:
        name = ctypes.create_string_buffer(256)
        self.call("cuDeviceGetName", name, len(name), self._device)
        version = c_int()
        self.call("cuDriverGetVersion", byref(version))
        return Gpu(
            index=index,
            name=name.value.decode(errors="replace"),
            compute_capability=f"{self._attribute(_MAJOR)}.{self._attribute(_MINOR)}",
            multiprocessors=self._attribute(_MULTIPROCESSORS),
            driver=f"{version.value // 1000}.{version.value % 1000 // 10}",
            shares_memory=bool(self._attribute(_INTEGRATED)),
        )

    def _attribute(self, attribute: int) -> int:
        value = c_int()
        self.call("cuDeviceGetAttribute", byref(value), attribute, self._device)
        return value.value


def pci_address(index: int, *, library: Any = None) -> str:
    """``"0000:0f:00.0"`` of the GPU that CUDA counts as *index*.

    Other tools count in another order (``CUDA_DEVICE_ORDER``) and also what
    ``CUDA_VISIBLE_DEVICES`` hides.

    Raises:
        BackendError: No driver, or no GPU of that number.
    """
    cuda = Cuda(index, library=library)
    try:
        return cuda.pci_address()
    finally:
        cuda.close()


def load_library(path: str | None = None) -> Any:
    """``libcuda`` with its functions typed.

    Args:
        path: File to load; by default what the system's loader finds, or the environment
            variable ``EDGEYOLO_LIBCUDA``.

    Raises:
        BackendError: No driver, or one too old.
    """
    path = path or os.environ.get("EDGEYOLO_LIBCUDA")
    problem: Exception | None = None
    for name in (path,) if path else _LIBRARY_NAMES:
        try:
            library = ctypes.CDLL(name)
            break
        except OSError as error:
            problem = error
    else:
        raise BackendError(
            "no NVIDIA driver is installed: libcuda does not load "
            f"({one_line(problem or 'not found')}); TensorRT engines need an NVIDIA GPU and its "
            "driver"
        )
    for function, arguments in _SIGNATURES.items():
        try:
            typed = getattr(library, function)
        except AttributeError:
            raise BackendError(
                f"the NVIDIA driver is too old: it has no {function} (11.4 is needed)"
            ) from None
        typed.argtypes = arguments
        typed.restype = c_int
    return library


class Stream:
    """Work is done in order; :meth:`wait` returns when all of it is."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._handle = c_void_p()
        cuda.call("cuStreamCreate", byref(self._handle), _NON_BLOCKING_STREAM)

    @property
    def handle(self) -> int:
        return self._handle.value or 0

    def upload(self, source: PinnedMemory, target: DeviceMemory, nbytes: int) -> None:
        """Enqueue a copy of the first *nbytes* to the GPU."""
        self._cuda.call(
            "cuMemcpyHtoDAsync_v2", target.address, source.address, nbytes, self._handle
        )

    def download(self, source: DeviceMemory, target: PinnedMemory, nbytes: int) -> None:
        """Enqueue a copy of the first *nbytes* from the GPU."""
        self._cuda.call(
            "cuMemcpyDtoHAsync_v2", target.address, source.address, nbytes, self._handle
        )

    def wait(self) -> None:
        self._cuda.call("cuStreamSynchronize", self._handle)

    def close(self) -> None:
        if self._handle:
            self._cuda.call("cuStreamDestroy_v2", self._handle)
            self._handle = c_void_p()


class Event:
    """A place in a stream that one can wait for while later work goes on."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._handle = c_void_p()
        cuda.call("cuEventCreate", byref(self._handle), _BLOCKING_EVENT_WITHOUT_TIMING)

    def record(self, stream: Stream) -> None:
        """Put it behind everything that *stream* was given so far."""
        self._cuda.call("cuEventRecord", self._handle, c_void_p(stream.handle))

    def wait(self) -> None:
        self._cuda.call("cuEventSynchronize", self._handle)

    def close(self) -> None:
        if self._handle:
            self._cuda.call("cuEventDestroy_v2", self._handle)
            self._handle = c_void_p()


class DeviceMemory:
    """Memory on the GPU, allocated once.

    Attributes:
        address: Where, on the GPU.
    """

    def __init__(self, cuda: Cuda, nbytes: int) -> None:
        self._cuda = cuda
        self.nbytes = nbytes
        address = c_uint64()
        cuda.call("cuMemAlloc_v2", byref(address), max(nbytes, 1))
        self.address = address.value

    def close(self) -> None:
        if self.address:
            self._cuda.call("cuMemFree_v2", self.address)
            self.address = 0


class PinnedMemory:
    """Host memory that the GPU copies from and to on its own, allocated once.

    Attributes:
        array: (nbytes,) uint8; belongs to this object and is invalid after :meth:`close`.
    """

    def __init__(self, cuda: Cuda, nbytes: int) -> None:
        self._cuda = cuda
        self._pointer = c_void_p()
        cuda.call("cuMemAllocHost_v2", byref(self._pointer), max(nbytes, 1))
        assert self._pointer.value is not None
        raw = (ctypes.c_uint8 * max(nbytes, 1)).from_address(self._pointer.value)
        self.array: NDArray[np.uint8] = np.ctypeslib.as_array(raw)[:nbytes]

    @property
    def address(self) -> int:
        return self._pointer.value or 0

    def close(self) -> None:
        if self._pointer:
            self.array = np.empty(0, np.uint8)
            self._cuda.call("cuMemFreeHost", self._pointer)
            self._pointer = c_void_p()


class CapturedGraph:
    """Work recorded on a stream once, replayed with one call."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._graph = c_void_p()
        self._executable = c_void_p()

    def record(self, stream: Stream, work: Callable[[], None]) -> None:
        """Record what *work* gives to *stream*.

        Raises:
            BackendError: *work* failed, or does what cannot be recorded; the stream is usable.
        """
        handle = c_void_p(stream.handle)
        # Thread-local: another thread's allocations must not break the recording.
        self._cuda.call("cuStreamBeginCapture_v2", handle, _THREAD_LOCAL_CAPTURE)
        try:
            work()
        except BaseException:
            # Ends the recording, which may be invalid by now: the first error is the one to see.
            with suppress(BackendError):
                self._cuda.call("cuStreamEndCapture", handle, byref(self._graph))
            raise
        self._cuda.call("cuStreamEndCapture", handle, byref(self._graph))
        self._cuda.call(
            "cuGraphInstantiateWithFlags", byref(self._executable), self._graph, c_uint64(0)
        )

    def launch(self, stream: Stream) -> None:
        self._cuda.call("cuGraphLaunch", self._executable, c_void_p(stream.handle))

    def close(self) -> None:
        try:
            if self._executable:
                self._cuda.call("cuGraphExecDestroy", self._executable)
        finally:
            self._executable = c_void_p()
            if self._graph:
                self._cuda.call("cuGraphDestroy", self._graph)
            self._graph = c_void_p()
