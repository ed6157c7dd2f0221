"""Factories of toy workers for the tests of engines: small, quick, and able to die.

``directory`` is where each leaves its marks: a line in ``ran`` for each chunk it has run, an empty file for
each process.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from nlpsuite.batch.engine import Beat, Done, OnBeat, RunChunk
from nlpsuite.errors import JobStorageError

__all__ = ["counting", "failing", "faulty", "mortal", "noisy", "out_of_memory", "slow", "unopened"]


def _mark(directory: str, chunk: int) -> None:
    with open(Path(directory, "ran"), "a") as file:  # a short append is atomic
        file.write(f"{chunk}\n")


def _sign(directory: str) -> None:
    Path(directory, f"pid-{os.getpid()}").touch()


def counting(directory: str, threads: int) -> RunChunk:
    """Does its chunks."""
    _sign(directory)

    def run(chunk: int, on_beat: OnBeat) -> Done:
        _mark(directory, chunk)
        return Done(chunk, rows=2, prompt_tokens=threads)

    return run


def slow(directory: str, threads: int, seconds: float = 60.0) -> RunChunk:
    """Takes its time, with a beat every 10 ms, and no chunk is marked before its end."""
    _sign(directory)

    def run(chunk: int, on_beat: OnBeat) -> Done:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            on_beat(Beat(1, 10))
            time.sleep(0.01)
        _mark(directory, chunk)
        return Done(chunk, rows=1)

    return run


def mortal(directory: str, threads: int, deadly: int, deaths: int) -> RunChunk:
    """Is killed in the middle of chunk ``deadly``, until ``deaths`` have died of it."""
    _sign(directory)

    def run(chunk: int, on_beat: OnBeat) -> Done:
        if chunk == deadly and len(list(Path(directory).glob("death-*"))) < deaths:
            Path(directory, f"death-{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        _mark(directory, chunk)
        return Done(chunk, rows=1)

    return run


def failing(directory: str, threads: int, bad: int) -> RunChunk:
    """Raises an error that the user can fix, on chunk ``bad``."""

    def run(chunk: int, on_beat: OnBeat) -> Done:
        if chunk == bad:
            raise JobStorageError(f"Chunk {chunk} can't be written.", hint="Make room.")
        return Done(chunk, rows=1)

    return run


def faulty(directory: str, threads: int) -> RunChunk:
    """Has a mistake in it."""

    def run(chunk: int, on_beat: OnBeat) -> Done:
        class Unknown(ValueError):  # no other process knows this class
            pass

        raise Unknown("off by one")

    return run


def out_of_memory(directory: str, threads: int) -> RunChunk:
    """Never gets the memory it wants."""

    def run(chunk: int, on_beat: OnBeat) -> Done:
        raise MemoryError

    return run


def noisy(directory: str, threads: int) -> RunChunk:
    """Prints, as a plugin that is being debugged does."""

    def run(chunk: int, on_beat: OnBeat) -> Done:
        print("printed by Python", flush=True)
        os.write(1, b"printed by the system\n")
        assert os.read(0, 1) == b""  # and finds nothing to read
        return Done(chunk, rows=1)

    return run


def unopened(directory: str, threads: int) -> RunChunk:
    """Can't be opened."""
    raise JobStorageError("There is no such job.", hint="Look for it.")
