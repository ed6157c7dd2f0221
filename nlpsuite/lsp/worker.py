"""One thread that does what it is given in turn, and doesn't keep a process from ending."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

__all__ = ["Worker"]

T = TypeVar("T")


class Worker:
    """Unlike a ``ThreadPoolExecutor``, whose threads the interpreter waits for, it may be left in a download."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Queue a call; cancelling the future before its turn drops it."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="nlpsuite-lsp", daemon=True)
            self._thread.start()
        future: Future[T] = Future()
        self._tasks.put((future, call))
        return future

    def _run(self) -> None:
        while True:
            future, call = self._tasks.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)
