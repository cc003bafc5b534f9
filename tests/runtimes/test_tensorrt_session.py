"""Engines at work: results, overlap, graphs, faults; on the doubles of every version."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from edgeyolo.benchmark.power import UNKNOWN_GPU
from edgeyolo.benchmark.worker import gpu_address
from edgeyolo.contract import Thresholds
from edgeyolo.errors import (
    BackendError,
    UnsupportedError,
)
from edgeyolo.evaluation.parity import compare
from edgeyolo.exporters.nms_graph import append_suppression, suppressed_output
from edgeyolo.exporters.tensorrt_builder import (
    BatchRange,
    BuildOptions,
    build_engine,
)
from edgeyolo.predictor import Predictor
from edgeyolo.runtimes.cuda_driver import Cuda
from edgeyolo.runtimes.onnxruntime_adapter import OnnxRuntime
from edgeyolo.runtimes.session import AsyncSession, ResidentSession, SessionOptions
from edgeyolo.runtimes.tensorrt_log import MessageLog, Severity, logger_of
from edgeyolo.runtimes.tensorrt_session import TensorRtSession
from edgeyolo.sources import Frame
from edgeyolo.spec import Backend, Precision
from tests.doubles.tensorrt_double import VERSIONS
from tests.doubles.tiny_detector import CLASSES, HW, tiny_contract, tiny_detector
from tests.doubles.tiny_engine import (
    DYNAMIC,
    built,
    by_onnxruntime,
    network_for,
    opened,
    pictures,
    trt_of,
)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_session_returns_what_the_network_computes(version: str, libcuda: Any) -> None:
    trt = trt_of(version, libcuda)
    engine = built(trt, Precision.FP32, batch=DYNAMIC)
    session = opened(trt, engine.plan, tiny_contract("network.engine", batch=None))
    network = network_for(trt, Precision.FP32, None)
    for count in (1, 2, 4, 1):
        batch = pictures(count, seed=count)
        for found, wanted in zip(session.run(batch), by_onnxruntime(network, batch), strict=True):
            assert found.dtype == np.float32
            assert_array_equal(found, wanted)
    session.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_calls_overlap_and_results_hold_until_the_next_but_one(version: str, libcuda: Any) -> None:
    trt = trt_of(version, libcuda)
    network = network_for(trt, Precision.FP32)
    session = opened(trt, built(trt, Precision.FP32).plan, tiny_contract("network.engine"))
    assert isinstance(session, AsyncSession)
    batches = [pictures(1, seed) for seed in range(5)]
    session.submit(batches[0], 0)
    held: tuple[NDArray[np.float32], ...] | None = None
    for number, batch in enumerate(batches[1:]):
        session.submit(batch, number + 1)
        if held is not None:
            assert_array_equal(held[1], by_onnxruntime(network, batches[number - 1])[1])
        ticket, results = session.collect()
        assert ticket == number
        held = results
        wanted = by_onnxruntime(network, batches[number])
        assert_array_equal(results[0], wanted[0])
        assert_array_equal(results[1], wanted[1])
    session.submit(batches[0], 9)
    with pytest.raises(RuntimeError, match="all 2 slots are under way"):
        session.submit(batches[0], 10)
    session.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_cuda_graph_replays_the_same_results(version: str, libcuda: Any) -> None:
    trt = trt_of(version, libcuda)
    network = network_for(trt, Precision.FP32, None)
    plan = built(trt, Precision.FP32, batch=DYNAMIC).plan
    contract = tiny_contract("network.engine", batch=None)
    session = opened(trt, plan, contract, cuda_graph=True)
    for count in (1, 1, 2, 1, 2, 1, 1, 1):
        batch = pictures(count, seed=count + 10)
        wanted = by_onnxruntime(network, batch)
        assert_array_equal(session.run(batch)[1], wanted[1])
    executed = trt.module.calls.count("IExecutionContext.execute_async_v3")
    session.run(batch)
    assert trt.module.calls.count("IExecutionContext.execute_async_v3") == executed, "not replayed"
    session.close()


@pytest.mark.parametrize("cuda_graph", [False, True])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_bare_call_runs_the_engine_and_copies_nothing(
    version: str, cuda_graph: bool, libcuda: Any
) -> None:
    trt = trt_of(version, libcuda)
    network = network_for(trt, Precision.FP32, None)
    plan = built(trt, Precision.FP32, batch=DYNAMIC).plan
    contract = tiny_contract("network.engine", batch=None)
    session = opened(trt, plan, contract, cuda_graph=cuda_graph)
    assert isinstance(session, ResidentSession)
    work = trt.module.IExecutionContext._work
    runs: list[Any] = []

    def counted(self: Any) -> None:
        runs.append(self)
        work(self)

    trt.module.IExecutionContext._work = counted
    for count in (2, 1):
        call = session.resident(pictures(count, seed=8))
        copied, ran = libcuda.double_copies(), len(runs)
        for _ in range(3):
            call()
        assert (libcuda.double_copies() - copied, len(runs) - ran) == (0, 3)
    batch = pictures(2, seed=9)
    assert_array_equal(session.run(batch)[1], by_onnxruntime(network, batch)[1])
    session.submit(batch, 0)
    with pytest.raises(RuntimeError, match="under way"):
        session.resident(batch)
    session.close()


def test_a_graph_that_cannot_be_recorded_leaves_the_first_error_and_nothing_allocated(
    libcuda: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = trt_of("10.3.0", libcuda)
    plan = built(trt, Precision.FP32).plan
    session = opened(trt, plan, tiny_contract("network.engine"), cuda_graph=True)
    context = trt.module.IExecutionContext
    real = context.execute_async_v3
    monkeypatch.setattr(
        context,
        "execute_async_v3",
        lambda self, stream: not libcuda.double_capturing() and real(self, stream),
    )
    for _ in range(2):
        with pytest.raises(BackendError, match="could not run"):
            session.run(pictures(1))
    monkeypatch.setattr(context, "execute_async_v3", real)
    assert session.run(pictures(1))[1].shape == (1, 16, CLASSES), "it still works"
    session.close()


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_closing_after_a_fault_of_the_gpu_goes_to_the_end_without_an_error_of_its_own(
    cuda_graph: bool, libcuda: Any
) -> None:
    trt = trt_of("10.3.0", libcuda)
    plan = built(trt, Precision.FP32).plan
    session = opened(trt, plan, tiny_contract("network.engine"), cuda_graph=cuda_graph)
    session.run(pictures(1))
    libcuda.double_fault(1)
    try:
        with pytest.raises(BackendError, match="cuCtxSetCurrent failed"):
            session.run(pictures(1))
        session.close()
    finally:
        libcuda.double_fault(0)


def test_a_context_that_cannot_be_made_says_what_the_library_said(
    libcuda: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = trt_of("10.3.0", libcuda)
    plan = built(trt, Precision.FP32).plan
    logger, _ = logger_of(trt)

    def none(self: Any) -> None:
        logger.log(Severity.ERROR, "createExecutionContext: out of memory")

    monkeypatch.setattr(trt.module.ICudaEngine, "create_execution_context", none)
    engine = trt.module.Runtime(logger).deserialize_cuda_engine(plan)
    cuda = Cuda()
    with pytest.raises(BackendError, match=r"\(createExecutionContext: out of memory\); the GPU's"):
        TensorRtSession(trt, engine, cuda, tiny_contract("network.engine"), cuda_graph=False)
    cuda.close()


def test_an_older_error_of_the_library_is_not_quoted_as_the_reason_of_a_later_failure() -> None:
    log = MessageLog()
    log.receive(Severity.ERROR, "an old one")
    with log.collecting() as outer:
        assert log.last_error() == ""
        log.receive(Severity.ERROR, "first")
        with log.collecting() as inner:
            assert log.last_error() == ""
            log.receive(Severity.ERROR, "second")
            assert log.last_error() == "second"
        assert log.last_error() == "first"
    assert [m.text for m in inner] == ["second"]
    assert [m.text for m in outer] == ["first"]


def test_sessions_of_several_threads_do_not_take_each_other_s_messages() -> None:
    log = MessageLog()
    both = threading.Barrier(2)
    reasons: dict[str, list[str]] = {}

    def work(name: str) -> None:
        with log.collecting() as messages:
            both.wait()
            log.receive(Severity.ERROR, f"of {name}")
            both.wait()
        reasons[name] = [message.text for message in messages]

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reasons == {"one": ["of one"], "other": ["of other"]}
    with log.collecting() as messages:
        helper = threading.Thread(target=log.receive, args=(Severity.WARNING, "of a helper"))
        helper.start()
        helper.join()
    assert [message.text for message in messages] == ["of a helper"]


def test_a_range_that_does_not_begin_at_1_is_kept(libcuda: Any) -> None:
    trt = trt_of("10.3.0", libcuda)
    plan = built(trt, Precision.FP32, batch=BatchRange(2, 2, 4)).plan
    session = opened(trt, plan, tiny_contract("network.engine", batch=None))
    with pytest.raises(ValueError, match="takes 2 to 4 pictures per call, got 1"):
        session.run(pictures(1))
    session.close()


class _Frames:
    """A source of frames that are in memory."""

    name, fps = "frames", None

    def __init__(self, frames: list[NDArray[np.uint8]], *, live: bool = False) -> None:
        self.live = live
        self._frames = [Frame(bgr, at, 0.0, str(at)) for at, bgr in enumerate(frames)]

    def read(self) -> Frame | None:
        return self._frames.pop(0) if self._frames else None

    def close(self) -> None:
        self._frames = []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "built_for", [BatchRange(1, 1, 4), BatchRange(2, 2, 4), BatchRange(3, 3, 3)]
)
@pytest.mark.parametrize("count", [1, 4, 9])
def test_a_range_of_batches_takes_any_number_of_pictures(
    version: str, built_for: BatchRange, count: int, libcuda: Any
) -> None:
    trt = trt_of(version, libcuda)
    plan = built(trt, Precision.FP32, batch=built_for).plan
    contract = tiny_contract("network.engine", batch=None)
    session = opened(trt, plan, contract)
    assert session.pictures_per_call == (built_for.smallest, built_for.largest)
    frames = list(pictures(count))
    network = network_for(trt, Precision.FP32, None)
    with Predictor(
        session, model=contract.model, input=contract.input, output=contract.output
    ) as predictor:
        together = predictor.predict_batch(frames, min_score=0.0)
        alone = predictor.predict(frames[-1], min_score=0.0)
        with predictor.stream(_Frames(frames), min_score=0.0) as stream:
            streamed = [result.detections for result in stream]
        with predictor.stream(_Frames(frames[-1:], live=True), min_score=0.0) as stream:
            (newest,) = [result.detections for result in stream]
    assert_array_equal(newest.boxes_xyxy, alone.boxes_xyxy)
    assert_array_equal(alone.boxes_xyxy, together[-1].boxes_xyxy)
    assert len(together) == len(streamed) == count
    for frame, found, seen in zip(frames, together, streamed, strict=True):
        wanted = by_onnxruntime(network, frame[None])[1]
        assert found.scores.max() == wanted.max()
        assert_array_equal(found.scores, seen.scores)
        assert_array_equal(found.boxes_xyxy, seen.boxes_xyxy)


@pytest.mark.parametrize(
    "built_for", [BatchRange(1, 1, 2), BatchRange(2, 4, 8), BatchRange(3, 3, 3)]
)
def test_an_engine_of_any_range_is_compared_with_its_source(
    built_for: BatchRange, libcuda: Any, tmp_path: Path
) -> None:
    trt = trt_of("10.3.0", libcuda)
    contract = tiny_contract("network.engine", batch=None)
    plan = built(trt, Precision.FP32, batch=built_for).plan
    source = tmp_path / "network.onnx"
    source.write_bytes(network_for(trt, Precision.FP32, None))
    fields: dict[str, Any] = {
        "model": contract.model,
        "input": contract.input,
        "output": contract.output,
    }
    with (
        Predictor(opened(trt, plan, contract), **fields) as engine,
        Predictor(OnnxRuntime().open(source, contract, SessionOptions(threads=1)), **fields) as own,
    ):
        record = compare(
            own, engine, pictures(8), precision=Precision.FP32, image_source="random pictures"
        )
    assert record.images == 8
    assert record.passed


def test_a_session_that_cannot_open_leaves_nothing_allocated(libcuda: Any) -> None:
    trt = trt_of("10.3.0", libcuda)
    model = append_suppression(tiny_detector(), Thresholds())
    plan = build_engine(trt, model.SerializeToString(), BuildOptions(precision=Precision.FP32)).plan
    contract = dataclasses.replace(tiny_contract("network.engine"), output=suppressed_output())
    engine = trt.module.Runtime(trt.module.ILogger()).deserialize_cuda_engine(plan)
    cuda = Cuda()
    held = libcuda.double_live()
    with pytest.raises(UnsupportedError, match="needs outputs of fixed size"):
        TensorRtSession(trt, engine, cuda, contract, cuda_graph=True)
    assert libcuda.double_live() == held
    cuda.close()


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (np.zeros((1, HW, HW, 3), np.float32), "uint8, got .* float32"),
        (np.zeros((1, HW, HW + 1, 3), np.uint8), "32, 32, 3"),
        (np.zeros((2, HW, HW, 3), np.uint8), "exactly 1 pictures per call, got 2"),
    ],
)
def test_a_batch_that_the_engine_does_not_take_is_refused(
    batch: NDArray[Any], message: str, libcuda: Any
) -> None:
    trt = trt_of("10.3.0", libcuda)
    session = opened(trt, built(trt, Precision.FP32).plan, tiny_contract("network.engine"))
    with pytest.raises(ValueError, match=message):
        session.run(batch)
    assert session.run(pictures(1))[1].shape == (1, 16, CLASSES), "it still works"
    session.close()


def test_a_gpu_is_named_by_its_address_on_the_bus(
    libcuda: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOUBLE_CUDA_DEVICES", "2")
    assert gpu_address(Backend.TENSORRT, "GPU:1 Double GPU") == "0000:1b:00.0"
    assert gpu_address(Backend.ONNX, "CUDA") == "0000:1a:00.0"
    assert gpu_address(Backend.TENSORRT, "GPU:2 Double GPU") == UNKNOWN_GPU
    for backend, device in ((Backend.ONNX, "CPU"), (Backend.OPENVINO, "GPU")):
        assert gpu_address(backend, device) is None
