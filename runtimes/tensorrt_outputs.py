"""Outputs whose size TensorRT knows only when it has computed them (suppression in the graph)."""

from __future__ import annotations

from typing import Any

from edgeyolo.runtimes.cuda_driver import DeviceMemory
from edgeyolo.runtimes.tensorrt_modules import TensorRt


class ShapeListener:
    """Offers one piece of memory and hears the shape.

    Attributes:
        shape: Of the newest call; known when ``execute_async_v3`` returns.
    """

    def __init__(self, memory: DeviceMemory) -> None:
        self._memory = memory
        self.shape: tuple[int, ...] = (0,)

    def offer(self, nbytes: int) -> int | None:
        """Address of the memory, or ``None`` where it does not suffice."""
        return self._memory.address if nbytes <= self._memory.nbytes else None


def output_listener(trt: TensorRt, memory: DeviceMemory) -> tuple[ShapeListener, Any]:
    """A listener and the vendor's ``IOutputAllocator`` that reports to it; keep both."""
    listener = ShapeListener(memory)
    return listener, _allocator(trt.module, listener)


def _allocator(module: Any, listener: ShapeListener) -> Any:
    class Allocator(module.IOutputAllocator):  # type: ignore[misc]
        def __init__(self) -> None:
            # pybind11 requires the base's own constructor.
            module.IOutputAllocator.__init__(self)

        # 8.x calls this one; since 10 it is deprecated and the next is called.
        def reallocate_output(
            self, tensor_name: str, memory: int, size: int, alignment: int
        ) -> int | None:
            return listener.offer(size)

        def reallocate_output_async(
            self, tensor_name: str, memory: int, size: int, alignment: int, stream: int
        ) -> int | None:
            return listener.offer(size)

        def notify_shape(self, tensor_name: str, shape: Any) -> None:
            listener.shape = tuple(shape)

    return Allocator()
