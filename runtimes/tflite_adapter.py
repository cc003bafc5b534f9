"""TFLite files on LiteRT, or on its predecessor tflite-runtime where that is what a board has."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.contract import CONTRACT_KEY, Contract
from edgeyolo.errors import ArtifactError, BackendError, MissingPackageError, needs, one_line
from edgeyolo.runtimes.session import RuntimeReport, SessionOptions
from edgeyolo.spec import Backend, Precision
from edgeyolo.tflite.reader import read_file
from edgeyolo.vendor_paths import vendor_path


class TfliteRuntime:
    """LiteRT on the CPU."""

    backend = Backend.TFLITE

    def open(self, file: Path, contract: Contract, options: SessionOptions) -> TfliteSession:
        if options.device.lower() not in ("auto", "cpu"):
            raise BackendError(f"tflite runs on cpu here, not on {options.device!r}; use cpu")
        interpreter_class = _interpreter_class()
        # Checked before the vendor sees it: LiteRT follows damaged offsets and may crash.
        read_file(file)
        try:
            interpreter = interpreter_class(
                model_path=vendor_path(file), num_threads=options.threads
            )
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise BackendError(f"{file}: LiteRT refuses the file: {one_line(error)}") from error
        return TfliteSession(interpreter, contract, str(file))

    def read_contract(self, file: Path) -> str | None:
        text = read_file(file).metadata.get(CONTRACT_KEY)
        if text is None:
            return None
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            raise ArtifactError(f"{file}: its contract is not UTF-8 text") from error

    def report(self) -> RuntimeReport:
        # Slow to import, and nothing on the way to the first detection needs it.
        import importlib.metadata

        precisions = (Precision.FP32, Precision.FP16, Precision.INT8)
        for package in ("ai-edge-litert", "tflite-runtime"):
            try:
                version = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue
            try:
                _interpreter_class()
            except MissingPackageError as error:
                return RuntimeReport(self.backend, package, version, (), note=str(error))
            return RuntimeReport(self.backend, package, version, precisions, ("cpu",))
        note = "pip install 'edgeyolo[tflite]'"
        return RuntimeReport(self.backend, "ai-edge-litert", None, (), note=note)


@dataclass(frozen=True, slots=True)
class _Output:
    """Where one output lies, how to turn it into float32, and the array kept for it."""

    index: int
    scale: np.float32 | None
    zero_point: np.float32
    kept: NDArray[np.float32]


class TfliteSession:
    """One interpreter with its buffers."""

    def __init__(self, interpreter: Any, contract: Contract, origin: str) -> None:
        self._interpreter = interpreter
        self._origin = origin
        self._names = contract.output.names
        self._batch = contract.input.batch
        inputs = interpreter.get_input_details()
        if len(inputs) != 1:
            raise BackendError(f"{origin}: the file has {len(inputs)} inputs, expected one")
        self._input = inputs[0]
        dtype = np.dtype(self._input["dtype"]).name
        if dtype != contract.input.dtype:
            raise BackendError(
                f"{origin}: the file takes {dtype}, its contract says {contract.input.dtype}"
            )
        self._outputs = self._prepare_outputs()

    @property
    def device(self) -> str:
        return "CPU"

    def run(self, batch: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        if self._interpreter is None:
            raise BackendError(f"{self._origin}: the session is closed")
        if batch.dtype != self._input["dtype"]:
            raise BackendError(
                f"{self._origin}: the network takes {np.dtype(self._input['dtype']).name}, "
                f"got {batch.dtype.name}"
            )
        try:
            if batch.shape != tuple(self._input["shape"]):
                self._resize(batch.shape)
            self._interpreter.set_tensor(self._input["index"], batch)
            self._interpreter.invoke()
            for output in self._outputs:
                # A view of the interpreter's memory that is gone before the next call.
                stored = self._interpreter.tensor(output.index)()
                if output.scale is None:
                    np.copyto(output.kept, stored)
                else:
                    np.subtract(stored, output.zero_point, out=output.kept, dtype=np.float32)
                    np.multiply(output.kept, output.scale, out=output.kept)
        except (RuntimeError, ValueError) as error:
            raise BackendError(f"{self._origin}: LiteRT failed: {one_line(error)}") from error
        return tuple(output.kept for output in self._outputs)

    def close(self) -> None:
        self._interpreter = None
        self._outputs = ()

    def _resize(self, shape: Sequence[int]) -> None:
        expected = tuple(int(side) for side in self._input["shape"])
        if self._batch is not None or tuple(shape[1:]) != expected[1:]:
            raise BackendError(
                f"{self._origin}: the network takes {expected}, got {tuple(shape)}; "
                "export with another batch or input size"
            )
        self._interpreter.resize_tensor_input(self._input["index"], list(shape), strict=False)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._outputs = self._prepare_outputs()

    def _prepare_outputs(self) -> tuple[_Output, ...]:
        details = {item["name"]: item for item in self._interpreter.get_output_details()}
        missing = [name for name in self._names if name not in details]
        if missing:
            raise BackendError(
                f"{self._origin}: the contract names outputs {missing}, "
                f"the file has {sorted(details)}"
            )
        return tuple(_output(details[name]) for name in self._names)


def _output(detail: dict[str, Any]) -> _Output:
    quantized = np.issubdtype(detail["dtype"], np.integer)
    scale, zero_point = detail["quantization"]
    return _Output(
        detail["index"],
        np.float32(scale) if quantized else None,
        np.float32(zero_point),
        np.empty(tuple(detail["shape"]), np.float32),
    )


def _interpreter_class() -> Any:
    """The interpreter of whichever package is installed, the successor first."""
    if importlib.util.find_spec("ai_edge_litert") is not None:
        with needs("ai-edge-litert", extra="tflite"):
            return importlib.import_module("ai_edge_litert.interpreter").Interpreter
    if importlib.util.find_spec("tflite_runtime") is not None:
        # 2.14, the last one, imports with numpy 2 and then fails inside the interpreter.
        if int(np.__version__.split(".")[0]) >= 2:
            raise MissingPackageError(
                f"tflite-runtime does not work with numpy {np.__version__}; "
                "run: pip install ai-edge-litert (or: pip install 'numpy<2')"
            )
        with needs("tflite-runtime", extra="tflite"):
            return importlib.import_module("tflite_runtime.interpreter").Interpreter
    with needs("ai-edge-litert", extra="tflite"):
        raise ModuleNotFoundError("ai_edge_litert")
