"""Sessions that compute while their caller prepares the next batch."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgeyolo.contract import Contract, InputSpec, OutputSpec, Provenance
from edgeyolo.errors import BackendError
from edgeyolo.families import FAMILIES
from edgeyolo.runtimes.catalog import RUNTIMES
from edgeyolo.runtimes.overlap import ThreadedSession, overlapped
from edgeyolo.runtimes.session import AsyncSession, Session, SessionOptions
from edgeyolo.spec import Backend, Family, Layout, ModelSpec, OutputKind, Precision

SHAPE = (1, 32, 32, 3)


def mean_model(path: Path) -> None:
    """Three nodes: the mean of the picture as the only score and as every box corner."""
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "score_shape"], ["scores"]),
        helper.make_node("Expand", ["scores", "box_shape"], ["boxes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, SHAPE)],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, (1, 1, 4)),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, 1, 1)),
        ],
        [
            helper.make_tensor("score_shape", TensorProto.INT64, [3], [1, 1, 1]),
            helper.make_tensor("box_shape", TensorProto.INT64, [3], [1, 1, 4]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)


def contract(backend: Backend, entry: str) -> Contract:
    return Contract(
        model=ModelSpec(
            family=Family.YOLOX,
            variant="custom",
            class_names=("thing",),
            strides=(32,),
            anchors_px=None,
            preprocess=FAMILIES[Family.YOLOX].preprocess((32, 32)),
        ),
        backend=backend,
        precision=Precision.FP32,
        input=InputSpec(
            name="images", layout=Layout.NHWC, dtype="uint8", preprocessed_in_graph=True, batch=1
        ),
        output=OutputSpec(kind=OutputKind.DECODED, names=("boxes", "scores")),
        entry=entry,
        provenance=Provenance(source_name="", source_sha256="", created="", tools={}),
    )


@pytest.fixture(params=[Backend.ONNX, Backend.OPENVINO], ids=str)
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Session]:
    backend: Backend = request.param
    mean_model(tmp_path / "mean.onnx")
    file = tmp_path / "mean.onnx"
    if backend is Backend.OPENVINO:
        openvino = pytest.importorskip("openvino")
        file = tmp_path / "mean.xml"
        openvino.save_model(openvino.convert_model(tmp_path / "mean.onnx"), file)
    opened = RUNTIMES[backend].open(file, contract(backend, file.name), SessionOptions(threads=1))
    yield opened
    opened.close()


def picture(value: int) -> NDArray[np.uint8]:
    return np.full(SHAPE, value, np.uint8)


def test_results_come_in_order_with_their_tickets(session: Session) -> None:
    with overlapped(session) as engine:
        buffers = [picture(0) for _ in range(engine.slots)]
        expected: list[float] = []
        for number in range(50):
            if number >= engine.slots:
                ticket, (boxes, scores) = engine.collect()
                assert ticket == 1000 + number - engine.slots
                assert scores.item() == expected[ticket - 1000]
                assert boxes.tolist() == [[[scores.item()] * 4]]
            buffers[number % engine.slots][...] = number
            expected.append(float(number))
            engine.submit(buffers[number % engine.slots], 1000 + number)
        for number in range(50 - engine.slots, 50):
            ticket, (_, scores) = engine.collect()
            assert (ticket, scores.item()) == (1000 + number, number)
    # The session itself still works afterwards.
    assert session.run(picture(7))[1].item() == 7


def test_more_than_the_slots_and_less_than_nothing_are_mistakes(session: Session) -> None:
    with overlapped(session) as engine:
        with pytest.raises(RuntimeError, match="submit first"):
            engine.collect()
        for number in range(engine.slots):
            engine.submit(picture(number), number)
        with pytest.raises(RuntimeError, match="collect first"):
            engine.submit(picture(9), 9)
        assert [engine.collect()[0] for _ in range(engine.slots)] == list(range(engine.slots))


def submit_and_collect(engine: AsyncSession, batch: NDArray[Any]) -> float:
    engine.submit(batch, 0)
    return float(engine.collect()[1][1].item())


def test_a_failing_batch_fails_and_the_next_succeeds(
    session: Session,
) -> None:
    with overlapped(session) as engine:
        with pytest.raises(BackendError, match="could not run"):
            submit_and_collect(engine, np.zeros((1, 7, 7, 3), np.uint8))
        assert submit_and_collect(engine, picture(3)) == 3


def test_openvino_is_asynchronous_by_itself(session: Session) -> None:
    with overlapped(session) as engine:
        assert isinstance(engine, ThreadedSession) != isinstance(session, AsyncSession)


def test_the_thread_of_a_synchronous_session_ends_with_the_block() -> None:
    class Slow:
        """Computes for 50 ms, as a vendor that has no asynchronous call."""

        device = "CPU"

        def run(self, batch: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
            time.sleep(0.05)
            return (batch.astype(np.float32),)

        def close(self) -> None:
            raise AssertionError("the stream must not close the session")

    before = threading.active_count()
    with overlapped(Slow()) as engine:
        started = time.monotonic()
        engine.submit(np.ones((1, 2)), 0)
        engine.submit(np.ones((1, 2)) * 2, 1)
        assert time.monotonic() - started < 0.04
        assert engine.collect()[1][0].tolist() == [[1.0, 1.0]]
        assert engine.collect()[1][0].tolist() == [[2.0, 2.0]]
    assert threading.active_count() == before
