"""``nlpsuite compare A B [C…]``."""

from __future__ import annotations

from typing import Any

import click

from nlpsuite.cli.eval_task import FAILED_ROWS, check_targets, names_of, print_report, report_flags

__all__ = ["command"]


def _compare(
    files: tuple[str, ...], *, metrics: str, as_json: bool, html: str, markdown: str, **values: Any
) -> int:
    from nlpsuite.evaluation.compare import compare

    check_targets(html, markdown)
    report = compare(*files, metrics=names_of(metrics), **values)
    print_report(report, as_json=as_json, html=html, markdown=markdown)
    return FAILED_ROWS if any(report.n_errors) else 0


command = click.Command(
    "compare",
    callback=_compare,
    params=[
        click.Argument(["files"], nargs=-1, metavar="BASELINE OTHER [OTHER]..."),
        click.Option(["--task"], metavar="TASK", default="", help="The task, if no job beside the files says so."),
        click.Option(["--reference-column", "--label-column", "reference_column"], metavar="COLUMN", default="",
                     help="Column of the right answers.  [default: as in the job, or the task's usual one]"),
        click.Option(["--prediction-column"], metavar="COLUMN", default="",
                     help="Column of the predictions.  [default: output, prediction …]"),
        click.Option(["--text-column", "text_columns"], metavar="COLUMN", multiple=True,
                     help="Text column, shown with the rows that changed most; repeatable."),
        click.Option(["--trials"], type=click.IntRange(1, 10_000_000), default=10_000, show_default=True,
                     help="Number of trials of the paired test."),
        *report_flags(by=False),
    ],
    help="""Compare files of predictions on the same rows: differences with intervals, p-values, and the rows that
    changed most.

    The files come from `nlpsuite score`, from `nlpsuite eval -o`, or from anywhere else. The first is the
    baseline; p-values are corrected for the number of others. Files whose rows differ are refused.

    \b
    nlpsuite compare int8.jsonl int4.jsonl
    nlpsuite compare small.csv large.csv adapted.csv --task sentiment --html report.html
    """,
)  # fmt: skip
