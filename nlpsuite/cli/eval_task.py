"""``nlpsuite eval TASK``."""

from __future__ import annotations

from typing import Any

import click

from nlpsuite.cli.task_commands import model_flags, prompt_flags, task_command

__all__ = ["report_flags", "task_evaluation"]

_HELP = """DATA is what `nlpsuite score` takes: a .csv, .tsv, .jsonl, .parquet or .txt file, also packed, two files
of lines that belong together (a.en,a.de), or - for standard input. Each figure comes with its number of rows and a
95 % interval. Rows that fail count as wrong, and the exit code is then 3. With -o the same command goes on with
what was interrupted, as it does without, unless the data changed."""


def task_evaluation(name: str) -> click.Command:
    """The command that evaluates the task of that name."""
    argument = click.Argument(["files"], metavar="[DATA]", required=False)
    flags = [
        *_data_flags(),
        *_answer_flags(),
        *report_flags(),
        *_model_flags(),
        *model_flags(),
        *prompt_flags(),
    ]
    made = task_command(name, _run, flags, argument)
    made.help = f"{made.help}\n\n{_HELP}"
    return made


def _run(*args: Any, **values: Any) -> int:
    from nlpsuite.cli.evaluation import evaluate_task

    return evaluate_task(*args, **values)


def _data_flags() -> list[click.Parameter]:
    return [
        click.Option(["--dataset"], metavar="NAME", default="", help="A standard data set, such as sst2:dev."),
        click.Option(["--format"], metavar="KIND", default="", help="Of the data, where its name doesn't say."),
        click.Option(["--encoding"], metavar="NAME", default="utf-8", show_default=True,
                     help="Encoding of text files; a byte order mark takes precedence."),
        click.Option(["--delimiter"], metavar="CHAR", default="",
                     help="Delimiter of a CSV or TSV file, such as ';' or tab.  [default: detected]"),
        click.Option(["--escape"], metavar="CHAR", default="",
                     help="Character that escapes quotes in a CSV file, such as \\.  [default: quotes are doubled]"),
        click.Option(["--text-column", "text_columns"], metavar="COLUMN", multiple=True,
                     help="With the text; several are put together.  [default: the task's usual one]"),
        click.Option(["--reference-column", "--label-column", "reference_column"], metavar="COLUMN", default="",
                     help="With the right answers.  [default: the task's usual one]"),
        click.Option(["--label-map"], metavar="VALUE=LABEL,…", default="",
                     help="What labels in the data mean, such as 5=positive,1=negative."),
        click.Option(["--option-column", "option_columns"], metavar="OPTION=COLUMN", multiple=True,
                     help="A task option that each row sets, such as to=lang; repeatable."),
        click.Option(["--limit"], type=click.IntRange(1), metavar="N", help="Only the first N rows."),
    ]  # fmt: skip


def _answer_flags() -> list[click.Parameter]:
    return [
        click.Option(["--predictions"], metavar="FILE", default="",
                     help="Answers made earlier, a row each: no model is loaded."),
        click.Option(["--prediction-column"], metavar="COLUMN", default="",
                     help="Of that file.  [default: output, prediction …]"),
        click.Option(["--baseline"], metavar="NAME", default="",
                     help="Answers of no model: lead-1, lead-3, copy, majority, random."),
        click.Option(["--train"], metavar="FILE", default="", help="What majority counts labels in.  [default: DATA]"),
        click.Option(["--output", "-o", "output"], metavar="FILE", default="",
                     help="Write the predictions: .jsonl, .csv, .tsv, .parquet."),
        click.Option(["--overwrite"], is_flag=True, help="Begin anew, whatever is there."),
        click.Option(["--execute"], is_flag=True,
                     help="Run the programs that were written, for pass@k. This is no sandbox."),
    ]  # fmt: skip


def report_flags(*, by: bool = True) -> list[click.Parameter]:
    """Flags that say what is measured and how it is reported."""
    slices: list[click.Parameter] = [
        click.Option(["--by"], metavar="COLUMN", multiple=True, help="A table by the values of a column; repeatable."),
        click.Option(["--worst"], type=click.IntRange(0), default=10, show_default=True,
                     help="Rows to show; 0 for a report without texts of the data."),
    ]  # fmt: skip
    return [
        *(slices if by else []),
        click.Option(["--metrics"], metavar="A,B", default="", help="Instead of the task's own."),
        click.Option(["--resamples"], type=click.IntRange(1, 1_000_000), default=1_000, show_default=True,
                     help="Of the intervals."),
        click.Option(["--resample-seed"], type=click.IntRange(0), default=0, show_default=True,
                     help="Of the intervals, tests and the baseline random."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the report as JSON."),
        click.Option(["--html"], metavar="FILE", default="", help="Write it as one page with plots."),
        click.Option(["--markdown"], metavar="FILE", default="", help="Write it as Markdown."),
    ]  # fmt: skip


def _model_flags() -> list[click.Parameter]:
    return [
        click.Option(["--device"], type=click.Choice(["auto", "cuda", "cpu"]),
                     help="Where the model runs.  [default: auto]"),
        click.Option(["--workers"], type=click.IntRange(0, 4096), default=0,
                     help="Processes.  [default: by cores and model]"),
        click.Option(["--threads"], type=click.IntRange(0, 256), help="CPU threads of each."),
        click.Option(["--max-parts"], type=click.IntRange(1), default=64, show_default=True,
                     help="Most parts a long text is split into."),
        click.Option(["--quiet", "-q"], is_flag=True, help="No progress on stderr."),
    ]  # fmt: skip
