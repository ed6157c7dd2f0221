"""Runs generators of the runtime, which block, for requests, which don't.

Each request has a thread, and all threads share the running batch. What a thread yields goes into a queue of the
request, so that a client that reads slowly holds up nobody.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import aclosing, closing
from typing import Any, TypeAlias, TypeVar

from nlpsuite.errors import RequestTimeoutError, ServerBusyError, ServerUnavailableError

__all__ = ["Cancelled", "Runner", "Work"]

_T = TypeVar("_T")

Cancelled: TypeAlias = Callable[[], bool]
Work: TypeAlias = Callable[[Cancelled], Generator[_T, None, None]]
"""Gives a request's events. Asks now and then whether it was cancelled, and then raises CancelledError or ends."""


class Runner:
    """Runs work in threads.

    Args:
        concurrency: how many run at a time.
        queue: how many more may wait.
        timeout: seconds that one may take, waiting included.

    Attributes:
        running: requests that run.
        waiting: requests that wait for a thread.
    """

    def __init__(self, concurrency: int, queue: int, timeout: float) -> None:
        self._most, self._timeout = concurrency + queue, timeout
        self._executor = ThreadPoolExecutor(concurrency, "request")
        self._accepted = 0
        self.running = 0
        self._closing = False
        self._changed = threading.Condition()

    @property
    def waiting(self) -> int:
        return self._accepted - self.running

    async def first(self, work: Work[_T]) -> _T:
        """The one event of some work. Raises as ``stream``; cancelled if the caller is."""
        async with aclosing(self.stream(work)) as events:
            return await anext(events)

    async def stream(self, work: Work[_T]) -> AsyncGenerator[_T, None]:
        """The events of some work. Closing the generator cancels it.

        Raises:
            ServerBusyError: too many wait.
            ServerUnavailableError: the server is shutting down.
            RequestTimeoutError: it took too long.
            Exception: what the work raises.
        """
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        cancelled = threading.Event()
        deadline = time.monotonic() + self._timeout
        self._accept()

        def stopped() -> bool:
            return cancelled.is_set() or time.monotonic() > deadline

        def put(kind: str, value: Any = None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(events.put_nowait, (kind, value))

        def run() -> None:
            with self._changed:
                self.running += 1
            try:
                if not stopped():
                    with closing(work(stopped)) as produced:
                        for event in produced:
                            put("event", event)
                            if stopped():
                                break
                put("late" if stopped() else "end")
            except CancelledError:
                put("late")
            except BaseException as error:
                put("error", error)
            finally:
                with self._changed:
                    self.running -= 1
                    self._accepted -= 1
                    self._changed.notify_all()

        # Logging in the thread should know the request.
        self._executor.submit(contextvars.copy_context().run, run)
        try:
            while True:
                kind, value = await events.get()
                if kind == "event":
                    yield value
                elif kind == "error":
                    raise value
                elif kind == "late":
                    raise RequestTimeoutError(
                        f"The request took longer than {self._timeout:g} seconds.",
                        hint="Ask for fewer tokens or send fewer texts at a time.",
                    )
                else:
                    return
        finally:
            cancelled.set()

    def _accept(self) -> None:
        with self._changed:
            if self._closing:
                raise ServerUnavailableError("The server is shutting down.", hint="Try another one.")
            if self._accepted >= self._most:
                raise ServerBusyError(
                    f"{self._accepted} requests are running or waiting.", hint="Try again in a few seconds."
                )
            self._accepted += 1

    async def close(self, seconds: float) -> None:
        """Accept nothing more, and wait until what runs has ended, for so many seconds at most."""
        self._closing = True

        def wait() -> None:
            with self._changed:
                self._changed.wait_for(lambda: self._accepted == 0, seconds)

        await asyncio.to_thread(wait)
        self._executor.shutdown(wait=False, cancel_futures=True)
