"""The pipelined loop: frames in, detections out, in order, as fast as the bare network.

    capture thread per source ──> Intake ──> driver thread ──> Outlet ──> your loop

The driver letterboxes frames into the network's input, keeps the network busy and turns its
outputs into detections while it computes the next ones. Both ends are bounded: a slow loop holds
the driver back, the driver holds the captures back (throughput) or lets them drop frames
(latency).
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeyolo.detections import Detections
from edgeyolo.families.rules import EvaluationSettings
from edgeyolo.handover import Intake, Outlet
from edgeyolo.letterbox import Placement
from edgeyolo.runtimes.overlap import overlapped
from edgeyolo.runtimes.session import AsyncSession
from edgeyolo.sources import Frame, FrameSource, SourceOptions, connect, open_source

if TYPE_CHECKING:
    from edgeyolo.predictor import Predictor

# Decoded frames that wait for the driver, per source; more only costs memory.
_WAITING_FRAMES = 3
_WAITING_RESULTS = 2


class StreamMode(Enum):
    """What happens to frames that the network has no time for.

    LATENCY: Only the newest frame is taken, others are dropped; for live sources.
    THROUGHPUT: Every frame is taken; the source waits.
    """

    LATENCY = "latency"
    THROUGHPUT = "throughput"


class StageTimes(NamedTuple):
    """Milliseconds that one frame spent in each stage; stages of different frames overlap.

    *waiting* is from capture to the start of *prepare* (letterbox), *network* includes waiting for
    the frame before, *finish* is decode and suppression.
    """

    waiting: float
    prepare: float
    network: float
    finish: float


@dataclass(frozen=True, slots=True, eq=False)
class StreamResult:
    """One frame and what was found in it.

    Attributes:
        frame_bgr: (H, W, 3) uint8 as the source gave it; yours.
        detections: Boxes in its pixels.
        source_index: Which of the stream's sources.
        frame_index: Number of the frame within its source.
        name: File name for pictures, otherwise the source's name.
        captured_s: ``time.monotonic()`` when the frame arrived.
        frame_age_ms: How old the frame was when the iteration handed it over.
        dropped: Frames of this source that latency mode has skipped so far.
        stages_ms: Where the time went.
    """

    frame_bgr: NDArray[np.uint8]
    detections: Detections
    source_index: int
    frame_index: int
    name: str
    captured_s: float
    frame_age_ms: float
    dropped: int
    stages_ms: StageTimes


class Stream:
    """Iterator of :class:`StreamResult`; see :meth:`edgeyolo.Predictor.stream`.

    It ends with the last frame, with ``close``, or with the error that stopped a source or the
    network; that error is raised once, after all results before it.
    """

    def __init__(
        self,
        predictor: Predictor,
        sources: Sequence[int | str | Path | FrameSource],
        *,
        mode: StreamMode | None,
        options: SourceOptions | None,
        settings: EvaluationSettings,
    ) -> None:
        if not sources:
            raise ValueError("a stream needs at least one source")
        if predictor.streaming:
            raise RuntimeError("this predictor is streaming already; close that stream first")
        opened = [
            open_source(source, options) if isinstance(source, int | str | Path) else source
            for source in sources
        ]
        if mode is None:
            # Whether an address is a camera or a recording shows when it is open.
            connect(opened)
        live = all(source.live for source in opened)
        if mode is StreamMode.LATENCY and not live:
            files = ", ".join(source.name for source in opened if not source.live)
            raise ValueError(
                f"latency mode drops frames, and {files} is not live; use throughput mode"
            )
        self.sources: tuple[FrameSource, ...] = tuple(opened)
        self.mode = mode or (StreamMode.LATENCY if live else StreamMode.THROUGHPUT)
        self._pipeline = _Pipeline(predictor, self.sources, self.mode, settings)
        # The threads know the pipeline, not this object: forgetting to close it is no leak.
        self._finalizer = weakref.finalize(self, self._pipeline.stop)
        self._pipeline.start()

    def __iter__(self) -> Iterator[StreamResult]:
        return self

    def __next__(self) -> StreamResult:
        try:
            done = self._pipeline.outlet.get()
        except BaseException:
            # Ctrl-C while waiting, or the error of a worker.
            self.close()
            raise
        if done is None:
            self.close()
            raise StopIteration
        frame = done.frame
        return StreamResult(
            frame_bgr=frame.bgr,
            detections=done.detections,
            source_index=done.source_index,
            frame_index=frame.index,
            name=frame.name,
            captured_s=frame.captured_s,
            frame_age_ms=(time.monotonic() - frame.captured_s) * 1e3,
            dropped=done.dropped,
            stages_ms=done.stages_ms,
        )

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop all threads and let go of the sources; the predictor is free again.

        Waits where another thread is closing this stream already.
        """
        self._finalizer()
        self._pipeline.stop()


class _Done(NamedTuple):
    frame: Frame
    source_index: int
    dropped: int
    detections: Detections
    stages_ms: StageTimes


class _Taken(NamedTuple):
    """A frame on its way through the network."""

    frame: Frame
    source_index: int
    dropped: int
    placement: Placement
    started_s: float
    submitted_s: float


class _Pipeline:
    def __init__(
        self,
        predictor: Predictor,
        sources: tuple[FrameSource, ...],
        mode: StreamMode,
        settings: EvaluationSettings,
    ) -> None:
        self._predictor = predictor
        self._sources = sources
        self._newest_only = mode is StreamMode.LATENCY
        self._settings = settings
        # One source alone must be able to fill a batch, or driver and capture wait for each other.
        waiting_frames = max(_WAITING_FRAMES, predictor.pictures_per_call[0])
        self._intake = Intake[Frame](
            len(sources), 1 if self._newest_only else waiting_frames, self._newest_only
        )
        self.outlet = Outlet[_Done](1 if self._newest_only else _WAITING_RESULTS)
        self._choosing = threading.RLock()  # a signal's handler may close while its thread does
        self._stopper: int | None = None
        self._stopped = threading.Event()
        self._driver = threading.Thread(target=self._drive, name="edgeyolo-stream", daemon=True)
        self._captures = [
            threading.Thread(
                target=self._capture, args=(index,), name=f"edgeyolo-capture-{index}", daemon=True
            )
            for index in range(len(sources))
        ]

    def start(self) -> None:
        self._predictor._begin_stream(self.abandon)
        for thread in (*self._captures, self._driver):
            thread.start()

    def stop(self) -> None:
        """Stop once; whoever else asks waits for that, but threads that it may wait for."""
        with self._choosing:
            first = self._stopper is None
            if first:
                self._stopper = threading.get_ident()
        if first:
            try:
                self._stop()
            finally:
                self._stopped.set()
        elif self._stopper != threading.get_ident() and not self._is_own_thread():
            self._stopped.wait()

    def _is_own_thread(self) -> bool:
        return threading.current_thread() in (self._driver, *self._captures)

    def _stop(self) -> None:
        self._intake.stop()
        self.outlet.stop()
        for source in self._sources:
            source.close()
        # A forgotten stream may be collected in one of its own threads.
        if self._driver is not threading.current_thread():
            self._driver.join()
        for thread in self._captures:
            if thread is not threading.current_thread():
                # OpenCV may sit in a read until its own timeout; the thread ends by itself then.
                thread.join(timeout=2.0)
        self._predictor._end_stream()

    def abandon(self) -> None:
        """Stop because the predictor is being closed; the iteration says so."""
        self.stop()
        self.outlet.end(RuntimeError("the predictor was closed while it was streaming"))

    def _capture(self, index: int) -> None:
        source = self._sources[index]
        try:
            while (frame := source.read()) is not None and self._intake.put(index, frame):
                pass
            self._intake.end(index, None)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._intake.end(index, error)
        finally:
            source.close()

    def _drive(self) -> None:
        try:
            with overlapped(self._predictor.session) as engine:
                _Drive(self._predictor, engine, self._settings, self._newest_only).run(
                    self._intake, self.outlet
                )
            self.outlet.end(self._intake.error)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self.outlet.end(error)


class _Drive:
    """The driver's loop: the only thread that touches the session."""

    def __init__(
        self,
        predictor: Predictor,
        engine: AsyncSession,
        settings: EvaluationSettings,
        newest_only: bool,
    ) -> None:
        self._predictor = predictor
        self._engine = engine
        self._settings = settings
        self._newest_only = newest_only
        # A second frame under way would only wait, and grow old.
        self._depth = 1 if newest_only else engine.slots
        self._batch = 1 if newest_only else predictor.pictures_per_call[0]
        self._preparers = [predictor._new_preparer() for _ in range(self._depth)]
        self._under_way: deque[list[_Taken]] = deque()
        self._ticket = 0

    def run(self, intake: Intake[Frame], outlet: Outlet[_Done]) -> None:
        try:
            while True:
                if self._newest_only and not outlet.wait_until_empty():
                    return
                frames = intake.take(self._batch, wait=not self._under_way)
                if not frames and not self._under_way:
                    return
                if frames:
                    try:
                        self._submit(frames)
                    except Exception:
                        while self._under_way:
                            self._hand_over(outlet)
                        raise
                if len(self._under_way) == self._depth or not frames:
                    self._hand_over(outlet)
        finally:
            while self._under_way:
                self._under_way.popleft()
                self._engine.collect()

    def _hand_over(self, outlet: Outlet[_Done]) -> None:
        for done in self._collect():
            outlet.put(done)

    def _submit(self, frames: list[tuple[int, int, Frame]]) -> None:
        started_s = time.monotonic()
        preparer = self._preparers[self._ticket % self._depth]
        tensor, placements = preparer.prepare([frame.bgr for _, _, frame in frames])
        submitted_s = time.monotonic()
        self._engine.submit(tensor, self._ticket)
        self._ticket += 1
        self._under_way.append(
            [
                _Taken(frame, source_index, dropped, placement, started_s, submitted_s)
                for (source_index, dropped, frame), placement in zip(
                    frames, placements, strict=True
                )
            ]
        )

    def _collect(self) -> Iterator[_Done]:
        batch = self._under_way.popleft()
        _, outputs = self._engine.collect()
        collected_s = time.monotonic()
        for place, taken in enumerate(batch):
            finish = self._predictor.finish
            detections = finish(outputs, place, taken.placement, self._settings)
            stages_ms = StageTimes(
                waiting=(taken.started_s - taken.frame.captured_s) * 1e3,
                prepare=(taken.submitted_s - taken.started_s) * 1e3,
                network=(collected_s - taken.submitted_s) * 1e3,
                finish=(time.monotonic() - collected_s) * 1e3,
            )
            yield _Done(taken.frame, taken.source_index, taken.dropped, detections, stages_ms)
