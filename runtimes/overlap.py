"""Makes every session one that computes while its caller works."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.runtimes.session import AsyncSession, Session

_Job = tuple[int, NDArray[Any], int]
_Result = tuple[int, tuple[NDArray[np.float32], ...] | BaseException]


@contextmanager
def overlapped(session: Session) -> Iterator[AsyncSession]:
    """The session itself where its vendor computes asynchronously, else one thread around it.

    The session stays open; collect what is under way before leaving.
    """
    if isinstance(session, AsyncSession):
        yield session
        return
    threaded = ThreadedSession(session)
    try:
        yield threaded
    finally:
        threaded.close()


class ThreadedSession:
    """Runs a synchronous session in a thread of its own; vendors release Python's lock meanwhile.

    Outputs are copied into buffers of their slot, so that the next batch starts at once.
    """

    slots = 2

    def __init__(self, session: Session) -> None:
        self._session = session
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[_Result] = queue.SimpleQueue()
        self._buffers: list[tuple[NDArray[np.float32], ...]] = [()] * self.slots
        self._submitted = 0
        self._under_way = 0
        self._thread = threading.Thread(target=self._work, name="edgeyolo-network", daemon=True)
        self._thread.start()

    def submit(self, batch: NDArray[Any], ticket: int) -> None:
        if self._under_way == self.slots:
            raise RuntimeError(f"all {self.slots} slots are under way; collect first")
        self._jobs.put((ticket, batch, self._submitted % self.slots))
        self._submitted += 1
        self._under_way += 1

    def collect(self) -> tuple[int, tuple[NDArray[np.float32], ...]]:
        if not self._under_way:
            raise RuntimeError("nothing is under way; submit first")
        ticket, result = self._results.get()
        self._under_way -= 1
        if isinstance(result, BaseException):
            raise result
        return ticket, result

    def close(self) -> None:
        """End the thread after what is under way; the session stays open."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            ticket, batch, slot = job
            try:
                outputs = self._session.run(batch)
                self._results.put((ticket, self._keep(slot, outputs)))
            except BaseException as error:  # noqa: BLE001 - raised again by collect
                self._results.put((ticket, error))

    def _keep(
        self, slot: int, outputs: tuple[NDArray[np.float32], ...]
    ) -> tuple[NDArray[np.float32], ...]:
        kept = self._buffers[slot]
        if [array.shape for array in kept] != [array.shape for array in outputs]:
            kept = tuple(np.empty(array.shape, np.float32) for array in outputs)
            self._buffers[slot] = kept
        for target, output in zip(kept, outputs, strict=True):
            np.copyto(target, output)
        return kept
