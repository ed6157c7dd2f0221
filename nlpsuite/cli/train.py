"""``nlpsuite train`` once its flags are parsed: start the run, show progress, report the result."""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from nlpsuite.cli.progress import Progress
from nlpsuite.training.report import RunProgress, TrainReport, TrainReporter, Validation
from nlpsuite.training.run_adapter import train_adapter
from nlpsuite.training.run_directory import RunDirectory
from nlpsuite.training.run_lm import train_lm

if TYPE_CHECKING:
    from nlpsuite.training.preflight import Preflight

__all__ = ["run_adapter", "run_lm"]

_LINE_SECONDS = 30.0
_CODES = {"interrupted": 130, "terminated": 143}


def run_lm(**values: Any) -> int:
    """Run ``train lm``; returns the exit code."""
    with _quiet(), contextlib.closing(TrainProgress()) as progress:
        report = train_lm(**values, reporter=progress)
    if report.perplexities:
        width = max(map(len, report.perplexities))
        _echo("Perplexity of the held-out text:")
        for name, perplexity in report.perplexities.items():
            _echo(f"  {name:<{width}}  {perplexity}")
    return _end(report, f"nlpsuite export {report.run} -o exported/{report.run.name}")


def run_adapter(*, model: str | None, **values: Any) -> int:
    """Run ``train adapter``; returns the exit code."""
    with _quiet(), contextlib.closing(TrainProgress()) as progress:
        report = train_adapter(**values, base=model, reporter=progress)
    if report.result:
        figures = dict(report.figures)
        how = [str(figures.pop(name)) for name in ("precision", "runtime") if name in figures]
        _echo(f"On held-out rows ({', '.join(how) or 'loss only'}): {_figures(figures)}")
    use = f"nlpsuite export {report.run} -o exported/{report.run.name}"
    if report.result and not report.result.is_dir():
        named = f" --model {report.base}" if report.base else ""
        use = f"nlpsuite run {report.task}{named} --adapter {report.result}"
    return _end(report, use)


class TrainProgress(Progress, TrainReporter):
    """Reports on stderr: with a bar on a terminal, with a line now and then elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self._printed = 0.0
        self._first: tuple[float, float] | None = None  # time and share of the first step

    def preflight(self, preflight: Preflight) -> None:
        self.notice(f"{preflight}; done at about {preflight.until(datetime.datetime.now())}")

    def step(self, progress: RunProgress, share: float, loss: float, tokens_per_second: float) -> None:
        left = self._time_left(share)
        text = f"step {progress.step:,}  loss {loss:.3f}  {tokens_per_second:,.0f} tokens/s"
        if sys.stderr.isatty():
            self._show_bar()
            self.advance(min(1.0, share), f"{text}  {left}")
        elif time.monotonic() - self._printed > _LINE_SECONDS:
            self._printed = time.monotonic()
            self.notice(f"{text}  {share:.0%}  {left}")

    def validation(self, progress: RunProgress, validation: Validation) -> None:
        best = "  (best so far)" if progress.best_step == progress.step else ""
        figures = {"validation_loss": validation.loss, **validation.metrics}
        self.notice(f"step {progress.step:,}  {_figures(figures)}{best}")

    def notice(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            _echo(text)

    def _time_left(self, share: float) -> str:
        """From the speed since the first step, validations included."""
        now = time.monotonic()
        if self._first is None or share <= self._first[1]:
            self._first = (now, share)
            return ""
        seconds = max(0, int((now - self._first[0]) * (1 - share) / (share - self._first[1])))
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d} left"

    def _show_bar(self) -> None:
        if self._bar is None:
            from rich.progress import BarColumn, TaskProgressColumn, TextColumn

            self.start_bar(BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), total=1.0)


def _end(report: TrainReport, use: str) -> int:
    """Say how the run ended and what to do next; ``use`` is the command that uses the result."""
    outcome = report.outcome
    if outcome is None:  # a dry run
        return 0
    progress = outcome.progress
    if report.result is None:
        command = RunDirectory.open(report.run).resume_command
        _echo(f"Stopped and saved at step {progress.step:,}. To resume: {command}")
        return _CODES[outcome.reason]
    if outcome.reason == "patience":
        _echo(
            f"Stopped at step {progress.step:,}, since the validation loss no longer improved. The result has the "
            f"weights of step {progress.best_step:,}, where it was lowest."
        )
    if _main_process():
        click.echo(report.result)
        _echo(f"To use it: {use}")
    return 0


def _figures(figures: Mapping[str, Any]) -> str:
    """Figures on one line."""
    return "  ".join(
        f"{name.replace('_', ' ')} {f'{value:,.4g}' if isinstance(value, float) else value}"
        for name, value in figures.items()
    )


def _main_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _echo(text: str) -> None:
    if _main_process():
        click.echo(text, err=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide what torch warns about when it is imported, which isn't about the user's run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
