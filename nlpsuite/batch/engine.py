"""What an engine is: it runs the chunks of a job somewhere, at least once each.

A chunk's work is a pure function of the job's files, and its result is committed by the worker itself, so an
engine need not care about order, duplicates or what a lost worker had done: it hands out numbers of chunks and
passes on what comes back.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

__all__ = ["ATTEMPTS", "Beat", "Done", "Engine", "OnBeat", "RunChunk", "Work", "open_worker"]

# A chunk whose worker has died so often is given up: most likely it is what kills them.
ATTEMPTS = 3


@dataclass(frozen=True)
class Beat:
    """A sign of life from within a chunk: what has been done since the last one.

    Attributes:
        rows: that were finished.
        tokens: that were read and generated for them.
    """

    rows: int
    tokens: int


@dataclass(frozen=True)
class Done:
    """A chunk whose result is committed.

    Attributes:
        chunk: its number, from 0.
        rows, errors: rows of the chunk, and those among them that failed.
        prompt_tokens, completion_tokens: read and generated.
        seconds: of the worker's time.
    """

    chunk: int
    rows: int
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0


OnBeat: TypeAlias = Callable[[Beat], None]
RunChunk: TypeAlias = Callable[[int, OnBeat], Done]


@dataclass(frozen=True)
class Work:
    """What workers do, in a form that reaches any process on any machine.

    Attributes:
        factory: ``module:function``. Called once in each worker with ``arguments`` and ``threads``, it
            gives what runs a chunk: a function of the chunk's number that returns once the result is
            committed. An NlpsuiteError that this raises ends the job.
        arguments: keywords of JSON values.
        workers: most workers at a time.
        threads: of the CPU, for each worker.
        address: of the cluster, for an engine that runs on one; empty for this machine.
    """

    factory: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    workers: int = 1
    threads: int = 1
    address: str = ""


def open_worker(work: Work) -> RunChunk:
    """Call the factory of ``work``: what each worker does first."""
    module, _, name = work.factory.partition(":")
    run: RunChunk = getattr(importlib.import_module(module), name)(**work.arguments, threads=work.threads)
    return run


class Engine(Protocol):
    """Runs chunks: what the hook ``nlpsuite_engine`` returns."""

    def __call__(self, work: Work, chunks: Iterable[int], /) -> Iterator[Done | Beat]:
        """Run every chunk, in any order, and yield a ``Done`` for each as it is committed; in between, a
        ``Beat`` now and then if the engine can tell.

        Chunks are taken from the iterable only as workers get free. A worker that dies is replaced, and its
        chunk is run again. When the generator is closed, or the process is interrupted, all workers end at once.

        Raises:
            WorkerLostError: workers died ``ATTEMPTS`` times on one chunk, or can't be started at all.
            NlpsuiteError: as a worker raised it.
            MissingExtraError: the engine needs a package that is not installed.
        """
