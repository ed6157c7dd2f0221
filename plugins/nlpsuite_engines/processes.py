"""Several workers on this machine, each a process of its own.

They are started afresh, never forked: sessions of onnxruntime don't survive a fork. And they are started as
programs of their own rather than by ``multiprocessing``, which would run the user's main module again in each.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from nlpsuite.errors import WorkerLostError
from nlpsuite.jobs.engine import Beat, Done, Work
from nlpsuite_engines.messages import Failure, Losses, Lost

__all__ = ["run_in_processes"]

_PROGRAM = "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); " \
           "from nlpsuite_engines.worker import main; main()"  # fmt: skip
# How long a worker has to end, in seconds, before it is killed.
_PATIENCE = 3.0


def run_in_processes(work: Work, chunks: Iterable[int]) -> Iterator[Done | Beat]:
    """Run chunks in ``work.workers`` processes; see ``nlpsuite.jobs.engine.Engine``."""
    pool = _Pool(work, chunks)
    try:
        pool.hand_out()
        while pool.busy:
            worker, said = pool.inbox.get()
            if isinstance(said, Beat):
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


class _Process:
    """One worker: its process, its pipes, and a thread that listens to it."""

    def __init__(self, work: Work, inbox: queue.SimpleQueue[Any]) -> None:
        threads = str(work.threads)
        with _interrupts_blocked():
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "OMP_NUM_THREADS": threads, "RAYON_NUM_THREADS": threads},
            )
        self._inbox = inbox
        self._thread = threading.Thread(target=self._listen, name="nlpsuite worker", daemon=True)
        self._thread.start()
        self.send(work)

    def send(self, order: Any) -> None:
        """Say something to the worker. One that is dead already is noticed elsewhere."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(pickle.dumps(order))
            self._process.stdin.flush()

    def let_go(self) -> None:
        """Let an idle worker end."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def end(self) -> None:
        """End a busy worker."""
        self._process.terminate()
        self.let_go()

    def wait(self) -> None:
        """Wait until the worker is gone, and close what belongs to it."""
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _listen(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        try:
            while True:
                said = pickle.load(pipe)
                self._inbox.put((self, said))
                if isinstance(said, Lost):
                    return
        except (EOFError, OSError, pickle.UnpicklingError):  # the last message may be torn
            self._inbox.put((self, Lost(_how_it_ended(self._process.wait()))))
        except Exception as error:  # what it sent means nothing here
            self._inbox.put((self, Failure.of(error)))


class _Pool:
    """The workers there are, and what they have to do."""

    def __init__(self, work: Work, chunks: Iterable[int]) -> None:
        self.inbox: queue.SimpleQueue[tuple[_Process, Any]] = queue.SimpleQueue()
        self.busy: dict[_Process, int] = {}
        self._idle: list[_Process] = []
        self._work = work
        self._chunks = iter(chunks)
        self._again: list[int] = []
        self._losses = Losses()

    def hand_out(self) -> None:
        """Give each worker that is free a chunk, as long as there are any."""
        while len(self.busy) < self._work.workers:
            chunk = self._again.pop() if self._again else next(self._chunks, None)
            if chunk is None:
                return
            worker = self._idle.pop() if self._idle else self._start()
            self.busy[worker] = chunk
            worker.send(chunk)

    def done(self, worker: _Process) -> None:
        """The worker has done its chunk."""
        self._losses.forget(self.busy.pop(worker))
        self._idle.append(worker)

    def lost(self, worker: _Process, why: str) -> None:
        """The worker is gone, and its chunk is to be run again."""
        worker.let_go()
        worker.wait()
        if worker in self._idle:
            self._idle.remove(worker)
            return
        chunk = self.busy.pop(worker)
        self._losses.count(chunk, why)
        self._again.append(chunk)

    def close(self) -> None:
        """End all workers and wait for them."""
        for worker in self._idle:
            worker.let_go()
        for worker in self.busy:
            worker.end()
        for worker in (*self._idle, *self.busy):
            worker.wait()

    def _start(self) -> _Process:
        try:
            return _Process(self._work, self.inbox)
        except OSError as error:
            raise WorkerLostError(
                f"A worker can't be started: {error.strerror or error}.", hint="Use fewer workers."
            ) from error


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """A process started meanwhile never sees Ctrl-C, from its first instruction on. Nothing is lost: one that
    comes to us now is delivered afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"it exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    why = ", which is how the system ends a process when memory runs out" if name == "SIGKILL" else ""
    return f"it was killed by {name}{why}"
