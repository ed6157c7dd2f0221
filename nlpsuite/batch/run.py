"""Running a job: an engine scores the missing chunks, then the result is written."""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

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
    "parse_max_errors",
    "pluralize",
    "run_job",
    "survey",
    "terminating",
]


class Terminated(BaseException):
    """The process received SIGTERM. The same request resumes the job."""


@dataclass(frozen=True)
class JobReport:
    """How a run of a job ended.

    Attributes:
        output: the file of results; None for a job that writes none.
        job: the job's directory.
        rows, errors: rows of the whole job, and how many of them failed.
        scored: rows that this run scored.
        prompt_tokens, completion_tokens: that this run read and generated.
        seconds: of this run, from the first chunk on.
        quarantined: corrupt shards whose rows were scored again.
    """

    output: Path | None
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
    """Receives a job's progress and ignores it; subclass it to show progress. Also a
    ``nlpsuite.models.spec.Reporter``.
    """

    def stage(self, text: str, total: int | None) -> None:
        """A new stage begins; ``total`` is in bytes, or None if unknown."""

    def advance(self, done: int) -> None:
        """``done`` of the stage's total are through."""

    def close(self) -> None:
        """The stage is over."""

    def begin(self, rows: int, done: int, errors: int, how: str) -> None:
        """Scoring begins. ``done`` of the rows were scored earlier; ``how`` names engine, workers and threads."""

    def progress(self, rows: int, errors: int, tokens: int) -> None:
        """Rows scored so far, how many of them failed, and tokens read and generated in this run."""

    def notice(self, text: str) -> None:
        """Something the user should know."""


@dataclass
class Survey:
    """The state of a job's shards.

    Attributes:
        missing: chunks without an intact shard.
        failed: failed rows by chunk, of chunks that have some.
        done: rows of the intact shards.
        corrupt: chunks whose shard can't be read.
    """

    missing: list[int] = field(default_factory=list)
    failed: dict[int, int] = field(default_factory=dict)
    done: int = 0
    corrupt: list[int] = field(default_factory=list)


def survey(job: Job) -> Survey:
    """Read every shard of a job."""
    found = Survey()
    existing = set(job.shards_there())
    for chunk in range(job.chunks):
        rows = job.shard(chunk) if chunk in existing else None
        if rows is None:
            found.missing.append(chunk)
            if chunk in existing:
                found.corrupt.append(chunk)
            continue
        found.done += len(rows)
        if errors := sum(row["status"] == "error" for row in rows):
            found.failed[chunk] = errors
    return found


def run_job(job: Job, request: Mapping[str, Any], reporter: JobReporter) -> JobReport:
    """Score missing rows, retry failed ones, and write the result. The caller holds the lock.

    Args:
        request: ``engine``, ``workers``, ``threads``, ``address``, ``max_errors``, ``output`` (None to write
            no result), and the paths ``bundle``, ``prompt_file`` and ``shots``.

    Raises:
        As ``nlpsuite.batch.score.score``.
    """
    allowed = parse_max_errors(str(request["max_errors"]), job.rows_total)
    output = Path(request["output"]) if request["output"] else None
    found = survey(job)
    if output and found.missing:  # else a killed process may have written it without recording so
        check_replaceable(job, output)
    for chunk in found.corrupt:
        reporter.notice(f"A corrupt shard was moved to {job.quarantine(chunk)}; its rows are scored again.")
    # Failed rows go first: they count as failed only once they have been retried.
    chunks = [*found.failed, *found.missing]
    tally = _Tally(job.rows_total, found.done, dict(found.failed), reporter)
    started = time.perf_counter()
    reason, sha256 = "failed", ""
    try:
        if chunks:
            engine, work, how = _work(job, request, len(chunks))
            reporter.begin(job.rows_total, found.done, tally.errors, how)
            with closing(cast(Any, engine(work, iter(chunks)))) as events:
                for event in events:
                    tally.take(event)
                    if tally.errors_now > allowed:
                        raise _too_many_errors(tally.errors_now, allowed, job)
        reporter.close()
        if output:
            reporter.stage(f"Writing {output}", None)
            sha256 = merge(job, output, partial(check_replaceable, job, output))
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
        summary = tally.summary(job, seconds, len(found.corrupt))
        report = {"reason": reason, **summary, "engine": request["engine"]}
        # On a full disk the report can't be written either; the first error is the one to raise.
        with contextlib.suppress(*(() if reason == "complete" else (StorageError,))):
            _write_report(job, report, output, sha256)
    return JobReport(output, job.path, **summary)


def _work(job: Job, request: Mapping[str, Any], chunks: int) -> tuple[Engine, Work, str]:
    engine: Engine = load("engine", request["engine"])
    workers, threads = int(request["workers"]), int(request["threads"] or 0)
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
    """A number with its noun, such as ``2 rows``."""
    return f"{number:,} {what}{'s' * (number != 1)}"


class _Tally:
    """Adds up an engine's events. A chunk that is run twice counts once."""

    def __init__(self, rows: int, done: int, failed: dict[int, int], reporter: JobReporter) -> None:
        self._before, self._failed, self._reporter = done, failed, reporter
        self._rows_left = rows - done
        self._retried = frozenset(failed)
        self._finished: set[int] = set()
        self._scored = self._new = 0  # rows of finished chunks, and of those without a shard before
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
            self._new += event.rows * (event.chunk not in self._retried)
            self._prompt_tokens += event.prompt_tokens
            self._completion_tokens += event.completion_tokens
            self.errors_now += event.errors
            self.errors += event.errors - self._failed.pop(event.chunk, 0)
        # Beats run ahead of chunks; those of a lost worker count twice, but never past the end.
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


def _write_report(job: Job, report: dict[str, Any], output: Path | None, sha256: str) -> None:
    written = dict(job.report().get("written", {}))
    if output and sha256:
        report |= {"output": os.fspath(output), "output_sha256": sha256}
        written[output.name] = sha256
    report["ended"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    job.write_report(report | {"written": written})


def parse_max_errors(text: str, rows: int) -> int:
    """How many rows may fail, from a number or a share such as ``5%``; all of them where ``text`` is empty.

    Raises:
        OptionError: it is neither.
    """
    if not text:
        return rows
    share = text.endswith("%")
    try:
        value = float(text.rstrip("%")) if share else int(text)
    except ValueError:
        value = -1
    if not 0 <= value <= (100 if share else rows + value):
        raise OptionError(
            f"max-errors can't be {text!r}.", hint="Give a number of rows, or a share such as 5%."
        )
    return int(rows * value / 100) if share else int(value)


def _too_many_errors(errors: int, allowed: int, job: Job) -> TooManyErrorsError:
    failed = (row for row in job.scored_rows(strict=False) if row["status"] == "error")
    first = next(failed, None)
    example = f" The first is row {first['index']:,}: {first['error']['message']}" if first else ""
    return TooManyErrorsError(
        f"{pluralize(errors, 'row')} failed; --max-errors allows {allowed:,}.{example}",
        hint="Fix the input and start again with --overwrite, or raise the limit and run the same command.",
    )


@contextmanager
def terminating() -> Iterator[None]:
    """Turn SIGTERM into Terminated; only the main thread can handle signals."""
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
