"""TensorRT and TensorRT for RTX: engines on NVIDIA GPUs.

Order matters. ``deserialize_cuda_engine`` without a GPU, or with an engine of another version,
may end the process, so everything is found out before: the driver and the GPU, the module and
its version, that the engine belongs here, and that its bytes are those of the contract.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from edgeyolo.contract import Contract
from edgeyolo.errors import (
    ArtifactError,
    BackendError,
    BuildTargetError,
    MissingPackageError,
    UnsupportedError,
    one_line,
)
from edgeyolo.runtimes.cuda_driver import Cuda
from edgeyolo.runtimes.session import RuntimeReport, SessionOptions
from edgeyolo.runtimes.tensorrt_log import logger_of
from edgeyolo.runtimes.tensorrt_modules import TensorRt, make, pick_tensorrt
from edgeyolo.runtimes.tensorrt_session import TensorRtSession
from edgeyolo.runtimes.tensorrt_target import check_target, this_target
from edgeyolo.spec import Backend, Precision

_OTHER_TARGET = re.compile(r"version|compute capability|incompatible|different", re.IGNORECASE)


class TensorRtRuntime:
    """See :class:`edgeyolo.runtimes.session.Runtime`."""

    backend = Backend.TENSORRT

    def open(self, file: Path, contract: Contract, options: SessionOptions) -> TensorRtSession:
        target = contract.build_target
        if target is None:
            raise BuildTargetError(
                f"{file.parent} is ready to be built but holds no engine yet; build it on the "
                f"device with: edgeyolo build {file.parent}"
            )
        index = device_index(options.device)
        trt = pick_tensorrt(target.module)
        cuda = Cuda(index)
        try:
            check_target(file.parent, target, this_target(trt, cuda.gpu))
            engine = _deserialize(trt, _trusted_bytes(file, contract), file)
            return TensorRtSession(trt, engine, cuda, contract, cuda_graph=options.cuda_graph)
        except BaseException:
            cuda.close()
            raise

    def read_contract(self, file: Path) -> str | None:
        # An engine has no place for strings, and reading one would mean to load it.
        return None

    def report(self) -> RuntimeReport:
        try:
            trt = pick_tensorrt()
        except (MissingPackageError, UnsupportedError) as error:
            return RuntimeReport(self.backend, "tensorrt", None, (), note=str(error))
        precisions = (Precision.FP32, Precision.FP16, Precision.INT8)
        try:
            cuda = Cuda()
        except BackendError as error:
            note = f"builds engines but cannot run them here: {error}"
            if not trt.is_rtx:
                note = f"can neither build nor run here: {error}"
            return RuntimeReport(self.backend, trt.name, trt.version, (), note=note)
        name = cuda.gpu.name
        cuda.close()
        return RuntimeReport(self.backend, trt.name, trt.version, precisions, (f"gpu ({name})",))


def device_index(device: str) -> int:
    """Number of the GPU that ``"auto"``, ``"gpu"``, ``"cuda"`` or ``"gpu:1"`` means.

    Raises:
        UnsupportedError: Not a GPU.
    """
    found = re.fullmatch(r"(?:auto|(?:gpu|cuda)(?::(\d+))?)", device.lower())
    if found is None:
        raise UnsupportedError(f"TensorRT runs on gpu, gpu:0, gpu:1, ..., not on {device!r}")
    return int(found[1] or 0)


def _trusted_bytes(file: Path, contract: Contract) -> bytes:
    """The engine's bytes, after their digest was compared: these very bytes are deserialised."""
    try:
        plan = file.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {file}: {one_line(error.strerror or error)}") from error
    expected = contract.files.get(file.name)
    if expected is None:
        raise ArtifactError(
            f"{file} has no digest in its contract; an engine is native code and is not loaded "
            f"on trust; rebuild it with: edgeyolo build {file.parent}"
        )
    actual = hashlib.sha256(plan).hexdigest()
    if actual != expected:
        raise ArtifactError(
            f"{file} was altered or damaged (SHA-256 {actual[:12]}…, the contract says "
            f"{expected[:12]}…); rebuild it with: edgeyolo build {file.parent}"
        )
    return plan


def _deserialize(trt: TensorRt, plan: bytes, file: Path) -> Any:
    logger, log = logger_of(trt)
    with log.collecting():
        runtime = make(trt, "Runtime", logger)
        engine = runtime.deserialize_cuda_engine(plan)
        problem = log.last_error()
    if engine is None:
        kind = BuildTargetError if _OTHER_TARGET.search(problem) else BackendError
        raise kind(
            f"{trt} refuses the engine {file.name} ({one_line(problem or 'no reason given')}); "
            f"rebuild it here with: edgeyolo build {file.parent}"
        )
    return engine
