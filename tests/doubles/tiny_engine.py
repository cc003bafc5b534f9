"""The tiny detector built and opened on the doubles of TensorRT and libcuda."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgeyolo.contract import Contract
from edgeyolo.exporters.fp16_graph import to_fp16
from edgeyolo.exporters.tensorrt_builder import (
    BatchRange,
    BuildOptions,
    BuiltEngine,
    build_engine,
)
from edgeyolo.exporters.tensorrt_flags import Typing, choose_flags
from edgeyolo.runtimes.cuda_driver import Cuda
from edgeyolo.runtimes.tensorrt_modules import TensorRt
from edgeyolo.runtimes.tensorrt_session import TensorRtSession
from edgeyolo.spec import Precision
from tests.doubles.tensorrt_double import recorded_tensorrt
from tests.doubles.tiny_detector import HW, tiny_detector

DECODE = frozenset({"box_rows", "boxes", "class_rows", "logits", "scores"})
DYNAMIC = BatchRange(1, 2, 4)


def trt_of(version: str, libcuda: Any = None) -> TensorRt:
    return TensorRt(recorded_tensorrt(version, libcuda), "tensorrt", version)


def network_for(trt: TensorRt, precision: Precision, batch: int | None = 1) -> bytes:
    """The file that an artifact would offer to this version."""
    model = tiny_detector(batch, quantised=precision is Precision.INT8)
    if choose_flags(trt, precision).typing is Typing.STRONG and precision is not Precision.FP32:
        model, _ = to_fp16(model)
    return bytes(model.SerializeToString())


def built(trt: TensorRt, precision: Precision, **options: Any) -> BuiltEngine:
    batch = None if "batch" in options else 1
    return build_engine(
        trt,
        network_for(trt, precision, batch),
        BuildOptions(precision=precision, float32_layers=DECODE, **options),
    )


def pictures(count: int, seed: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, HW, HW, 3), np.uint8)


def by_onnxruntime(model: bytes, batch: NDArray[Any]) -> list[NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    outputs: list[NDArray[np.float32]] = session.run(["boxes", "scores"], {"images": batch})
    return outputs


def opened(
    trt: TensorRt, plan: bytes, contract: Contract, *, cuda_graph: bool = False
) -> TensorRtSession:
    runtime = trt.module.Runtime(trt.module.ILogger())
    engine = runtime.deserialize_cuda_engine(plan)
    return TensorRtSession(trt, engine, Cuda(), contract, cuda_graph=cuda_graph)
