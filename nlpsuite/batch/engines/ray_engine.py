"""The engine ``ray``: workers are actors of Ray Core, on this machine or on a cluster.

Only chunk numbers and counts pass through Ray. Ray's own retries are off: as with any engine, our coordinator
decides which chunk is run again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from nlpsuite.batch.engine import Beat, Done, Work
from nlpsuite.batch.engines.coordinator import Inbox, coordinate
from nlpsuite.batch.engines.messages import Failure, Lost, Runner
from nlpsuite.errors import MissingExtraError, WorkerLostError

__all__ = ["run_on_ray"]

# Ray's store holds only small messages; its minimum is 75 MiB.
_STORE_BYTES = 100 * 2**20


def run_on_ray(work: Work, chunks: Iterable[int]) -> Iterator[Done | Beat]:
    """Run chunks on Ray; see ``nlpsuite.batch.engine.Engine``.

    If this process has already joined a Ray, that is used and left running. Otherwise this joins the one at
    ``work.address``, or starts one on this machine and ends it with the job. Workers for which a cluster has no
    room wait.
    """
    ray = _import_ray()
    with _joined(ray, work):
        yield from coordinate(work, chunks, lambda inbox: _Actor(ray, work, inbox))


class _Served:
    """What runs in the actor's process."""

    def __init__(self, work: Work, path: list[str], seconds: float) -> None:
        sys.path += [place for place in path if place not in sys.path]  # as in a local worker
        self._run = Runner(work)
        self._seconds = seconds
        self._chunk, self._rows, self._tokens = -1, 0, 0

    def ready(self) -> None:
        """Returns once the actor has started."""

    def run(self, chunk: int) -> Any:
        self._chunk, self._rows, self._tokens = chunk, 0, 0
        try:
            return self._run(chunk, self._count)
        finally:
            self._chunk = -1

    def beat(self) -> tuple[int, Beat]:
        """After some seconds, the running chunk and what was done since the last call."""
        time.sleep(self._seconds)
        rows, tokens = self._rows, self._tokens
        self._rows -= rows  # inexact without a lock, but good enough for beats
        self._tokens -= tokens
        return self._chunk, Beat(rows, tokens)

    def _count(self, beat: Beat) -> None:
        self._rows += beat.rows
        self._tokens += beat.tokens


class _Actor:
    """One worker: an actor, as its coordinator sees it."""

    def __init__(self, ray: Any, work: Work, inbox: Inbox) -> None:
        self.ready = False
        self._ray, self._inbox = ray, inbox
        self._chunk = -1
        self._listening = False
        threads = str(work.threads)
        options = {
            "num_cpus": work.threads,
            "max_restarts": 0,
            "max_task_retries": 0,
            "max_concurrency": 2,  # a chunk, and the beats in between
            "runtime_env": {"env_vars": {"OMP_NUM_THREADS": threads, "RAYON_NUM_THREADS": threads}},
        }
        seconds = max(1.0, work.workers / 100)  # of many workers, a hundred beats come in a second
        self._actor = ray.remote(_Served).options(**options).remote(work, sys.path, seconds)
        self._actor.ready.remote().future().add_done_callback(self._on_ready)

    def send(self, chunk: int) -> None:
        self._chunk = chunk
        self._actor.run.remote(chunk).future().add_done_callback(self._on_done)
        self._listen()

    def heard(self) -> None:
        self._listening = False
        if self._chunk != -1:
            self._listen()

    def let_go(self) -> None:
        self.end()

    def end(self) -> None:
        with contextlib.suppress(Exception):  # it, or all of Ray, may be gone
            self._ray.kill(self._actor, no_restart=True)

    def wait(self) -> None:
        pass

    def _listen(self) -> None:
        if not self._listening:
            self._listening = True
            self._actor.beat.remote().future().add_done_callback(self._on_beat)

    # The following are called by a thread of Ray's.

    def _on_ready(self, future: Any) -> None:
        self.ready = future.exception() is None

    def _on_beat(self, future: Any) -> None:
        if future.exception() is not None:  # the chunk's own answer is more informative
            return
        chunk, beat = future.result()
        # A beat may be overtaken by the end of its chunk, which counts all of it.
        self._inbox.put((self, beat if chunk == self._chunk else Beat(0, 0)))

    def _on_done(self, future: Any) -> None:
        self._chunk = -1
        error = future.exception()
        if error is None:
            self._inbox.put((self, future.result()))
        elif isinstance(error, self._ray.exceptions.RayTaskError):
            self._inbox.put((self, Failure.of(error)))
        else:
            self._inbox.put((self, Lost(f"Ray says: {_short(error)}")))


def _short(error: Exception) -> str:
    """Ray's message about an actor's death, on one line, without identifiers and guesses."""
    text = " ".join(str(error).split())
    text = re.sub(r"class_name: .* ip: \S+ ", "", text)
    return text.partition(" Some common causes")[0].rstrip(".")


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError(
            f"The engine `ray` can't be used: {error}.", hint="Run `pip install 'nlpsuite[ray]'`."
        ) from error
    return ray


@contextlib.contextmanager
def _joined(ray: Any, work: Work) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        with _own_signals():
            if work.address:
                ray.init(address=work.address, **quiet)
            else:
                os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
                ray.init(
                    address="local",  # not the one that RAY_ADDRESS names
                    num_cpus=work.workers * work.threads,
                    include_dashboard=False,
                    object_store_memory=_STORE_BYTES,
                    **quiet,
                )
    except Exception as error:
        place = f"at {work.address}" if work.address else "on this machine"
        raise WorkerLostError(
            f"Ray {place} can't be reached: {' '.join(str(error).split())}",
            hint="`ray status --address ADDRESS` says whether it is there. Its Python and its version must be "
            "those of this environment." if work.address else "The engine `local` needs no Ray.",
        ) from error  # fmt: skip
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handler of SIGTERM, which Ray replaces by its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
