"""ONNX Runtime: ``.onnx`` files on the CPU, or on what the installed build offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.contract import CONTRACT_KEY, Contract
from edgeyolo.errors import BackendError, MissingPackageError, UnsupportedError, needs, one_line
from edgeyolo.runtimes.containers import onnx_metadata
from edgeyolo.runtimes.session import RuntimeReport, SessionOptions
from edgeyolo.spec import Backend, OutputKind, Precision
from edgeyolo.vendor_paths import vendor_path

# Device word -> execution provider of ONNX Runtime.
_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "gpu": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
# Those of which a machine may have several, told apart as "cuda:1".
_NUMBERED = frozenset({"CUDAExecutionProvider", "DmlExecutionProvider"})


class OnnxSession:
    """One ``InferenceSession`` that writes into arrays of ours, made once for each input shape."""

    def __init__(self, session: Any, contract: Contract, device: str) -> None:
        self._session = session
        self._input_name = contract.input.name
        self._output_names = list(contract.output.names)
        # The number of rows after suppression in the graph differs from picture to picture.
        self._fixed_shapes = contract.output.kind is not OutputKind.SUPPRESSED
        self._device = device
        self._bound: tuple[NDArray[np.float32], ...] = ()
        self._bound_for: tuple[int, ...] = ()

    @property
    def device(self) -> str:
        return self._device

    def run(self, batch: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        try:
            if batch.shape == self._bound_for:
                return self._run_bound(batch)
            outputs = self._session.run(self._output_names, {self._input_name: batch})
        except Exception as error:
            # The package raises a dozen classes without a common base of its own.
            raise BackendError(
                f"ONNX Runtime could not run the model: {one_line(error)}"
            ) from error
        results = tuple(np.asarray(output, np.float32) for output in outputs)
        if self._fixed_shapes and all(output.dtype == np.float32 for output in outputs):
            self._bound, self._bound_for = results, batch.shape
        return results

    def close(self) -> None:
        self._session = None

    def _run_bound(self, batch: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        """Run into the arrays of the call before: no allocation, no copy."""
        binding = self._session.io_binding()
        binding.bind_cpu_input(self._input_name, batch)
        for name, array in zip(self._output_names, self._bound, strict=True):
            binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        self._session.run_with_iobinding(binding)
        return self._bound


class OnnxRuntime:
    """See :class:`edgeyolo.runtimes.session.Runtime`."""

    backend = Backend.ONNX

    def open(self, file: Path, contract: Contract, options: SessionOptions) -> OnnxSession:
        device = options.device.lower()
        device = "cpu" if device == "auto" else device
        provider = provider_for(device)
        session = _open_session(file, provider, options.threads)
        check_provider(session.get_providers(), provider.name, device)
        _check_names(session, contract, file)
        return OnnxSession(session, contract, device.upper())

    def read_contract(self, file: Path) -> str | None:
        return onnx_metadata(file).get(CONTRACT_KEY)

    def report(self) -> RuntimeReport:
        try:
            with needs("onnxruntime", extra="onnx"):
                import onnxruntime
        except MissingPackageError as error:
            return RuntimeReport(self.backend, "onnxruntime", None, (), note=str(error))
        devices = tuple(
            word
            for word, provider in _PROVIDERS.items()
            if provider in onnxruntime.get_available_providers()
        )
        return RuntimeReport(
            self.backend,
            "onnxruntime",
            onnxruntime.__version__,
            (Precision.FP32, Precision.FP16, Precision.INT8),
            devices,
            note="fp16 on a CPU is stored as fp16 and computed in fp32",
        )


@dataclass(frozen=True, slots=True)
class Provider:
    """An execution provider of ONNX Runtime, and its number where there are several devices."""

    name: str
    options: dict[str, str]


def provider_for(device: str) -> Provider:
    """The provider of a device word, ``"cpu"`` or ``"cuda:1"``.

    Raises:
        UnsupportedError: The installed build has no such device.
    """
    with needs("onnxruntime", extra="onnx"):
        import onnxruntime
    word, colon, number = device.partition(":")
    name = _PROVIDERS.get(word)
    available = onnxruntime.get_available_providers()
    if name is None or name not in available:
        words = sorted({word for word, name in _PROVIDERS.items() if name in available})
        raise UnsupportedError(
            f"ONNX Runtime has no device {device!r} here; it has: {', '.join(words)}"
        )
    if not colon:
        return Provider(name, {})
    if name not in _NUMBERED or not number.isdecimal():
        raise UnsupportedError(
            f"ONNX Runtime has no device {device!r}; a number belongs to cuda, as in cuda:1"
        )
    return Provider(name, {"device_id": number})


def check_provider(running: Sequence[str], wanted: str, device: str) -> None:
    """Raise where a session fell back: ONNX Runtime computes on the CPU if a provider fails.

    Args:
        running: Providers of the session, by priority.
        wanted: The one that it was opened for.
        device: What the user called it.

    Raises:
        BackendError: It runs on something else.
    """
    if not running or running[0] != wanted:
        raise BackendError(
            f"ONNX Runtime could not start {wanted} for device {device!r} and would compute on "
            f"{', '.join(running) or 'nothing'}; see what it printed above, mostly a CUDA or cuDNN "
            "library that is missing, or use --device cpu"
        )


def _open_session(file: Path, provider: Provider, threads: int | None) -> Any:
    with needs("onnxruntime", extra="onnx"):
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; warnings about constant folding help nobody
    if threads is not None:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
    name = vendor_path(file)
    try:
        return onnxruntime.InferenceSession(
            name, options, providers=[(provider.name, provider.options)]
        )
    except Exception as error:
        raise BackendError(f"ONNX Runtime cannot open {file}: {one_line(error)}") from error


def _check_names(session: Any, contract: Contract, file: Path) -> None:
    inputs = {item.name for item in session.get_inputs()}
    outputs = {item.name for item in session.get_outputs()}
    missing = ({contract.input.name} - inputs) | (set(contract.output.names) - outputs)
    if missing or len(inputs) != 1:
        raise BackendError(
            f"{file} does not match its contract: it has inputs {sorted(inputs)} and outputs "
            f"{sorted(outputs)}, the contract names {contract.input.name!r} and "
            f"{list(contract.output.names)}"
        )
