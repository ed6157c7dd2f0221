"""``nlpsuite score TASK``."""

from __future__ import annotations

from typing import Any

import click

from nlpsuite.cli.task_commands import (
    TaskGroup,
    device_flag,
    grouped,
    max_parts_flag,
    model_flags,
    prompt_flags,
    task_command,
)

__all__ = ["command", "engine_flags", "text_flags", "worker_flags"]

_HELP = """INPUT is a .csv, .tsv, .jsonl, .parquet or .txt file (also .gz and .zst), a folder of texts, two parallel
text files (a.en,a.de), or - for standard input. The result has the input's columns and those that the task adds.
If interrupted, rerun the same command to resume."""

_FITTED = "by cores, memory and model"


def _task(name: str) -> click.Command:
    id_flag = grouped(
        "Input", [click.Option(["--id-column"], metavar="COLUMN", default="", help="Column of unique ids.")]
    )
    flags = [
        *text_flags(), *id_flag, *_output_flags(), *_run_flags(), *engine_flags(), *model_flags(), *prompt_flags(),
    ]  # fmt: skip
    argument = click.Argument(["files"], metavar="[INPUT]", required=False)
    return task_command(name, _score, flags, argument, _HELP)


def _score(
    task: Any, data: str | None, options: dict[str, Any], *, as_json: bool, quiet: bool, **values: Any
) -> int:
    from nlpsuite.batch.score import score
    from nlpsuite.cli.score import print_report, with_progress
    from nlpsuite.data.columns import parse_option_columns

    values["option_columns"] = parse_option_columns(values["option_columns"])
    again = "run the same command without --overwrite." if values["overwrite"] else "rerun the same command."
    report = with_progress(
        lambda reporter: score(task.name, data, options=options, reporter=reporter, **values),
        quiet=quiet,
        resume=again,
    )
    return print_report(report, as_json)


def text_flags() -> list[click.Parameter]:
    """Flags that say what to read."""
    return grouped("Input", [
        click.Option(["--dataset"], metavar="NAME", default="", help="Use a standard data set, such as sst2:dev."),
        click.Option(["--format"], metavar="TYPE", default="",
                     help="File type, if the name doesn't say: csv, jsonl, txt or openai-batch."),
        click.Option(["--encoding"], metavar="NAME", default="utf-8", show_default=True,
                     help="Encoding of text files; a byte order mark takes precedence."),
        click.Option(["--delimiter"], metavar="CHAR", default="",
                     help="Delimiter of a CSV or TSV file, such as ';' or tab.  [default: detected]"),
        click.Option(["--escape"], metavar="CHAR", default="",
                     help="Character that escapes quotes in a CSV file, such as \\.  [default: quotes are doubled]"),
        click.Option(["--text-column", "text_columns"], metavar="COLUMN", multiple=True,
                     help="Text column; repeat to concatenate several.  [default: the task's usual one]"),
        click.Option(["--option-column", "option_columns"], metavar="OPTION=COLUMN", multiple=True,
                     help="Set a task option from a column, such as to=lang; repeatable."),
        click.Option(["--limit"], type=click.IntRange(1), metavar="N", help="Read only the first N rows."),
    ])  # fmt: skip


def _output_flags() -> list[click.Parameter]:
    return grouped("Output", [
        click.Option(["--output", "-o", "output"], metavar="FILE", required=True,
                     help="Write the result: .jsonl, .csv, .tsv or .parquet. Progress is saved beside it in a .job folder."),
        click.Option(["--prefix"], metavar="TEXT", default="", help="Put this before the names of added columns."),
        click.Option(["--overwrite"], is_flag=True, help="Start over, whatever exists."),
        click.Option(["--max-errors"], metavar="N|P%", default="", help="Stop when more rows fail."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the summary as JSON on stdout."),
        click.Option(["--quiet", "-q"], is_flag=True, help="Show no progress."),
    ])  # fmt: skip


def _run_flags() -> list[click.Parameter]:
    return grouped("Job", [
        device_flag(),
        click.Option(["--guard"], type=click.Choice(["warn", "block"]), help="Screen the outputs."),
        max_parts_flag(),
        click.Option(["--chunk-rows"], type=click.IntRange(0), metavar="N", default=0,
                     help="Rows to commit at a time.  [default: 256 for labels, 32 for texts]"),
    ])  # fmt: skip


def engine_flags(*, resumed: bool = False) -> list[click.Parameter]:
    """Flags that say what runs a job; none of them changes its result.

    Args:
        resumed: the defaults are those that the job was started with.
    """
    engine = "as before" if resumed else "local"
    return grouped("Job", [
        click.Option(["--engine"], metavar="NAME", default="local",
                     help=f"What runs the chunks: local or ray.  [default: {engine}]"),
        *worker_flags("as before" if resumed else _FITTED),
        click.Option(["--ray-address", "address"], metavar="ADDRESS", default="",
                     help="Address of a Ray cluster, such as auto."),
    ])  # fmt: skip


def worker_flags(default: str = _FITTED) -> list[click.Option]:
    """Flags that say how many processes, and threads in each, run a job."""
    return [
        click.Option(["--workers"], type=click.IntRange(0, 4096), metavar="N", default=0,
                     help=f"Number of processes.  [default: {default}]"),
        click.Option(["--threads"], type=click.IntRange(0, 256), metavar="N", help="CPU threads per process."),
    ]  # fmt: skip


@click.command(cls=TaskGroup, make=_task, subcommand_metavar="TASK [INPUT] -o OUTPUT [OPTIONS]")
def command() -> None:
    """Run a task on every row of a data set.

    \b
    nlpsuite score sentiment reviews.csv -o scored.csv
    nlpsuite score summarize articles/ -o summaries.jsonl
    nlpsuite score translate rows.jsonl --option-column to=lang -o translated.parquet
    zcat texts.txt.gz | nlpsuite score sentiment - --format txt -o out.jsonl
    """
