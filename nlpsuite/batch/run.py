"""Running a job: what is missing is handed to an engine, and the result is written when all is there."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

from nlpsuite import __version__
from nlpsuite.batch.engine import Beat, Done, Work
from nlpsuite.batch.job import Job
from nlpsuite.batch.merge import check_replaceable, merge
from nlpsuite.batch.resources import choose_workers, this_machine
from nlpsuite.batch.worker import FACTORY
from nlpsuite.errors import NlpsuiteError, OptionError, StorageError, TooManyErrorsError
from nlpsuite.plugins.loading import load
from nlpsuite.runtime.bundle import Bundle

if TYPE_CHECKING:
    from nlpsuite.batch.engine import Engine

__all__ = [
    "JobReport",
    "JobReporter",
    "Terminated",
    "most_errors",
    "pluralize",
    "run_job",
    "survey",
    "terminating",
]


class Terminated(BaseException):
    """The process was asked to end (SIGTERM). The job can be gone on with."""


@dataclass(frozen=True)
class JobReport:
    """How a run of a job ended.

    Attributes:
        output: the file of results.
        job: the job's directory.
        rows, errors: of the whole job; rows that failed are among the rows.
        scored: rows that this run scored.
        prompt_tokens, completion_tokens: that this run read and generated.
        seconds: of this run, from the first chunk on.
        quarantined: shards that could not be read and were scored anew.
    """

    output: Path
    job: Path
    rows: int
    errors: int
    scored: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    quarantined: int

    @property
    def exit_code(self) -> int:
        """0, or 3 if rows failed."""
        return 3 if self.errors else 0


class JobReporter:
    """Is told how a job goes; this one keeps it to itself. Also a ``nlpsuite.models.spec.Reporter``."""

    def stage(self, text: str, total: int | None) -> None:
        """A new stage begins; ``total`` is in bytes, or None if unknown."""

    def advance(self, done: int) -> None:
        """``done`` of the stage's total are through."""

    def close(self) -> None:
        """The stage is over."""

    def begin(self, rows: int, done: int, errors: int, how: str) -> None:
        """Scoring begins: ``done`` of the rows are there from earlier; ``how`` says with what."""

    def progress(self, rows: int, errors: int, tokens: int) -> None:
        """So many rows are scored now, so many of them failed, so many tokens were worked on in this run."""

    def notice(self, text: str) -> None:
        """Something the user should know."""

    def recorded(self) -> dict[str, Any]:
        """Where and when a job was begun: kept in its manifest, of no effect on its results."""
        return {
            "nlpsuite": __version__,
            "host": platform.node(),
            "platform": platform.platform(),
            "python": platform.python_version(),
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "directory": os.getcwd(),
        }


@dataclass
class Survey:
    """What is there of a job.

    Attributes:
        missing: chunks without a usable shard.
        failed: errors by chunk, of those that have some.
        done: rows of the usable shards.
        damaged: chunks whose shard can't be read.
    """

    missing: list[int] = field(default_factory=list)
    failed: dict[int, int] = field(default_factory=dict)
    done: int = 0
    damaged: list[int] = field(default_factory=list)


def survey(job: Job) -> Survey:
    """Read every shard of a job."""
    found = Survey()
    there = set(job.shards_there())
    for chunk in range(job.chunks):
        rows = job.shard(chunk) if chunk in there else None
        if rows is None:
            found.missing.append(chunk)
            if chunk in there:
                found.damaged.append(chunk)
            continue
        found.done += len(rows)
        if errors := sum(row["status"] == "error" for row in rows):
            found.failed[chunk] = errors
    return found


def run_job(job: Job, request: Mapping[str, Any], reporter: JobReporter) -> JobReport:
    """Score what is missing, try again what failed, and write the result. The caller holds the lock.

    Args:
        request: ``engine``, ``workers``, ``threads``, ``address``, ``max_errors``, ``output``, and where
            ``bundle``, ``prompt_file`` and ``shots`` are.

    Raises:
        As ``nlpsuite.batch.score.score``.
    """
    allowed = most_errors(str(request["max_errors"]), job.rows_total)
    output = Path(request["output"])
    found = survey(job)
    if found.missing:  # else it may be a result that a killed process had no time to note down
        check_replaceable(job, output)
    for chunk in found.damaged:
        reporter.notice(f"A damaged shard was moved to {job.quarantine(chunk)}; its rows are scored anew.")
    # What failed goes first: it counts as failed only once it has been tried again.
    chunks = [*found.failed, *found.missing]
    progress = _Progress(job.rows_total, found.done, dict(found.failed), reporter)
    started = time.perf_counter()
    reason, sha256 = "failed", ""
    try:
        if chunks:
            engine, work, how = _work(job, request, len(chunks))
            reporter.begin(job.rows_total, found.done, progress.errors, how)
            with closing(cast(Any, engine(work, iter(chunks)))) as events:
                for event in events:
                    progress.take(event)
                    if progress.errors_now > allowed:
                        raise _toomany(progress.errors_now, allowed, job)
        reporter.close()
        reporter.stage(f"Writing {output}", None)
        sha256 = merge(job, output, lambda new: check_replaceable(job, output, new))
        reason = "complete"
    except KeyboardInterrupt:
        reason = "interrupted"
        raise
    except Terminated:
        reason = "terminated"
        raise
    except NlpsuiteError as error:
        reason = f"failed: {error.message}"
        raise
    finally:
        reporter.close()
        seconds = time.perf_counter() - started
        summary = progress.summary(job, seconds, len(found.damaged))
        report = {"reason": reason, **summary, "engine": request["engine"]}
        # Where the disk is full the report can't be written either; what went wrong first is told.
        with contextlib.suppress(*(() if reason == "complete" else (StorageError,))):
            _write_report(job, report, output, sha256)
    return JobReport(output, job.path, **summary)


def _work(job: Job, request: Mapping[str, Any], chunks: int) -> tuple[Engine, Work, str]:
    engine: Engine = load("engine", request["engine"])
    workers, threads = int(request["workers"]), int(request["threads"])
    if not (workers and threads):
        plan = choose_workers(
            this_machine(), Bundle.open(Path(request["bundle"])).size_bytes, chunks, workers
        )
        workers, threads = workers or plan.workers, threads or plan.threads
    arguments = {name: request[name] for name in ("bundle", "prompt_file", "shots")}
    arguments["job"] = os.fspath(job.path.resolve())
    work = Work(FACTORY, arguments, workers, threads, str(request["address"]))
    how = f"{request['engine']}, {pluralize(workers, 'worker')} of {pluralize(threads, 'thread')}"
    return engine, work, how


def pluralize(number: int, what: str) -> str:
    """So many of something, in words."""
    return f"{number:,} {what}{'s' * (number != 1)}"


class _Progress:
    """Counts what an engine tells. A chunk that is run twice counts once."""

    def __init__(self, rows: int, done: int, failed: dict[int, int], reporter: JobReporter) -> None:
        self._before, self._failed, self._reporter = done, failed, reporter
        self._rows_left = rows - done
        self._tried_again = frozenset(failed)
        self._finished: set[int] = set()
        self._scored = self._new = 0  # rows of finished chunks, and those that were not there before
        self._prompt_tokens = self._completion_tokens = 0
        self._beat_rows = self._beat_tokens = 0
        self.errors = sum(failed.values())  # in this run or earlier
        self.errors_now = 0  # in this run

    def take(self, event: Done | Beat) -> None:
        if isinstance(event, Beat):
            self._beat_rows += event.rows
            self._beat_tokens += event.tokens
        elif event.chunk not in self._finished:
            self._finished.add(event.chunk)
            self._scored += event.rows
            self._new += event.rows * (event.chunk not in self._tried_again)
            self._prompt_tokens += event.prompt_tokens
            self._completion_tokens += event.completion_tokens
            self.errors_now += event.errors
            self.errors += event.errors - self._failed.pop(event.chunk, 0)
        # Beats run ahead of chunks; those of a worker that was lost count twice, but never past the end.
        rows = min(max(self._new, self._beat_rows), self._rows_left)
        tokens = max(self._prompt_tokens + self._completion_tokens, self._beat_tokens)
        self._reporter.progress(self._before + rows, self.errors, tokens)

    def summary(self, job: Job, seconds: float, quarantined: int) -> dict[str, Any]:
        return {
            "rows": job.rows_total,
            "errors": self.errors,
            "scored": self._scored,
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": self._completion_tokens,
            "seconds": round(seconds, 3),
            "quarantined": quarantined,
        }


def _write_report(job: Job, report: dict[str, Any], output: Path, sha256: str) -> None:
    written = dict(job.report().get("written", {}))
    if sha256:
        report |= {"output": os.fspath(output), "output_sha256": sha256}
        written[output.name] = sha256
    report["ended"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    job.write_report(report | {"written": written})


def most_errors(text: str, rows: int) -> int:
    """How many rows may fail: ``text`` is a number or a share such as 5%."""
    if not text:
        return rows
    share = text.endswith("%")
    try:
        value = float(text.rstrip("%")) if share else int(text)
    except ValueError:
        value = -1
    if not 0 <= value <= (100 if share else rows + value):
        raise OptionError(f"max-errors is {text!r}.", hint="Give a number of rows, or a share such as 5%.")
    return int(rows * value / 100) if share else int(value)


def _toomany(errors: int, allowed: int, job: Job) -> TooManyErrorsError:
    example = ""
    for chunk in job.shards_there():
        failed = [row for row in job.shard(chunk) or [] if row["status"] == "error"]
        if failed:
            example = f" The first: row {failed[0]['index']:,}: {failed[0]['error']['message']}"
            break
    return TooManyErrorsError(
        f"{pluralize(errors, 'row')} failed; --max-errors allows {allowed:,}.{example}",
        hint="Mend the input and begin again with --overwrite, or allow more and give the same command again.",
    )


@contextmanager
def terminating() -> Iterator[None]:
    """SIGTERM raises Terminated, where signals can be handled at all."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
