"""How the threads of a stream hand things to each other: bounded, stoppable, error-carrying."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Intake(Generic[Item]):
    """Many writers, one reader, a short queue for each writer; the reader takes turns.

    Args:
        writers: How many.
        capacity: Items that may wait, per writer.
        newest_only: Whether a full queue drops its oldest item instead of holding the writer.
    """

    def __init__(self, writers: int, capacity: int, newest_only: bool) -> None:
        self._queues: list[deque[Item]] = [deque() for _ in range(writers)]
        self._dropped = [0] * writers
        self._open = set(range(writers))
        self._capacity = capacity
        self._newest_only = newest_only
        self._next = 0
        self._stopped = False
        self._changed = threading.Condition()
        self.error: BaseException | None = None

    def put(self, writer: int, item: Item) -> bool:
        """Hand over an item, waiting for room unless newest-only; ``False`` once stopped."""
        items = self._queues[writer]
        with self._changed:
            while not self._newest_only and len(items) == self._capacity and not self._over:
                self._changed.wait()
            if self._over:
                return False
            if len(items) == self._capacity:
                items.popleft()
                self._dropped[writer] += 1
            items.append(item)
            self._changed.notify_all()
            return True

    def end(self, writer: int, error: BaseException | None) -> None:
        """Say that a writer has finished; the first error ends the intake for all."""
        with self._changed:
            self._open.discard(writer)
            if error is not None and self.error is None and not self._stopped:
                self.error = error
            self._changed.notify_all()

    def take(self, count: int, *, wait: bool) -> list[tuple[int, int, Item]]:
        """Up to *count* items, each with its writer and how many that writer has dropped so far.

        Args:
            count: Items wanted; fewer are returned at the end, or where not waiting.
            wait: Whether to wait for them; otherwise what is there is taken, but nothing at all
                unless all *count* are.

        Returns:
            Nothing once it is stopped, or ended and empty (or nothing is there, not waiting).
        """
        with self._changed:
            while True:
                waiting = sum(len(items) for items in self._queues)
                if self._stopped or waiting >= count or (not self._open or self.error):
                    break
                if not wait:
                    return []
                self._changed.wait()
            taken = [] if self._stopped else [self._pop() for _ in range(min(count, waiting))]
            self._changed.notify_all()
            return taken

    def stop(self) -> None:
        """Let everybody go."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    @property
    def _over(self) -> bool:
        return self._stopped or self.error is not None

    def _pop(self) -> tuple[int, int, Item]:
        while not self._queues[self._next]:
            self._next = (self._next + 1) % len(self._queues)
        writer = self._next
        self._next = (self._next + 1) % len(self._queues)
        return writer, self._dropped[writer], self._queues[writer].popleft()


class Outlet(Generic[Item]):
    """One writer, one reader, a bounded queue that ends with an error or without."""

    def __init__(self, capacity: int) -> None:
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._ended = False
        self._stopped = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def put(self, item: Item) -> bool:
        """Hand over an item, waiting for room; ``False`` once stopped."""
        with self._changed:
            while len(self._items) == self._capacity and not self._stopped:
                self._changed.wait()
            if self._stopped:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def wait_until_empty(self) -> bool:
        """Wait until the reader has taken everything; ``False`` once stopped."""
        with self._changed:
            while self._items and not self._stopped:
                self._changed.wait()
            return not self._stopped

    def end(self, error: BaseException | None) -> None:
        with self._changed:
            self._ended = True
            self._error = error
            self._changed.notify_all()

    def get(self) -> Item | None:
        """The next item; ``None`` at the end.

        Raises:
            BaseException: What ended it, once.
        """
        with self._changed:
            while not self._items and not self._ended and not self._stopped:
                self._changed.wait()
            if self._items and not self._stopped:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            error, self._error = self._error, None
        if error is not None:
            raise error
        return None

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
