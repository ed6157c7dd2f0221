"""What ``nlpsuite score`` does, and how a job's progress is shown."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import click

from nlpsuite.batch.run import JobReport, JobReporter, Terminated, pluralize
from nlpsuite.batch.score import ScoreRequest, score
from nlpsuite.cli.output import print_json
from nlpsuite.cli.progress import Progress
from nlpsuite.errors import OptionError

__all__ = ["ShownJob", "drive", "print_report", "score_task"]

_EVERY_SECONDS = 10.0  # between lines where stderr is no terminal


def score_task(
    task: Any,
    files: str | None,
    options: dict[str, Any],
    *,
    output: str,
    option_columns: tuple[str, ...],
    ray_address: str,
    as_json: bool,
    quiet: bool,
    threads: int | None,
    **given: Any,
) -> int:
    """Score and print the summary; returns the exit code."""
    request = ScoreRequest(
        task=task.name,
        output=Path(output).expanduser(),
        input=files or "",
        option_columns=_columns(option_columns),
        options=options,
        address=ray_address,
        threads=threads or 0,
        **given,
    )
    again = "the same command without --overwrite" if request.overwrite else "the same command"
    return drive(lambda reporter: score(request, reporter), as_json=as_json, quiet=quiet, again=again)


def drive(run: Any, *, as_json: bool, quiet: bool, again: str) -> int:
    """Run a job with its progress shown; returns the exit code.

    Args:
        run: is given the reporter; returns the report.
        again: what goes on with the job.
    """
    shown = ShownJob(quiet)
    try:
        report: JobReport = run(shown)
    except (KeyboardInterrupt, Terminated) as end:
        shown.close()
        interrupted = isinstance(end, KeyboardInterrupt)
        what = "Interrupted" if interrupted else "Terminated"
        done = f"{shown.done:,} of {shown.rows:,} rows are done" if shown.rows else "no row is done yet"
        click.echo(f"{what}: {done}; to go on: {again}.", err=True)
        return 130 if interrupted else 143
    finally:
        shown.close()
    print_report(report, as_json)
    return report.exit_code


def print_report(report: JobReport, as_json: bool) -> None:
    """The summary at the end: on stderr for people, on stdout as JSON."""
    if as_json:
        values = dataclasses.asdict(report) | {"output": str(report.output), "job": str(report.job)}
        print_json(values, indent=None)
        return
    rate = f", {report.scored / report.seconds:,.1f} rows/s" if report.scored and report.seconds else ""
    tokens = report.prompt_tokens + report.completion_tokens
    failed = f", {report.errors:,} of them failed" if report.errors else ""
    click.echo(
        f"{report.output}: {pluralize(report.rows, 'row')}{failed} "
        f"({report.scored:,} scored now in {report.seconds:,.1f} s{rate}, {pluralize(tokens, 'token')}).",
        err=True,
    )
    if report.errors:
        click.echo(
            "  The column 'error' says why. The same command tries what failed again.",
            err=True,
        )


def _columns(given: tuple[str, ...]) -> dict[str, str]:
    columns = {}
    for pair in given:
        option, equals, column = pair.partition("=")
        if not (option and equals and column):
            raise OptionError(f"--option-column is {pair!r}.", hint="Give OPTION=COLUMN, such as to=lang.")
        columns[option.replace("-", "_")] = column
    return columns


class ShownJob(Progress, JobReporter):
    """A job's progress on stderr: a bar on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, quiet: bool = False) -> None:
        super().__init__()
        self._quiet = quiet
        self.rows = self.done = 0
        self._shown = 0.0
        self._first: tuple[float, int, int] | None = None  # time, rows and tokens of the first sign of life
        self._live: Any = None
        self._job: Any = None

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
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = [BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn()]
        self._live = Progress(*columns, console=Console(stderr=True), transient=True)
        self._job = self._live.add_task("", total=rows, completed=done)
        self._live.start()

    def progress(self, rows: int, errors: int, tokens: int) -> None:
        self.done = rows
        now = time.monotonic()
        if self._first is None:  # until now the model was loaded, which is no measure of what follows
            self._first = now, rows, tokens
        began, rows_then, tokens_then = self._first
        text = f"{rows:,} of {self.rows:,}"
        left = None
        if (seconds := now - began) > 1 and rows > rows_then:
            per_second = (rows - rows_then) / seconds
            text += f"  {per_second:,.1f} rows/s  {(tokens - tokens_then) / seconds:,.0f} tokens/s"
            left = (self.rows - rows) / per_second
        if errors:
            text += f"  {errors:,} failed"
        if self._live is not None:
            self._live.update(self._job, completed=rows, description=text)
        elif not self._quiet and now - self._shown >= _EVERY_SECONDS:
            self._shown = now
            click.echo(text if left is None else f"{text}  {_span(left)} left", err=True)

    def notice(self, text: str) -> None:
        click.echo(text, err=True)

    def stage(self, text: str, total: int | None) -> None:
        if not self._quiet:
            super().stage(text, total)

    def close(self) -> None:
        super().close()
        if self._live is not None:
            self._live.stop()
            self._live = None


def _span(seconds: float) -> str:
    """A time, as exactly as one can foresee it."""
    minutes, hours = seconds / 60, seconds / 3600
    return (
        f"{seconds:,.0f} s" if seconds < 90 else f"{minutes:,.0f} min" if minutes < 90 else f"{hours:,.1f} h"
    )
