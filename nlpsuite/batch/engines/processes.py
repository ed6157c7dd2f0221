"""Several workers on this machine, each a process of its own.

They are never forked, because sessions of onnxruntime don't survive a fork, and not started by
``multiprocessing``, which would run the user's main module again in each.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from nlpsuite.batch.engine import Beat, Done, Work
from nlpsuite.batch.engines.coordinator import Inbox, coordinate
from nlpsuite.batch.engines.messages import Failure, Lost
from nlpsuite.errors import WorkerLostError

__all__ = ["run_in_processes"]

_PROGRAM = "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); from nlpsuite.batch.engines.worker import main; main()"
# Seconds that a worker has to end before it is killed.
_PATIENCE = 3.0


def run_in_processes(work: Work, chunks: Iterable[int]) -> Iterator[Done | Beat]:
    """Run chunks in ``work.workers`` processes; see ``nlpsuite.batch.engine.Engine``."""

    def start(inbox: Inbox) -> _Process:
        try:
            return _Process(work, inbox)
        except OSError as error:
            raise WorkerLostError(
                f"A worker can't be started: {error.strerror or error}.", hint="Use fewer workers."
            ) from error

    return coordinate(work, chunks, start)


class _Process:
    """One worker: its process, its pipes, and a thread that listens to it."""

    ready = True  # or it will die, which is noticed

    def __init__(self, work: Work, inbox: Inbox) -> None:
        threads = str(work.threads)
        with _interrupts_blocked():
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "OMP_NUM_THREADS": threads, "RAYON_NUM_THREADS": threads},
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._orders, self._answers = self._process.stdin, self._process.stdout
        self._inbox = inbox
        self._thread = threading.Thread(target=self._listen, name="nlpsuite worker", daemon=True)
        self._thread.start()
        self._say(work)

    def send(self, chunk: int) -> None:
        self._say(chunk)

    def heard(self) -> None:
        pass

    def let_go(self) -> None:
        with contextlib.suppress(OSError):
            self._orders.close()

    def end(self) -> None:
        self._process.terminate()
        self.let_go()

    def wait(self) -> None:
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join()
        self._answers.close()

    def _say(self, order: Any) -> None:
        with contextlib.suppress(OSError):  # the listening thread notices that it is dead
            self._orders.write(pickle.dumps(order))
            self._orders.flush()

    def _listen(self) -> None:
        try:
            while True:
                said = pickle.load(self._answers)
                self._inbox.put((self, said))
                if isinstance(said, Lost):
                    return
        except (EOFError, OSError, pickle.UnpicklingError):  # the last message may be torn
            self._inbox.put((self, Lost(_how_it_ended(self._process.wait()))))
        except Exception as error:  # an unknown message
            self._inbox.put((self, Failure.of(error)))


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Keep Ctrl-C from a process that is being started. One that arrives meanwhile is delivered to us afterwards."""
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
