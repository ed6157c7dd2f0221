"""``nlpsuite compare A B [C…]``."""

from __future__ import annotations

from typing import Any

import click

from nlpsuite.cli.eval_task import report_flags

__all__ = ["command"]


def _compare(files: tuple[str, ...], **values: Any) -> int:
    from nlpsuite.cli.compare import compare_files

    return compare_files(files, **values)


command = click.Command(
    "compare",
    callback=_compare,
    params=[
        click.Argument(["files"], nargs=-1, metavar="BASELINE OTHER [OTHER]..."),
        click.Option(["--task"], metavar="TASK", default="", help="Where no job beside the files says it."),
        click.Option(["--reference-column", "--label-column", "reference_column"], metavar="COLUMN", default="",
                     help="With the right answers.  [default: as the job says, or the task's usual one]"),
        click.Option(["--prediction-column"], metavar="COLUMN", default="", help="[default: output, prediction …]"),
        click.Option(["--text-column", "text_columns"], metavar="COLUMN", multiple=True,
                     help="Shown beside the rows that changed most."),
        click.Option(["--trials"], type=click.IntRange(1, 10_000_000), default=10_000, show_default=True,
                     help="Of the paired test."),
        *report_flags(by=False),
    ],
    help="""Compare files of predictions on the same rows: differences with intervals, p-values, the rows that
    changed most.

    The files are those of `nlpsuite score` or of `nlpsuite eval -o`, or of anyone. The first is the baseline;
    where there are several others, their p-values are corrected. Files whose rows are not the same are refused.

    \b
    nlpsuite compare int8.jsonl int4.jsonl
    nlpsuite compare small.csv large.csv adapted.csv --task sentiment --html report.html
    """,
)  # fmt: skip
