"""``nlpsuite eval TASK``, and how reports are printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nlpsuite.cli.output import print_json
from nlpsuite.cli.score_command import text_flags, worker_flags
from nlpsuite.cli.task_commands import (
    device_flag,
    grouped,
    max_parts_flag,
    model_flags,
    prompt_flags,
    task_command,
)

if TYPE_CHECKING:
    from nlpsuite.evaluation.report import Report

__all__ = [
    "FAILED_ROWS",
    "check_targets",
    "form_flags",
    "names_of",
    "print_report",
    "report_flags",
    "task_evaluation",
]

FAILED_ROWS = 3
_HELP = """DATA is what `nlpsuite score` takes: a .csv, .tsv, .jsonl, .parquet or .txt file (also .gz and .zst), two
parallel text files (a.en,a.de), or - for standard input. Each figure has its number of rows and a 95 % interval. Rows
that fail count as wrong, and the exit code is then 3. If interrupted, rerun the same command to resume."""


def task_evaluation(name: str) -> click.Command:
    """The command that evaluates the task of that name."""
    argument = click.Argument(["files"], metavar="[DATA]", required=False)
    flags = [
        *text_flags(), *grouped("Answers", _answer_flags()), *grouped("Report", report_flags()),
        *grouped("Job", _model_flags()), *model_flags(), *prompt_flags(),
    ]  # fmt: skip
    return task_command(name, _evaluate, flags, argument, _HELP)


def _evaluate(
    task: Any,
    data: str | None,
    options: dict[str, Any],
    *,
    metrics: str,
    quiet: bool,
    as_json: bool,
    html: str,
    markdown: str,
    **values: Any,
) -> int:
    from nlpsuite.cli.score import with_progress
    from nlpsuite.data.columns import parse_option_columns
    from nlpsuite.evaluation.run import evaluate

    values["option_columns"] = parse_option_columns(values["option_columns"])
    check_targets(html, markdown)
    report = with_progress(
        lambda reporter: evaluate(
            task.name, data, options=options, metrics=names_of(metrics), reporter=reporter, **values
        ),
        quiet=quiet,
        resume="rerun the same command.",
    )
    print_report(report, as_json=as_json, html=html, markdown=markdown)
    return FAILED_ROWS if report.n_errors else 0


def check_targets(*paths: str) -> None:
    """Raise StorageError if a report can't be written."""
    from nlpsuite.files import check_output

    for path in filter(None, paths):
        check_output(Path(path))


def names_of(metrics: str) -> list[str]:
    """Names separated by commas."""
    return [name.strip() for name in metrics.split(",") if name.strip()]


def print_report(report: Report, *, as_json: bool, html: str, markdown: str) -> None:
    """Print a report, and write the requested files."""
    from nlpsuite.files import atomic_write_text

    if html:
        atomic_write_text(Path(html), report.to_html())
    if markdown:
        atomic_write_text(Path(markdown), report.to_markdown())
    if as_json:
        print_json(report.to_dict())
    else:
        click.echo(report)


def _answer_flags() -> list[click.Parameter]:
    return [
        click.Option(["--reference-column", "--label-column", "reference_column"], metavar="COLUMN", default="",
                     help="Column of the right answers.  [default: the task's usual one]"),
        click.Option(["--label-map"], metavar="VALUE=LABEL,…", default="",
                     help="Say what labels in the data mean, such as 5=positive,1=negative."),
        click.Option(["--predictions"], metavar="FILE", default="",
                     help="Evaluate answers from a file, one per row, without a model."),
        click.Option(["--prediction-column"], metavar="COLUMN", default="",
                     help="Column of that file.  [default: output, prediction …]"),
        click.Option(["--baseline"], metavar="NAME", default="",
                     help="Evaluate a trivial system: lead-1, lead-3, copy, majority or random."),
        click.Option(["--train"], metavar="FILE", default="",
                     help="Count the labels for majority in this file.  [default: DATA]"),
        click.Option(["--output", "-o", "output"], metavar="FILE", default="",
                     help="Write the predictions: .jsonl, .csv, .tsv or .parquet."),
        click.Option(["--overwrite"], is_flag=True, help="Start over, whatever exists."),
        click.Option(["--execute"], is_flag=True,
                     help="Run the generated programs, for pass@k. They are not sandboxed."),
    ]  # fmt: skip


def report_flags(*, by: bool = True) -> list[click.Parameter]:
    """Flags that say what to measure, and how to report it."""
    slices: list[click.Parameter] = [
        click.Option(["--by"], metavar="COLUMN", multiple=True, help="Add a table by the values of a column; repeatable."),
        click.Option(["--worst"], type=click.IntRange(0), default=10, show_default=True,
                     help="Show this many of the worst rows; 0 for a report without texts of the data."),
    ]  # fmt: skip
    return [
        *(slices if by else []),
        click.Option(["--metrics"], metavar="A,B", default="", help="Use these metrics instead of the task's own."),
        click.Option(["--tokenize"], metavar="NAME", default="",
                     help="BLEU's tokenizer, such as 13a, zh, ja-mecab, char or flores200.  [default: by language]"),
        click.Option(["--resamples"], type=click.IntRange(1, 1_000_000), default=1_000, show_default=True,
                     help="Number of resamples for the intervals."),
        click.Option(["--resample-seed", "seed"], type=click.IntRange(0), default=0, show_default=True,
                     help="Seed of intervals, tests and the baseline random."),
        *form_flags(),
    ]  # fmt: skip


def form_flags() -> list[click.Parameter]:
    """Flags for the form of a report."""
    return [
        click.Option(["--json", "as_json"], is_flag=True, help="Print the report as JSON."),
        click.Option(["--html"], metavar="FILE", default="", help="Write the report as one page with plots."),
        click.Option(["--markdown"], metavar="FILE", default="", help="Write the report as Markdown."),
    ]  # fmt: skip


def _model_flags() -> list[click.Parameter]:
    return [
        device_flag(),
        *worker_flags(),
        max_parts_flag(),
        click.Option(["--quiet", "-q"], is_flag=True, help="Show no progress."),
    ]  # fmt: skip
