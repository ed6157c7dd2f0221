"""The process of one local worker: chunk numbers come in on its stdin, messages go out on its stdout.

Standard input and output are the only pipes that every platform hands to a child. They are moved to other numbers
first, so that a plugin that prints does so on stderr.

When the coordinator ends, in whatever way, its end of stdin closes, which tells the worker to end.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
import time
from typing import Any, BinaryIO

from nlpsuite.batch.engine import Work
from nlpsuite.batch.engines.messages import Lost, Pulse, Runner

__all__ = ["main"]

# Seconds that a running chunk has to end when the coordinator is gone.
_GRACE = 0.5
# Raised by reading an order after the last one, which may be incomplete.
_END = (EOFError, OSError, pickle.UnpicklingError)


def main() -> None:
    """Run chunks until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's to handle
    orders, answers = _take_pipes()
    try:
        work: Work = pickle.load(orders)
    except _END:  # the coordinator is gone already
        return
    chunks: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders, chunks), daemon=True).start()

    run = Runner(work)
    pulse = Pulse(lambda beat: _say(answers, beat))
    while (chunk := chunks.get()) is not None:
        said = run(chunk, pulse)
        _say(answers, said)
        if isinstance(said, Lost):
            break


def _say(answers: BinaryIO, message: Any) -> None:
    data = pickle.dumps(message)
    try:
        answers.write(data)
        answers.flush()
    except OSError:  # the coordinator is gone
        os._exit(1)


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The two pipes, under new numbers; stdin is then empty, and stdout is stderr."""
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return orders, answers


def _listen(orders: BinaryIO, chunks: queue.SimpleQueue[int | None]) -> None:
    """Pass on chunk numbers. After the last one, let a running chunk end soon, then end the process."""
    try:
        while True:
            chunks.put(pickle.load(orders))
    except _END:
        chunks.put(None)
        time.sleep(_GRACE)
        os._exit(1)
