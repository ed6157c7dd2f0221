"""The messages between workers and coordinator, besides ``Done`` and ``Beat``."""

from __future__ import annotations

import contextlib
import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import NoReturn

from nlpsuite.batch.engine import Beat, Done, OnBeat, RunChunk, Work, open_worker
from nlpsuite.errors import NlpsuiteError

__all__ = ["Failure", "Lost", "Pulse", "Runner"]


@dataclass(frozen=True)
class Lost:
    """A worker died.

    Attributes:
        why: how, as in "it was killed by SIGKILL".
    """

    why: str


@dataclass(frozen=True)
class Failure:
    """A chunk failed in a way that would fail again.

    Attributes:
        error: one that the user can fix; None for a bug.
        what, trace: the exception and its traceback as text; for a bug.
    """

    error: NlpsuiteError | None = None
    what: str = ""
    trace: str = ""

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """An exception in a form that can be sent to another process."""
        if isinstance(error, NlpsuiteError):
            with contextlib.suppress(Exception):  # a plugin's own class may not survive pickling
                pickle.loads(pickle.dumps(error))
                return cls(error)
        what = "".join(traceback.format_exception_only(error)).strip()
        return cls(None, what, "".join(traceback.format_exception(error)))

    def raise_(self) -> NoReturn:
        """Raise it here: the worker's own error, or a RuntimeError with its traceback as a note."""
        if self.error is not None:
            raise self.error
        error = RuntimeError(f"A worker failed with {self.what}")
        error.add_note(f"In the worker:\n{self.trace}")
        raise error


class Pulse:
    """Passes beats on, at most every 0.2 s: a beat per token would keep the coordinator busy."""

    EVERY = 0.2

    def __init__(self, send: Callable[[Beat], None]) -> None:
        self._send = send
        self._rows = self._tokens = 0
        self._sent = monotonic()

    def __call__(self, beat: Beat) -> None:
        """Count ``beat``, and send the sum if enough time has passed."""
        self._rows += beat.rows
        self._tokens += beat.tokens
        now = monotonic()
        if now - self._sent >= self.EVERY:
            self._send(Beat(self._rows, self._tokens))
            self._rows = self._tokens = 0
            self._sent = now


class Runner:
    """A worker that opens at its first chunk, and turns every exception into a message."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._run: RunChunk | None = None

    def __call__(self, chunk: int, on_beat: OnBeat) -> Done | Failure | Lost:
        """Run a chunk.

        A worker that runs out of memory counts as lost: a new one, or a less busy machine, may succeed.
        """
        try:
            if self._run is None:
                self._run = open_worker(self._work)
            return self._run(chunk, on_beat)
        except MemoryError:
            return Lost("it ran out of memory")
        except Exception as error:
            return Failure.of(error)
