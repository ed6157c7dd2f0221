"""``nlpsuite score TASK``."""

from __future__ import annotations

import click

from nlpsuite.cli.task_commands import TaskGroup, model_flags, prompt_flags, task_command

__all__ = ["command", "engine_flags"]


def _task(name: str) -> click.Command:
    from nlpsuite.cli.score import score_task

    flags = [
        *_input_flags(),
        *_output_flags(),
        *_run_flags(),
        *engine_flags(),
        *model_flags(),
        *prompt_flags(),
    ]
    argument = click.Argument(["files"], metavar="[INPUT]", required=False)
    made = task_command(name, score_task, flags, argument)
    made.help = f"{made.help}\n\n{_HELP}"
    return made


_HELP = """INPUT is a .csv, .tsv, .jsonl, .parquet or .txt file (.gz and .zst too), a folder of texts, two files of
lines that belong together (a.en,a.de), or - for standard input. The result has its columns and those that the
task adds. Whatever ends the job, the same command goes on with it."""


def _input_flags() -> list[click.Parameter]:
    return [
        click.Option(["--dataset"], metavar="NAME", default="", help="A standard data set, such as sst2:dev."),
        click.Option(["--format"], metavar="KIND", default="",
                     help="Of the input, where its name doesn't say: csv, jsonl, txt, openai-batch …"),
        click.Option(["--encoding"], metavar="NAME", default="utf-8", show_default=True,
                     help="Encoding of text files; a byte order mark takes precedence."),
        click.Option(["--delimiter"], metavar="CHAR", default="",
                     help="Delimiter of a CSV or TSV file, such as ';' or tab.  [default: detected]"),
        click.Option(["--escape"], metavar="CHAR", default="",
                     help="Character that escapes quotes in a CSV file, such as \\.  [default: quotes are doubled]"),
        click.Option(["--text-column", "text_columns"], metavar="COLUMN", multiple=True,
                     help="With the text; several are put together.  [default: the task's usual one]"),
        click.Option(["--id-column"], metavar="COLUMN", default="", help="With an id that no other row has."),
        click.Option(["--option-column", "option_columns"], metavar="OPTION=COLUMN", multiple=True,
                     help="A task option that each row sets, such as to=lang."),
        click.Option(["--limit"], type=click.IntRange(1), metavar="N", help="Only the first N rows."),
    ]  # fmt: skip


def _output_flags() -> list[click.Parameter]:
    return [
        click.Option(["--output", "-o", "output"], metavar="FILE", required=True,
                     help="Result: .jsonl, .csv, .tsv or .parquet. The job is kept in FILE's .job folder."),
        click.Option(["--prefix"], metavar="TEXT", default="", help="Of the names of the columns that are added."),
        click.Option(["--overwrite"], is_flag=True, help="Begin anew, whatever is there."),
        click.Option(["--max-errors"], metavar="N|P%", default="", help="End the job when more rows fail."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the summary as JSON on stdout."),
        click.Option(["--quiet", "-q"], is_flag=True, help="No progress on stderr."),
    ]  # fmt: skip


def _run_flags() -> list[click.Parameter]:
    return [
        click.Option(["--device"], type=click.Choice(["auto", "cuda", "cpu"]),
                     help="Where the model runs.  [default: auto]"),
        click.Option(["--guard"], type=click.Choice(["warn", "block"]), help="Screen the outputs."),
        click.Option(["--max-parts"], type=click.IntRange(1), metavar="N", default=64, show_default=True,
                     help="Most parts a long text is split into."),
        click.Option(["--chunk-rows"], type=click.IntRange(0), metavar="N", default=0,
                     help="Rows that are kept together.  [default: 256 for labels, 32 for texts]"),
    ]  # fmt: skip


def engine_flags(*, begun: bool = False) -> list[click.Parameter]:
    """Flags that say what runs a job; none of them changes its result.

    Args:
        begun: the job was begun already, with what is the default then.
    """
    engine, workers = ("as before", "as before") if begun else ("local", "by cores, memory and model")
    return [
        click.Option(["--engine"], metavar="NAME", default="local",
                     help=f"What runs the chunks: local, ray.  [default: {engine}]"),
        click.Option(["--workers"], type=click.IntRange(0, 4096), metavar="N", default=0,
                     help=f"Processes.  [default: {workers}]"),
        click.Option(["--threads"], type=click.IntRange(0, 256), metavar="N", help="CPU threads of each."),
        click.Option(["--ray-address"], metavar="ADDRESS", default="", help="Of a Ray cluster, such as auto."),
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
