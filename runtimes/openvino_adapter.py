"""OpenVINO: IR files (``.xml`` with ``.bin``) on Intel and AMD CPUs, Intel GPUs and NPUs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.contract import CONTRACT_KEY, Contract
from edgeyolo.errors import BackendError, MissingPackageError, one_line
from edgeyolo.openvino_core import new_core
from edgeyolo.runtimes.containers import openvino_contract
from edgeyolo.runtimes.session import RuntimeReport, SessionOptions
from edgeyolo.spec import Backend, Precision
from edgeyolo.vendor_paths import vendor_path

# rt_info is a tree; the contract is one JSON string, because lists come back as strings.
RT_INFO_PATH = ["edgeyolo", CONTRACT_KEY]


class OpenVinoSession:
    """One compiled model; its output buffers are kept. Also an ``AsyncSession``."""

    # One computes, one waits with its input ready: the cores never pause between frames.
    slots = 2

    def __init__(self, compiled: Any, contract: Contract, device: str) -> None:
        self._requests = [compiled.create_infer_request() for _ in range(self.slots)]
        self._free = deque(range(self.slots))
        self._under_way: deque[tuple[int, int, Any]] = deque()
        self._input = compiled.input(contract.input.name)
        self._outputs = [compiled.output(name) for name in contract.output.names]
        self._device = device
        self.compiled = compiled

    @property
    def device(self) -> str:
        return self._device

    def run(self, batch: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        request = self._requests[0]
        with _vendor_errors():
            # Keeps the tensor that shares the caller's memory until the call is over.
            _shared = self._feed(request, batch)
            request.infer(share_outputs=True)  # otherwise it copies all outputs
            return self._results(request)

    def submit(self, batch: NDArray[Any], ticket: int) -> None:
        if not self._free:
            raise RuntimeError(f"all {self.slots} slots are under way; collect first")
        slot = self._free[0]
        with _vendor_errors():
            shared = self._feed(self._requests[slot], batch)
            self._requests[slot].start_async()
        self._free.popleft()
        self._under_way.append((ticket, slot, shared))

    def collect(self) -> tuple[int, tuple[NDArray[np.float32], ...]]:
        if not self._under_way:
            raise RuntimeError("nothing is under way; submit first")
        ticket, slot, _ = self._under_way.popleft()
        self._free.append(slot)
        with _vendor_errors():
            self._requests[slot].wait()
            return ticket, self._results(self._requests[slot])

    def close(self) -> None:
        while self._under_way:
            _, slot, _ = self._under_way.popleft()
            with _vendor_errors():
                self._requests[slot].wait()
        self._requests = []
        self.compiled = None

    def _feed(self, request: Any, batch: NDArray[Any]) -> Any:
        import openvino

        shared = openvino.Tensor(batch, shared_memory=True)
        request.set_tensor(self._input, shared)
        return shared

    def _results(self, request: Any) -> tuple[NDArray[np.float32], ...]:
        tensors = [request.get_tensor(output).data for output in self._outputs]
        return tuple(np.asarray(tensor, np.float32) for tensor in tensors)


@contextmanager
def _vendor_errors() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise BackendError(f"OpenVINO could not run the model: {one_line(error)}") from error


class OpenVinoRuntime:
    """See :class:`edgeyolo.runtimes.session.Runtime`."""

    backend = Backend.OPENVINO

    def open(self, file: Path, contract: Contract, options: SessionOptions) -> OpenVinoSession:
        core = new_core()
        device = vendor_device(options.device)
        model = _read(core, file)
        _check_names(model, contract, file)
        try:
            compiled = core.compile_model(
                model, device, _settings(contract.precision, device, options)
            )
        except RuntimeError as error:
            raise BackendError(
                f"OpenVINO cannot compile {file} for {device!r} (devices here: "
                f"{', '.join(core.available_devices)}): {one_line(error)}"
            ) from error
        return OpenVinoSession(compiled, contract, _running_on(compiled, device))

    def read_contract(self, file: Path) -> str | None:
        return openvino_contract(file)

    def report(self) -> RuntimeReport:
        try:
            core = new_core()
        except MissingPackageError as error:
            return RuntimeReport(self.backend, "openvino", None, (), note=str(error))
        import openvino

        return RuntimeReport(
            self.backend,
            "openvino",
            openvino.__version__.split("-")[0],
            (Precision.FP32, Precision.FP16, Precision.INT8),
            tuple(device.lower() for device in core.available_devices),
            note="fp16 on a CPU is stored as fp16 and computed in fp32",
        )


def vendor_device(device: str) -> str:
    """What OpenVINO calls a device; its own ``AUTO`` in capitals is not our ``auto``, the CPU."""
    return "CPU" if device == "auto" else device.upper()


def _running_on(compiled: Any, device: str) -> str:
    """What it computes on: ``AUTO`` and the like choose by themselves."""
    if device.partition(":")[0] not in ("AUTO", "MULTI", "HETERO"):
        return device
    return ", ".join(compiled.get_property("EXECUTION_DEVICES"))


def _settings(precision: Precision, device: str, options: SessionOptions) -> dict[str, Any]:
    settings: dict[str, Any] = {
        # Without it OpenVINO computes in bf16 wherever the CPU has it, whatever the file says.
        "INFERENCE_PRECISION_HINT": _compute_type(precision, device),
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
    }
    if options.threads is not None:
        settings["INFERENCE_NUM_THREADS"] = str(options.threads)
    if options.cache_dir is not None:
        settings["CACHE_DIR"] = str(options.cache_dir)
    return settings


def _compute_type(precision: Precision, device: str) -> str:
    return "f16" if precision is Precision.FP16 and device != "CPU" else "f32"


def _read(core: Any, file: Path) -> Any:
    try:
        return core.read_model(vendor_path(file))
    except RuntimeError as error:
        raise BackendError(f"OpenVINO cannot read {file}: {one_line(error)}") from error


def _check_names(model: Any, contract: Contract, file: Path) -> None:
    inputs = {name for port in model.inputs for name in port.get_names()}
    outputs = {name for port in model.outputs for name in port.get_names()}
    missing = ({contract.input.name} - inputs) | (set(contract.output.names) - outputs)
    if missing:
        raise BackendError(
            f"{file} does not match its contract: no tensor {', '.join(sorted(missing))}; "
            f"it has inputs {sorted(inputs)} and outputs {sorted(outputs)}"
        )
