"""The pipelined loop around a real, tiny network."""

from __future__ import annotations

import functools
import gc
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from edgeyolo.detections import Detections
from edgeyolo.errors import BackendError, SourceError
from edgeyolo.predictor import Predictor
from edgeyolo.sources import Frame
from edgeyolo.spec import Backend
from edgeyolo.stream import StreamMode, StreamResult

Quadrants = Callable[..., Predictor]


class Frames:
    """Frames from memory, at a pace, ending well or badly."""

    fps: float | None = None
    name = "memory"

    def __init__(
        self,
        frames: list[NDArray[Any]],
        *,
        interval_s: float = 0.0,
        live: bool = False,
        error: BaseException | None = None,
    ) -> None:
        self.live = live
        self.read_count = 0
        self._frames = frames
        self._interval_s = interval_s
        self._error = error
        self._closed = threading.Event()

    def read(self) -> Frame | None:
        if self._closed.wait(self._interval_s):
            return None
        if self.read_count == len(self._frames):
            if self._error is not None:
                raise self._error
            return None
        self.read_count += 1
        index = self.read_count - 1
        return Frame(self._frames[index], index, time.monotonic(), self.name)

    def close(self) -> None:
        self._closed.set()


class Slowed:
    """A real session that takes longer."""

    def __init__(self, session: Any, seconds: float) -> None:
        self._session = session
        self._seconds = seconds
        self.device = session.device

    def run(self, batch: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        time.sleep(self._seconds)
        outputs: tuple[NDArray[np.float32], ...] = self._session.run(batch)
        return outputs

    def close(self) -> None:
        self._session.close()


def slowed(predictor: Predictor, seconds: float) -> Predictor:
    predictor.session = Slowed(predictor.session, seconds)
    return predictor


def scenes(count: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Pictures of changing size whose quarters are bright or dark."""
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        height, width = (int(side) for side in rng.integers(20, 200, 2))
        quarters = rng.integers(0, 255, (2, 2, 3), dtype=np.uint8)
        pictures.append(
            np.ascontiguousarray(np.kron(quarters, np.ones((height, width, 1), np.uint8)))
        )
    return pictures


def assert_same(found: Detections, expected: Detections) -> None:
    assert_array_equal(found.boxes_xyxy, expected.boxes_xyxy)
    assert_array_equal(found.scores, expected.scores)
    assert_array_equal(found.class_ids, expected.class_ids)


def stream_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("edgeyolo")]


@pytest.mark.parametrize("backend", [Backend.ONNX, Backend.OPENVINO])
@pytest.mark.parametrize("batch", [1, 3, 5])
def test_every_frame_comes_in_order_with_the_detections_of_predict(
    quadrants: Quadrants, backend: Backend, batch: int
) -> None:
    predictor = quadrants(backend, batch)
    pictures = scenes(40)
    expected = [predictor.predict(picture) for picture in pictures]
    assert sum(len(found) for found in expected) > 40
    with predictor.stream(Frames(pictures)) as stream:
        assert stream.mode is StreamMode.THROUGHPUT
        results = list(stream)
    assert [result.frame_index for result in results] == list(range(40))
    for result, picture, detections in zip(results, pictures, expected, strict=True):
        assert result.frame_bgr is picture
        assert result.dropped == 0
        assert result.frame_age_ms > 0
        assert min(result.stages_ms) >= 0
        assert_same(result.detections, detections)
    assert not stream_threads()
    # The predictor is free again.
    assert_same(predictor.predict(pictures[0]), expected[0])


def test_throughput_mode_holds_the_source_back(quadrants: Quadrants) -> None:
    source = Frames(scenes(30))
    with quadrants().stream(source) as stream:
        for taken, _ in enumerate(stream, 1):
            time.sleep(0.01)
            # 3 wait before the network, 2 are in it, 2 behind it, and one each is in the hands of
            # capture and driver.
            assert source.read_count <= taken + 9
    assert source.read_count == 30


def test_latency_mode_takes_the_newest_frame_and_counts_the_others(quadrants: Quadrants) -> None:
    predictor = slowed(quadrants(), 0.05)
    source = Frames(scenes(100), interval_s=0.005, live=True)
    results = list(predictor.stream(source))
    indices = [result.frame_index for result in results]
    assert indices == sorted(set(indices))
    assert len(indices) < 30
    # The last frame waits until the source has ended, so nothing newer replaces it.
    assert indices[-1] == 99
    assert results[-1].dropped == 100 - len(results)
    ages_ms = [result.frame_age_ms for result in results]
    # 50 ms in the network, up to 5 ms until the next frame, and scheduling.
    assert np.median(ages_ms) < 90


def test_a_slow_loop_sees_fresh_frames_in_latency_mode(quadrants: Quadrants) -> None:
    source = Frames(scenes(200), interval_s=0.005, live=True)
    ages_ms = []
    with quadrants().stream(source) as stream:
        for result in stream:
            ages_ms.append(result.frame_age_ms)
            time.sleep(0.05)
    # Computed while the loop slept: at most one such sleep old.
    assert np.median(ages_ms) < 90
    assert len(ages_ms) > 5


def test_several_sources_share_the_network_fairly(quadrants: Quadrants) -> None:
    predictor = quadrants()
    pictures = [scenes(20, seed) for seed in range(3)]
    expected = [[predictor.predict(picture) for picture in stream] for stream in pictures]
    results = list(predictor.stream(*[Frames(stream) for stream in pictures]))
    for source_index in range(3):
        own = [result for result in results if result.source_index == source_index]
        assert [result.frame_index for result in own] == list(range(20))
        for result, detections in zip(own, expected[source_index], strict=True):
            assert_same(result.detections, detections)
    # No source is more than its waiting frames ahead of another.
    seen = [0, 0, 0]
    for result in results[:45]:
        seen[result.source_index] += 1
        assert max(seen) - min(seen) <= 8


def test_an_error_of_a_source_comes_once_after_the_results_before_it(
    quadrants: Quadrants,
) -> None:
    cause = OSError("the cable")
    error = SourceError("camera 0 was lost")
    error.__cause__ = cause
    stream = quadrants().stream(Frames(scenes(7), error=error))
    results: list[StreamResult] = []
    with pytest.raises(SourceError, match="was lost") as caught:
        results.extend(stream)
    assert caught.value.__cause__ is cause
    assert [result.frame_index for result in results] == list(range(7))
    assert list(stream) == []
    assert not stream_threads()


@pytest.mark.parametrize("backend", [Backend.ONNX, Backend.OPENVINO])
def test_a_frame_that_is_no_picture_stops_the_stream_with_its_error(
    quadrants: Quadrants, backend: Backend
) -> None:
    predictor = quadrants(backend)
    bad: list[NDArray[Any]] = [*scenes(4), np.zeros((5, 5), np.float32), *scenes(3)]
    stream, results = predictor.stream(Frames(bad)), list[StreamResult]()
    with pytest.raises(ValueError, match="float32"):
        results.extend(stream)
    assert [result.frame_index for result in results] == [0, 1, 2, 3]
    assert len(list(predictor.stream(Frames(scenes(3))))) == 3


def test_an_error_of_the_network_stops_the_stream(quadrants: Quadrants) -> None:
    predictor = quadrants()
    session = predictor.session

    class Failing(Slowed):
        runs = 0

        def run(self, batch: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
            self.runs += 1
            return super().run(batch[:, :5] if self.runs == 3 else batch)

    predictor.session = Failing(session, 0.0)
    stream = predictor.stream(Frames(scenes(50)))
    with pytest.raises(BackendError, match="could not run"):
        list(stream)
    assert list(stream) == []
    assert not stream_threads()


def test_leaving_early_stops_everything(quadrants: Quadrants) -> None:
    predictor = quadrants()
    source = Frames(scenes(200), interval_s=0.001)
    with predictor.stream(source) as stream:
        next(stream)
        with pytest.raises(RuntimeError, match="is streaming"):
            predictor.predict(scenes(1)[0])
        with pytest.raises(RuntimeError, match="streaming already"):
            predictor.stream(Frames(scenes(1)))
    assert not stream_threads()
    assert source.read_count < 200
    assert list(stream) == []
    stream.close()
    predictor.predict(scenes(1)[0])


def test_whoever_closes_a_stream_finds_the_predictor_free_again(quadrants: Quadrants) -> None:
    predictor = quadrants()
    predictor.session = Slowed(predictor.session, 0.2)
    stream = predictor.stream(Frames(scenes(500)))
    next(stream)
    other = threading.Thread(target=stream.close)
    other.start()
    while not stream._pipeline.outlet._stopped:
        time.sleep(0.001)
    # The other thread is waiting for the network now.
    stream.close()
    assert not predictor.streaming
    predictor.predict(scenes(1)[0])
    other.join()


def test_a_signal_that_closes_a_stream_while_it_is_closed_does_no_harm(
    quadrants: Quadrants,
) -> None:
    predictor = quadrants()
    predictor.session = Slowed(predictor.session, 0.3)
    stream = predictor.stream(Frames(scenes(500)))
    next(stream)
    before = signal.signal(signal.SIGALRM, lambda *_: stream.close())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        stream.close()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not predictor.streaming
    assert not stream_threads()


def test_closing_the_predictor_stops_its_stream_before_the_model_is_freed(
    quadrants: Quadrants,
) -> None:
    predictor = quadrants()
    session = predictor.session
    free, threads_left = session.close, []

    def close() -> None:
        threads_left.append(stream_threads())
        free()

    session.close = close  # type: ignore[method-assign]
    source = Frames(scenes(500), interval_s=0.001)
    stream = predictor.stream(source)
    next(stream)
    predictor.close()
    assert threads_left == [[]], "the network was freed under the stream's thread"
    assert source.read_count < 500
    with pytest.raises(RuntimeError, match="the predictor was closed while it was streaming"):
        next(stream)
    assert list(stream) == []
    stream.close()
    for use in (
        lambda: predictor.predict(scenes(1)[0]),
        lambda: predictor.stream(Frames(scenes(1))),
    ):
        with pytest.raises(RuntimeError, match="this predictor is closed; load the artifact again"):
            use()
    assert not stream_threads()
    predictor.close()


def test_an_error_in_the_loop_is_what_the_caller_of_a_closing_predictor_sees(
    quadrants: Quadrants,
) -> None:
    def loop() -> None:
        with quadrants() as predictor:
            for _ in predictor.stream(Frames(scenes(500), interval_s=0.001)):
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        loop()
    gc.collect()
    assert not stream_threads()


def test_a_forgotten_stream_leaves_no_thread(quadrants: Quadrants) -> None:
    predictor = quadrants()
    iterator = iter(predictor.stream(Frames(scenes(500), interval_s=0.001)))
    next(iterator)
    del iterator
    gc.collect()
    assert not stream_threads()
    assert not predictor.streaming


def test_what_cannot_be_streamed_is_refused_at_once(quadrants: Quadrants, tmp_path: Path) -> None:
    predictor = quadrants()
    with pytest.raises(ValueError, match="at least one source"):
        predictor.stream()
    with pytest.raises(ValueError, match="memory is not live"):
        predictor.stream(Frames([]), mode=StreamMode.LATENCY)
    with pytest.raises(SourceError, match="is no file"):
        predictor.stream(str(tmp_path / "nothing.mp4"))
    with pytest.raises(ValueError, match="min_score"):
        predictor.stream("pattern", min_score=7)
    assert not predictor.streaming
    assert not stream_threads()


def test_every_frame_of_a_recording_on_a_web_server_is_seen(
    quadrants: Quadrants, tmp_path: Path
) -> None:
    writer = cv2.VideoWriter(
        str(tmp_path / "clip.mkv"), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (64, 48)
    )
    for index in range(30):
        writer.write(np.full((48, 64, 3), 8 * index, np.uint8))
    writer.release()
    predictor = quadrants()
    predictor.session = Slowed(predictor.session, 0.01)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/clip.mkv"
        with predictor.stream(address) as stream:
            assert stream.mode is StreamMode.THROUGHPUT
            results = list(stream)
        # Who asks for the newest frames gets them.
        with predictor.stream(address, mode=StreamMode.LATENCY) as stream:
            assert stream.mode is StreamMode.LATENCY
            newest = list(stream)
        server.shutdown()
    assert [result.frame_index for result in results] == list(range(30))
    assert results[-1].dropped == 0
    assert newest[-1].dropped > 0


def test_ctrl_c_ends_a_program_that_streams(tmp_path: Path, quadrants: Quadrants) -> None:
    quadrants()
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import sys, threading
sys.path.insert(0, {str(Path(__file__).parent)!r})
from conftest import quadrant_contract
from edgeyolo.predictor import Predictor
from edgeyolo.runtimes.catalog import RUNTIMES
from edgeyolo.runtimes.session import SessionOptions
from edgeyolo.spec import Backend
contract = quadrant_contract(Backend.ONNX, "q.onnx", 1)
from pathlib import Path
session = RUNTIMES[Backend.ONNX].open(Path({str(tmp_path / "quadrants_1.onnx")!r}), contract,
                                      SessionOptions(threads=1))
predictor = Predictor(session, model=contract.model, input=contract.input, output=contract.output)
try:
    for result in predictor.stream("pattern:64x64@50"):
        print("frame", flush=True)
except KeyboardInterrupt:
    left = [t.name for t in threading.enumerate() if t.name.startswith("edgeyolo")]
    print("interrupted", left, flush=True)
"""
    )
    with subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "frame\n"
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=20)
    assert out.splitlines()[-1] == "interrupted []"
    assert err == ""
    assert running.returncode == 0
