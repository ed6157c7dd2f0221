"""What ``nlpsuite train`` does once its flags are read: start the run, show how it goes, say what came of it."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nlpsuite.cli.progress import Progress as FetchProgress
from nlpsuite.errors import OptionError

if TYPE_CHECKING:
    from nlpsuite.training.checkpoints import Progress
    from nlpsuite.training.launch import RunTarget
    from nlpsuite.training.preflight import Preflight
    from nlpsuite.training.tokens import Perplexity
    from nlpsuite.training.trainer import Evaluation, Outcome

__all__ = ["run_adapter", "run_lm"]

_LINE_SECONDS = 30.0
_CODES = {"interrupted": 130, "terminated": 143}


def run_lm(data: tuple[str, ...], given: dict[str, Any], flags: Mapping[str, Any]) -> int:
    """Run ``train lm``; gives the exit code."""
    with _quiet(), TrainProgress() as progress:
        from nlpsuite.training.run_lm import train_lm

        report = train_lm(data, given, _where(flags), progress)
    if report.perplexities and report.result:
        _show_perplexities(report.perplexities)
    run = flags["output"]
    return _end(report.outcome, report.result, run, "lm", f"nlpsuite export {run} -o exported/{run.name}")


def run_adapter(
    task: str | None,
    data: str | None,
    base: str | None,
    task_options: tuple[str, ...],
    given: dict[str, Any],
    flags: Mapping[str, Any],
) -> int:
    """Run ``train adapter``; gives the exit code."""
    fetching = FetchProgress()
    with _quiet(), TrainProgress() as progress:
        from nlpsuite.training.run_adapter import AdapterRequest, train_adapter

        request = None
        if task is not None and data is not None:
            request = AdapterRequest(task, data, base, _parsed(task, task_options))
        try:
            report = train_adapter(request, given, _where(flags), progress, fetching)
        finally:
            fetching.close()
    if report.evaluation:
        _echo(f"The weights that are kept: {_figures(report.evaluation)}")
    run = flags["output"]
    use = f"nlpsuite export {run} -o exported/{run.name}"
    if report.result and not report.result.is_dir():
        model = f" --model {report.request.base}" if report.request.base else ""
        use = f"nlpsuite run {report.request.task}{model} --adapter {report.result}"
    return _end(report.outcome, report.result, run, "adapter", use)


class TrainProgress:
    """Implements ``TrainReporter`` on stderr: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._spoken = 0.0
        self._begun: tuple[float, float] | None = None  # time and share of the first step seen

    def __enter__(self) -> TrainProgress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def preflight(self, preflight: Preflight) -> None:
        _echo(f"{preflight}")

    def step(self, progress: Progress, share: float, loss: float, tokens_per_second: float) -> None:
        left = self._seconds_left(share)
        text = f"step {progress.step:,}  loss {loss:.3f}  {tokens_per_second:,.0f} tokens/s"
        if sys.stderr.isatty():
            bar = self._started_bar()
            bar.update(self._task, completed=min(1.0, share), description=text, left=left)
        elif time.monotonic() - self._spoken > _LINE_SECONDS:
            self._spoken = time.monotonic()
            _echo(f"{text}  {share:.0%}  {left}")

    def evaluation(self, progress: Progress, evaluation: Evaluation) -> None:
        best = "  (best so far)" if progress.best_step == progress.step else ""
        self._say(f"step {progress.step:,}  {_figures(evaluation)}{best}")
        if sample := " ".join(evaluation.sample.split())[:300]:
            # An untrained model writes any bytes, also those that steer a terminal.
            self._say("  " + "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in sample))

    def notice(self, text: str) -> None:
        self._say(text)

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            _echo(text)

    def _seconds_left(self, share: float) -> str:
        now = time.monotonic()
        if self._begun is None or share <= self._begun[1]:
            self._begun = (now, share)
            return ""
        seconds = (now - self._begun[0]) * (1 - share) / (share - self._begun[1])
        hours, minutes = divmod(int(max(0.0, seconds)) // 60, 60)
        return f"{hours}:{minutes:02d}:{int(max(0.0, seconds)) % 60:02d} left"

    def _started_bar(self) -> Any:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

            columns = (
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.description}  {task.fields[left]}"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("", total=1.0, left="")
            self._bar.start()
        return self._bar


def _where(flags: Mapping[str, Any]) -> RunTarget:
    from nlpsuite.training.launch import RunTarget

    return RunTarget(flags["output"], flags["resume"], flags["overwrite"], flags["dry_run"])


def _end(outcome: Outcome | None, result: Path | None, run: Path, kind: str, use: str) -> int:
    """Say how it ended, and what can be done next; ``use`` is how to use the result."""
    if outcome is None:  # a dry run
        return 0
    if result is None:
        _echo(f"Saved at step {outcome.progress.step:,}. Go on: nlpsuite train {kind} --resume -o {run}")
        return _CODES[outcome.reason]
    if outcome.reason == "patience":
        _echo(
            f"Stopped at step {outcome.progress.step:,}: the held-out data were predicted best at step "
            f"{outcome.progress.best_step:,}, whose weights are kept."
        )
    if _main_process():
        click.echo(result)
        _echo(f"Use it: {use}")
    return 0


def _show_perplexities(perplexities: Mapping[str, Perplexity]) -> None:
    width = max(len(name) for name in perplexities)
    _echo("Perplexity of the held-out text:")
    for name, perplexity in perplexities.items():
        _echo(f"  {name:<{width}}  {perplexity}")


def _figures(evaluation: Evaluation) -> str:
    """An evaluation on one line."""
    shown = [f"held-out loss {evaluation.loss:.3f}"]
    metrics = dict(evaluation.metrics)
    perplexities = [
        f"{metrics.pop(f'perplexity_{unit}'):,.4g} per {unit}"
        for unit in ("token", "word", "byte")
        if f"perplexity_{unit}" in metrics
    ]
    if perplexities:
        metrics.pop("bits_per_byte", None)  # the same as the last one
        shown.append(f"perplexity {', '.join(perplexities)}")
    for name, value in metrics.items():
        text = f"{value:,.4g}" if isinstance(value, float) else f"{value}"
        shown.append(f"{name.replace('_', ' ')} {text}")
    return "  ".join(shown)


def _parsed(task: str, pairs: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE pairs as the task's options, of the right types."""
    from nlpsuite.options import option_specs
    from nlpsuite.plugins import load_task

    specs = {spec.name.rstrip("_"): spec for spec in option_specs(load_task(task).options)}
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        spec = specs.get(name.replace("-", "_"))
        if not equals or spec is None:
            raise OptionError(
                f"--option {pair!r} is no option of {task}.", hint=f"Options: {', '.join(specs)}."
            )
        try:
            options[spec.name] = (
                {"true": True, "false": False}[value] if spec.type is bool else spec.type(value)
            )
        except (ValueError, KeyError):
            raise OptionError(f"--option {pair!r}: the value must be of type {spec.type.__name__}.") from None
    return options


def _main_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _echo(text: str) -> None:
    if _main_process():
        click.echo(text, err=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch warns at import of things that are none of the user's business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
