"""Checks of engines, with chunks that need no model: all are run, errors come through, no process is left."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from nlpsuite.batch.engine import Beat, Done, Work
from nlpsuite.errors import InputInvalidError
from nlpsuite.testing.findings import CheckFailed, expect
from nlpsuite.testing.subject import Subject
from nlpsuite.testing.toy_chunks import ROWS, runs

__all__ = ["CHECKS"]

_CHUNKS = 7
_MANY = 500
_SLOW = 60  # chunks, of 0.05 s each
_GRACE = 10.0  # seconds that workers have to end


def runs_every_chunk(subject: Subject) -> None:
    """Every chunk is run at least once, and what the worker reports is passed on."""
    with _place() as place:
        done = {event.chunk: event for event in _done(subject, place, range(_CHUNKS))}
        missing = sorted(set(range(_CHUNKS)) - {chunk for chunk, _ in runs(place)})
        expect(not missing, f"it never ran the chunks {missing} of {_CHUNKS}")
    message = f"it yielded a Done for the chunks {sorted(done)} of {_CHUNKS}"
    expect(sorted(done) == list(range(_CHUNKS)), message)
    for chunk, event in done.items():
        reported = (event.rows, event.errors, event.prompt_tokens, event.completion_tokens)
        message = f"for chunk {chunk} it passed on {event}, which is not what the worker returned"
        expect(reported == (ROWS, chunk % 2, chunk, 1), message)


def runs_nothing_for_nothing(subject: Subject) -> None:
    """Without chunks nothing is done."""
    with _place() as place:
        done = _done(subject, place, ())
    expect(not done, f"it yielded {len(done)} Done without a chunk")


def takes_chunks_as_it_needs_them(subject: Subject) -> None:
    """Chunks are taken as workers get free."""
    taken = 0

    def chunks() -> Iterator[int]:
        nonlocal taken
        for chunk in range(_MANY):
            taken = chunk + 1
            yield chunk

    with _place() as place:
        _first_done(_drive(subject, place, chunks()))
    expect(taken < _MANY, f"it took all {_MANY} chunks before the first was done")


def passes_errors_on(subject: Subject) -> None:
    """An NlpsuiteError of a worker ends the job unchanged."""
    with _place() as place:
        try:
            _done(subject, place, range(_CHUNKS), fails=2)
        except InputInvalidError as error:
            message = f"a worker's error came through as {error.message!r} with the hint {error.hint!r}"
            expect("Chunk 2 can't be read." in error.message and error.hint, message)
            return
    raise CheckFailed("a chunk raised InputInvalidError, and nothing came of it")


def replaces_a_worker(subject: Subject) -> None:
    """A chunk whose worker dies is run again. An engine without processes of its own is not tried."""
    with _place() as place:
        done = _done(subject, place, range(_CHUNKS), dies=1)
    lost = sorted(set(range(_CHUNKS)) - {event.chunk for event in done})
    expect(not lost, f"when a worker died, it lost the chunks {lost}")


def ends_when_closed(subject: Subject) -> None:
    """When the generator is closed, workers end at once, and no further chunk is run."""
    with _place() as place:
        _first_done(_drive(subject, place, range(_SLOW), seconds=0.05))
        workers = {process for _, process in runs(place)} - {os.getpid()}
        ends = time.monotonic() + _GRACE
        while (left := sorted(filter(_lives, workers))) and time.monotonic() < ends:
            time.sleep(0.05)
        message = f"closed, it left {len(left)} of {len(workers)} worker processes running for {_GRACE:g} s"
        expect(not left, message)
        before = len(runs(place))
        time.sleep(0.3)
        after = len(runs(place))
    expect(after <= before, f"closed, it went on to run {after - before} more chunks")


def _drive(subject: Subject, place: Path, chunks: Iterable[int], **arguments: Any) -> Any:
    """The engine's generator, whose events are checked as they come."""
    arguments |= {"directory": str(place), "parent": os.getpid()}
    work = Work("nlpsuite.testing.toy_chunks:open_toy", arguments, workers=2)
    events: Any = subject.offered(work, iter(chunks))
    message = f"it returned {type(events).__name__}; write it as a generator, which can be closed"
    expect(isinstance(events, Iterator) and hasattr(events, "close"), message)

    def checked() -> Iterator[Done | Beat]:
        with contextlib.closing(events):
            for event in events:
                message = f"it yielded {type(event).__name__}, neither Done nor Beat"
                expect(isinstance(event, (Done, Beat)), message)
                yield event

    return checked()


def _done(subject: Subject, place: Path, chunks: Iterable[int], **arguments: Any) -> list[Done]:
    return [event for event in _drive(subject, place, chunks, **arguments) if isinstance(event, Done)]


def _first_done(events: Any) -> None:
    """Run an engine until its first chunk is done, and close it."""
    next((event for event in events if isinstance(event, Done)), None)
    events.close()


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
    # One that has ended but was not waited for is still listed.
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return True


CHECKS = (
    runs_every_chunk, runs_nothing_for_nothing, takes_chunks_as_it_needs_them, passes_errors_on, replaces_a_worker,
    ends_when_closed,
)  # fmt: skip
