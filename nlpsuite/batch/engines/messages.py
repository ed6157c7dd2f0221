"""What workers and coordinator say to each other, beside ``Done`` and ``Beat``."""

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
    """A worker is gone.

    Attributes:
        why: what is known of its end, as in "killed by SIGKILL".
    """

    why: str


@dataclass(frozen=True)
class Failure:
    """A chunk failed in a way that would fail again.

    Attributes:
        error: where it is the user's to mend; none where it is a fault of the program.
        what: the exception as text, and trace: where it was raised; for a fault of the program.
    """

    error: NlpsuiteError | None = None
    what: str = ""
    trace: str = ""

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """What ``error`` looks like from another process."""
        if isinstance(error, NlpsuiteError):
            with contextlib.suppress(Exception):  # a plugin's own class may not survive the way
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
    """Passes beats on, not more often than every 0.2 s: a beat a token would keep the coordinator busy."""

    EVERY = 0.2

    def __init__(self, send: Callable[[Beat], None]) -> None:
        self._send = send
        self._rows = self._tokens = 0
        self._sent = monotonic()

    def __call__(self, beat: Beat) -> None:
        """Count ``beat``; send all since the last time if it is time."""
        self._rows += beat.rows
        self._tokens += beat.tokens
        now = monotonic()
        if now - self._sent >= self.EVERY:
            self._send(Beat(self._rows, self._tokens))
            self._rows = self._tokens = 0
            self._sent = now


class Runner:
    """A worker, opened when it gets its first chunk; every exception becomes a message."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._run: RunChunk | None = None

    def __call__(self, chunk: int, on_beat: OnBeat) -> Done | Failure | Lost:
        """Run a chunk.

        Without memory a worker is as good as lost: a fresh one, or a quieter machine, may manage.
        """
        try:
            if self._run is None:
                self._run = open_worker(self._work)
            return self._run(chunk, on_beat)
        except MemoryError:
            return Lost("it ran out of memory")
        except Exception as error:
            return Failure.of(error)
