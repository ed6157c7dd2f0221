"""Coordination of several workers: which worker runs which chunk, and what happens when one dies."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeAlias

from nlpsuite.batch.engine import ATTEMPTS, Beat, Done, Work
from nlpsuite.batch.engines.messages import Failure, Lost
from nlpsuite.errors import WorkerLostError

__all__ = ["Inbox", "Worker", "coordinate"]


class Worker(Protocol):
    """A worker as its coordinator sees it. Its messages arrive in the inbox."""

    @property
    def ready(self) -> bool:
        """It has started, or certainly will."""

    def send(self, chunk: int, /) -> None:
        """Let it run a chunk; it answers once, with ``Done``, ``Failure`` or ``Lost``."""

    def heard(self) -> None:
        """One of its beats has arrived."""

    def let_go(self) -> None:
        """Let it end when it is idle."""

    def end(self) -> None:
        """End it now, even in the middle of a chunk."""

    def wait(self) -> None:
        """Wait until it has ended, after one of the above."""


Message: TypeAlias = Done | Beat | Failure | Lost
Inbox: TypeAlias = "queue.SimpleQueue[tuple[Worker, Message]]"


def coordinate(work: Work, chunks: Iterable[int], start: Callable[[Inbox], Worker]) -> Iterator[Done | Beat]:
    """Run chunks on at most ``work.workers`` workers, which ``start`` starts; see ``Engine``."""
    pool = _Pool(work, chunks, start)
    try:
        pool.hand_out()
        while pool.busy:
            worker, said = pool.inbox.get()
            if isinstance(said, Beat):
                worker.heard()
                if said.rows or said.tokens:
                    yield said
            elif isinstance(said, Done):
                pool.done(worker)
                pool.hand_out()  # first, so that no worker waits while the caller handles the result
                yield said
            elif isinstance(said, Lost):
                pool.lost(worker, said.why)
                pool.hand_out()
            else:
                said.raise_()
    finally:
        pool.close()


class _Pool:
    """The workers and their chunks."""

    def __init__(self, work: Work, chunks: Iterable[int], start: Callable[[Inbox], Worker]) -> None:
        self.inbox: Inbox = queue.SimpleQueue()
        self.busy: dict[Worker, int] = {}
        self._idle: list[Worker] = []
        self._workers = work.workers
        self._chunks = iter(chunks)
        self._retries: list[int] = []  # of lost workers
        self._losses: dict[int, int] = {}  # by chunk, of those not done yet
        self._start = start

    def hand_out(self) -> None:
        """Give each free worker a chunk, as long as there are any."""
        while len(self.busy) < self._workers:
            chunk = self._retries.pop() if self._retries else next(self._chunks, None)
            if chunk is None and self._idle:
                chunk = self._taken_back()
            if chunk is None:
                return
            worker = self._idle.pop() if self._idle else self._start(self.inbox)
            self.busy[worker] = chunk
            worker.send(chunk)

    def done(self, worker: Worker) -> None:
        """The worker has done its chunk."""
        self._losses.pop(self.busy.pop(worker), None)
        self._idle.append(worker)

    def lost(self, worker: Worker, why: str) -> None:
        """The worker died, and its chunk has to be run again.

        Raises:
            WorkerLostError: too many workers died on this chunk.
        """
        if worker not in self.busy:  # we ended it
            return
        chunk = self.busy.pop(worker)
        worker.end()
        worker.wait()
        self._losses[chunk] = self._losses.get(chunk, 0) + 1
        if self._losses[chunk] >= ATTEMPTS:
            raise WorkerLostError(
                f"Workers died {ATTEMPTS} times on chunk {chunk}; the last one: {why}.",
                hint="If memory ran out, use fewer workers or a smaller model. All scored rows are saved: run "
                "the same command to resume.",
            )
        self._retries.append(chunk)

    def close(self) -> None:
        """End all workers and wait for them."""
        for worker in self._idle:
            worker.let_go()
        for worker in self.busy:
            worker.end()
        for worker in (*self._idle, *self.busy):
            worker.wait()

    def _taken_back(self) -> int | None:
        """A chunk of a worker that hasn't started, for example for lack of room in a cluster."""
        for worker, chunk in self.busy.items():
            if not worker.ready:
                del self.busy[worker]
                worker.end()
                worker.wait()
                return chunk
        return None
