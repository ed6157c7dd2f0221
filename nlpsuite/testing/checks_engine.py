"""Checks of engines, with chunks that need no model: all are run, errors come through, nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from nlpsuite.batch.engine import Beat, Done, Work
from nlpsuite.errors import InputInvalidError
from nlpsuite.testing.findings import CheckFailed
from nlpsuite.testing.toy_chunks import ROWS, runs

__all__ = ["CHECKS"]

_CHUNKS = 7
_MANY = 500
_SLOW = 60  # chunks, of 0.05 s each
_GRACE = 10.0  # seconds that workers have to end


def _runs_every_chunk(engine: Any, name: str) -> str:
    """Every chunk is run at least once, and what the worker says of it is passed on."""
    with _place() as place:
        done = {
            event.chunk: event for event in _drive(engine, place, range(_CHUNKS)) if isinstance(event, Done)
        }
        if missing := sorted(set(range(_CHUNKS)) - {chunk for chunk, _ in runs(place)}):
            return f"it never ran the chunks {missing} of {_CHUNKS}"
    if sorted(done) != list(range(_CHUNKS)):
        return f"it yielded a Done for the chunks {sorted(done)} of {_CHUNKS}"
    for chunk, event in done.items():
        told = (event.rows, event.errors, event.prompt_tokens, event.completion_tokens)
        if told != (ROWS, chunk % 2, chunk, 1):
            return f"of chunk {chunk} it passed on {event}, which is not what the worker returned"
    return ""


def _runs_nothing_for_nothing(engine: Any, name: str) -> str:
    with _place() as place:
        events = [event for event in _drive(engine, place, ()) if isinstance(event, Done)]
    return f"it yielded {len(events)} Done without a chunk" if events else ""


def _takes_chunks_as_it_needs_them(engine: Any, name: str) -> str:
    taken = 0

    def chunks() -> Iterator[int]:
        nonlocal taken
        for chunk in range(_MANY):
            taken = chunk + 1
            yield chunk

    with _place() as place:
        events = _drive(engine, place, chunks())
        next((event for event in events if isinstance(event, Done)), None)
        seen = taken
        events.close()
    return f"it took all {_MANY} chunks before the first was done" if seen >= _MANY else ""


def _ends_when_closed(engine: Any, name: str) -> str:
    """When the generator is closed, workers end at once, and no further chunk is run."""
    with _place() as place:
        events = _drive(engine, place, range(_SLOW), seconds=0.05)
        next((event for event in events if isinstance(event, Done)), None)
        events.close()
        workers = {process for _, process in runs(place)} - {os.getpid()}
        ends = time.monotonic() + _GRACE
        while (left := sorted(filter(_lives, workers))) and time.monotonic() < ends:
            time.sleep(0.05)
        if left:
            return f"closed, it left {len(left)} of {len(workers)} worker processes running for {_GRACE:g} s"
        before = len(runs(place))
        time.sleep(0.3)
        after = len(runs(place))
    return f"closed, it went on to run {after - before} more chunks" if after > before else ""


def _passes_errors_on(engine: Any, name: str) -> str:
    """An NlpsuiteError of a worker ends the job as it is."""
    with _place() as place:
        try:
            list(_drive(engine, place, range(_CHUNKS), fails=2))
        except InputInvalidError as error:
            if "Chunk 2 can't be read." in error.message and error.hint:
                return ""
            return f"a worker's error came through as {error.message!r} with the hint {error.hint!r}"
    return "a chunk raised InputInvalidError, and nothing came of it"


def _replaces_a_worker(engine: Any, name: str) -> str:
    """A chunk whose worker dies is run again. An engine without processes of its own is not tried."""
    with _place() as place:
        done = {
            event.chunk for event in _drive(engine, place, range(_CHUNKS), dies=1) if isinstance(event, Done)
        }
    lost = sorted(set(range(_CHUNKS)) - done)
    return f"when a worker died, it lost the chunks {lost}" if lost else ""


def _drive(engine: Any, place: Path, chunks: Iterable[int], **arguments: Any) -> Any:
    """The engine's generator, whose events are checked as they come."""
    work = Work(
        "nlpsuite.testing.toy_chunks:open_toy",
        {"directory": str(place), "parent": os.getpid(), **arguments},
        workers=2,
    )
    events = engine(work, iter(chunks))
    if not (isinstance(events, Iterator) and hasattr(events, "close")):
        raise CheckFailed(
            f"it returned {type(events).__name__}; write it as a generator, which can be closed"
        )

    generator: Any = events

    def checked() -> Iterator[Done | Beat]:
        with contextlib.closing(generator):
            for event in generator:
                if not isinstance(event, (Done, Beat)):
                    raise CheckFailed(f"it yielded {type(event).__name__}, neither Done nor Beat")
                yield event

    return checked()


@contextlib.contextmanager
def _place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nlpsuite-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _lives(process: int) -> bool:
    if os.name == "nt":  # os.kill would end the process there
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # One that has ended and was not waited for is still listed.
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return True


CHECKS: tuple[Callable[[Any, str], str], ...] = (
    _runs_every_chunk,
    _runs_nothing_for_nothing,
    _takes_chunks_as_it_needs_them,
    _passes_errors_on,
    _replaces_a_worker,
    _ends_when_closed,
)
