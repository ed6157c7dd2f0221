"""The contract of engines, which run the chunks of a job, at least once each.

A chunk's work is a pure function of the job's files, and the worker commits the result itself. So an engine need
not care about order, duplicates or what a lost worker had done: it hands out chunk numbers and passes on events.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

__all__ = ["ATTEMPTS", "Beat", "Done", "Engine", "OnBeat", "RunChunk", "Work", "open_worker"]

# A chunk whose workers have died this often is given up: most likely it kills them.
ATTEMPTS = 3


@dataclass(frozen=True)
class Beat:
    """A sign of life from within a chunk.

    Attributes:
        rows: finished since the last beat.
        tokens: read and generated since then.
    """

    rows: int
    tokens: int


@dataclass(frozen=True)
class Done:
    """A chunk whose result is committed.

    Attributes:
        chunk: its number, from 0.
        rows, errors: rows of the chunk, and how many of them failed.
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
    """What workers do, in a form that can be sent to any process on any machine.

    Attributes:
        factory: ``module:function``. Called once in each worker with ``arguments`` and ``threads``, it
            returns a function that runs the chunk of a given number, and returns once the result is
            committed. An NlpsuiteError that it raises ends the job.
        arguments: keywords of JSON values.
        workers: maximum number of workers at a time.
        threads: CPU threads per worker.
        address: of the cluster, for an engine that runs on one; empty for this machine.
    """

    factory: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    workers: int = 1
    threads: int = 1
    address: str = ""


def open_worker(work: Work) -> RunChunk:
    """Call the factory of ``work``, which each worker does first."""
    module, _, name = work.factory.partition(":")
    run: RunChunk = getattr(importlib.import_module(module), name)(**work.arguments, threads=work.threads)
    return run


class Engine(Protocol):
    """Runs chunks; what the hook ``nlpsuite_engine`` returns."""

    def __call__(self, work: Work, chunks: Iterable[int], /) -> Iterator[Done | Beat]:
        """Run every chunk, in any order. Yield a ``Done`` for each as it is committed, and a ``Beat`` now and then
        if the engine can.

        Take chunks from the iterable only as workers become free. Replace a worker that dies, and run its chunk
        again. When the generator is closed, or the process is interrupted, end all workers at once.

        Raises:
            WorkerLostError: workers died ``ATTEMPTS`` times on one chunk, or can't be started at all.
            NlpsuiteError: as a worker raised it.
            MissingExtraError: the engine needs a package that is not installed.
        """
