"""Chunks of work that need no model, for the checks of engines. Each leaves a file that says who ran it."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

from nlpsuite.batch.engine import Beat, Done, OnBeat, RunChunk
from nlpsuite.errors import InputInvalidError

__all__ = ["ROWS", "open_toy", "runs"]

ROWS = 3  # of each chunk


def open_toy(
    directory: str, parent: int, threads: int, fails: int = -1, dies: int = -1, seconds: float = 0.0
) -> RunChunk:
    """A factory, as ``Work.factory`` names one.

    Args:
        directory: where each run of a chunk leaves a file.
        parent: the checking process, which is not made to die.
        fails: this chunk raises an InputInvalidError.
        dies: this chunk ends its process the first time.
        seconds: duration of a chunk.
    """

    def run(chunk: int, on_beat: OnBeat) -> Done:
        first = not any(number == chunk for number, _ in runs(Path(directory)))
        Path(directory, f"{chunk}-{os.getpid()}-{uuid.uuid4().hex}").touch()
        if chunk == fails:
            raise InputInvalidError(f"Chunk {chunk} can't be read.", hint="It is a toy.")
        if chunk == dies and first and os.getpid() != parent:
            os._exit(1)
        time.sleep(seconds)
        on_beat(Beat(rows=ROWS, tokens=2 * ROWS))
        return Done(chunk, rows=ROWS, errors=chunk % 2, prompt_tokens=chunk, completion_tokens=threads)

    return run


def runs(directory: Path) -> list[tuple[int, int]]:
    """Chunk and process of each run so far."""
    names = [path.name.split("-") for path in directory.iterdir()]
    return [(int(name[0]), int(name[1])) for name in names]
