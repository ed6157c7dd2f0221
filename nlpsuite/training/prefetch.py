"""Batches made ahead of time by a thread, so that a fast device doesn't wait for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from nlpsuite.training.batch import Batch

__all__ = ["Prefetcher"]


class Prefetcher:
    """Makes batches in the order in which they will be asked for; which batch has which content doesn't change.

    Args:
        make: gives batch ``index``; called by one thread at a time.
        depth: batches made ahead; 0 makes each when it is asked for, in the caller's thread.
        pin: put batches into page-locked memory, from which a GPU copies while it computes.
    """

    def __init__(self, make: Callable[[int], Batch], *, depth: int, pin: bool) -> None:
        self._make, self._depth, self._pin = make, depth, pin
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches") if depth else None
        self._ahead: deque[tuple[int, Future[Batch]]] = deque()

    def batch(self, index: int) -> Batch:
        """Batch ``index``. Raises what ``make`` raised for it."""
        if self._thread is None:
            return self._one(index)
        if not self._ahead or self._ahead[0][0] != index:  # the first one, or a jump
            self._forget()
        while len(self._ahead) <= self._depth:
            following = index + len(self._ahead)
            self._ahead.append((following, self._thread.submit(self._one, following)))
        return self._ahead.popleft()[1].result()

    def close(self) -> None:
        """End the thread."""
        self._forget()
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _one(self, index: int) -> Batch:
        batch = self._make(index)
        return batch.pinned() if self._pin else batch

    def _forget(self) -> None:
        for _, future in self._ahead:
            future.cancel()
        self._ahead.clear()
