"""How jobs are shown: progress while one runs, a summary at its end."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import click

from nlpsuite.batch.run import JobReport, JobReporter, Terminated, pluralize
from nlpsuite.cli.output import print_json
from nlpsuite.cli.progress import Progress

__all__ = ["JobProgress", "print_report", "with_progress"]

_EVERY_SECONDS = 10.0  # between lines where stderr isn't a terminal
T = TypeVar("T")


def with_progress(run: Callable[[JobReporter], T], *, quiet: bool = False, resume: str) -> T:
    """Call ``run`` with a reporter that shows progress on stderr.

    Args:
        resume: how to resume a job that was interrupted.

    Raises:
        SystemExit: it was interrupted or terminated, with the shell's code for that.
    """
    progress = JobProgress(quiet)
    try:
        return run(progress)
    except (KeyboardInterrupt, Terminated) as end:
        progress.close()
        interrupted = isinstance(end, KeyboardInterrupt)
        done = (
            f"{progress.done:,} of {progress.rows:,} rows are done" if progress.rows else "no row is done yet"
        )
        click.echo(f"{'Interrupted' if interrupted else 'Terminated'}: {done}. To resume, {resume}", err=True)
        raise SystemExit(130 if interrupted else 143) from None
    finally:
        progress.close()


def print_report(report: JobReport, as_json: bool) -> int:
    """Print a job's summary, on stdout as JSON or on stderr for people; returns the exit code."""
    if as_json:
        values = dataclasses.asdict(report) | {"output": str(report.output), "job": str(report.job)}
        print_json(values, indent=None)
        return report.exit_code
    rate = f", {report.scored / report.seconds:,.1f} rows/s" if report.scored and report.seconds else ""
    tokens = report.prompt_tokens + report.completion_tokens
    failed = f", {report.errors:,} of them failed" if report.errors else ""
    click.echo(
        f"{report.output or report.job}: {pluralize(report.rows, 'row')}{failed} "
        f"({report.scored:,} scored now in {report.seconds:,.1f} s{rate}, {pluralize(tokens, 'token')}).",
        err=True,
    )
    if report.errors:
        click.echo("  The column 'error' says why. Run the same command to retry failed rows.", err=True)
    return report.exit_code


class JobProgress(Progress, JobReporter):
    """A job's progress on stderr: a bar on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, quiet: bool = False) -> None:
        super().__init__()
        self._quiet = quiet
        self.rows = self.done = 0
        self._shown = 0.0
        self._first: tuple[float, int, int] | None = None  # time, rows and tokens of the first event

    def begin(self, rows: int, done: int, errors: int, how: str) -> None:
        self.close()
        self.rows, self.done, self._first = rows, done, None
        self._shown = time.monotonic()
        if self._quiet:
            return
        earlier = f", {done:,} of them done earlier" if done else ""
        click.echo(f"{pluralize(rows, 'row')}{earlier} ({how})", err=True)
        if not sys.stderr.isatty():
            return
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

        columns = BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn()
        self.start_bar(*columns, total=rows, done=done)

    def progress(self, rows: int, errors: int, tokens: int) -> None:
        self.done = rows
        now = time.monotonic()
        if self._first is None:  # loading the model comes before it, and would spoil the rate
            self._first = now, rows, tokens
        start, rows_then, tokens_then = self._first
        text, left = f"{rows:,} of {self.rows:,}", ""
        if (seconds := now - start) > 1 and rows > rows_then:
            per_second = (rows - rows_then) / seconds
            text += f"  {per_second:,.1f} rows/s  {(tokens - tokens_then) / seconds:,.0f} tokens/s"
            left = f"  {_duration((self.rows - rows) / per_second)} left"
        if errors:
            text += f"  {errors:,} failed"
        self.advance(rows, text)
        if self._bar is None and not self._quiet and now - self._shown >= _EVERY_SECONDS:
            self._shown = now
            click.echo(text + left, err=True)

    def notice(self, text: str) -> None:
        click.echo(text, err=True)

    def stage(self, text: str, total: int | None) -> None:
        if not self._quiet:
            super().stage(text, total)


def _duration(seconds: float) -> str:
    """A time, as exactly as it can be predicted."""
    minutes, hours = seconds / 60, seconds / 3600
    return (
        f"{seconds:,.0f} s" if seconds < 90 else f"{minutes:,.0f} min" if minutes < 90 else f"{hours:,.1f} h"
    )
