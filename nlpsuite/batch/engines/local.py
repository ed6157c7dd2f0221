"""The engine ``local``: chunks run on this machine, in this process or in several."""

from __future__ import annotations

import ctypes
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from nlpsuite.batch.engine import Beat, Done, RunChunk, Work, open_worker
from nlpsuite.batch.engines.messages import Pulse
from nlpsuite.batch.engines.processes import run_in_processes
from nlpsuite.errors import WorkerLostError

__all__ = ["run_here"]

# Seconds to wait for a worker's thread, which stops when its current call returns.
_PATIENCE = 10.0


def run_here(work: Work, chunks: Iterable[int]) -> Iterator[Done | Beat]:
    """Run chunks on this machine; see ``nlpsuite.batch.engine.Engine``.

    A single worker is a thread of this process, which starts at once and is easy to debug, but can't be replaced:
    what kills it kills the job. Several workers are processes.
    """
    return _run_in_thread(work, chunks) if work.workers == 1 else run_in_processes(work, chunks)


def _run_in_thread(work: Work, chunks: Iterable[int]) -> Iterator[Done | Beat]:
    # A thread, so that beats can be yielded while a chunk runs.
    orders: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    thread: threading.Thread | None = None
    finished = False
    try:
        for chunk in chunks:
            if thread is None:
                thread = threading.Thread(
                    target=_serve, args=(work, orders, answers), name="nlpsuite worker", daemon=True
                )
                thread.start()
            orders.put(chunk)
            while True:
                said = answers.get()
                if isinstance(said, BaseException):
                    raise said
                yield said
                if isinstance(said, Done):
                    break
        finished = True
    finally:
        if thread is not None:
            orders.put(None)
            if finished:
                thread.join(_PATIENCE)
            else:
                _stop(thread)


def _serve(work: Work, orders: queue.SimpleQueue[int | None], answers: queue.SimpleQueue[Any]) -> None:
    try:
        run: RunChunk = open_worker(work)
        pulse = Pulse(answers.put)
        while (chunk := orders.get()) is not None:
            answers.put(run(chunk, pulse))
    except SystemExit:
        pass
    except MemoryError:
        answers.put(
            WorkerLostError(
                "Memory ran out.",
                hint="Use a smaller model. All scored rows are saved: run the same command to resume.",
            )
        )
    except BaseException as error:
        answers.put(error)


def _stop(thread: threading.Thread) -> None:
    """End the thread as Ctrl-C ends the main thread: at the next step of Python code.

    SystemExit ends a thread silently wherever it is raised; its subclasses don't.
    """
    if thread.is_alive():
        thread.join(0.01)
    if thread.is_alive() and thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
        thread.join(_PATIENCE)
