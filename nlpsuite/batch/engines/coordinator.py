"""What all engines with several workers have in common: who does which chunk, and what if he dies."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeAlias

from nlpsuite.batch.engine import ATTEMPTS, Beat, Done, Work
from nlpsuite.batch.engines.messages import Failure, Lost
from nlpsuite.errors import WorkerLostError

__all__ = ["Inbox", "Worker", "coordinate"]


class Worker(Protocol):
    """A worker as its coordinator sees it. What it says comes through the inbox."""

    @property
    def ready(self) -> bool:
        """It has begun to work, or is sure to."""

    def send(self, chunk: int, /) -> None:
        """Let it run a chunk; to this it answers once, with ``Done``, ``Failure`` or ``Lost``."""

    def heard(self) -> None:
        """A beat of it has arrived."""

    def let_go(self) -> None:
        """Let it end when it is idle."""

    def end(self) -> None:
        """End it now, whatever it does."""

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
                pool.hand_out()  # first, so that nobody waits while the caller looks at the result
                yield said
            elif isinstance(said, Lost):
                pool.lost(worker, said.why)
                pool.hand_out()
            else:
                said.raise_()
    finally:
        pool.close()


class _Pool:
    """The workers there are, and what they have to do."""

    def __init__(self, work: Work, chunks: Iterable[int], start: Callable[[Inbox], Worker]) -> None:
        self.inbox: Inbox = queue.SimpleQueue()
        self.busy: dict[Worker, int] = {}
        self._idle: list[Worker] = []
        self._workers = work.workers
        self._chunks = iter(chunks)
        self._again: list[int] = []  # chunks whose worker was lost
        self._losses: dict[int, int] = {}  # how often, for each chunk that is not done yet
        self._start = start

    def hand_out(self) -> None:
        """Give each worker that is free a chunk, as long as there are any."""
        while len(self.busy) < self._workers:
            chunk = self._again.pop() if self._again else next(self._chunks, None)
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
        """The worker is gone, and its chunk is to be run again.

        Raises:
            WorkerLostError: too many are gone on this chunk.
        """
        if worker not in self.busy:  # ended by us
            return
        chunk = self.busy.pop(worker)
        worker.end()
        worker.wait()
        self._losses[chunk] = self._losses.get(chunk, 0) + 1
        if self._losses[chunk] >= ATTEMPTS:
            raise WorkerLostError(
                f"Workers died {ATTEMPTS} times on chunk {chunk}; the last one: {why}.",
                hint="If memory ran out, use fewer workers or a smaller model. What was scored is kept: the "
                "job goes on with the same command.",
            )
        self._again.append(chunk)

    def close(self) -> None:
        """End all workers and wait for them."""
        for worker in self._idle:
            worker.let_go()
        for worker in self.busy:
            worker.end()
        for worker in (*self._idle, *self.busy):
            worker.wait()

    def _taken_back(self) -> int | None:
        """A chunk of a worker that has not begun, such as one for which a cluster has no room yet."""
        for worker, chunk in self.busy.items():
            if not worker.ready:
                del self.busy[worker]
                worker.end()
                worker.wait()
                return chunk
        return None
