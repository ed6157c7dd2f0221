"""``nlpsuite eval bias``."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from nlpsuite.cli.eval_task import check_targets, form_flags, print_report
from nlpsuite.cli.task_commands import model_flags, runtime_flags

__all__ = ["command"]


def _evaluate(as_json: bool, html: str, markdown: str, **values: Any) -> None:
    from nlpsuite.cli.score import JobProgress
    from nlpsuite.evaluation.bias import evaluate_bias

    check_targets(html, markdown)
    with closing(JobProgress()) as reporter:
        report = evaluate_bias(reporter=reporter, **values)
    print_report(report, as_json=as_json, html=html, markdown=markdown)


command = click.Command(
    "bias",
    callback=_evaluate,
    params=[
        *model_flags(),
        *runtime_flags(configured=False),
        *form_flags(),
    ],
    help="""Measure how much a model's answers change with the group of a person.

    The model reads a set of English sentences once for each group of four axes: gender, age, origin, religion.
    For each pair of groups this prints the mean difference in sentiment (probability of positive, by the task
    sentiment) and in the log-probability of a token, each with a 95 % interval, and the sentences that differ
    most. docs/guard.md says what this can and can't show.

    \b
    nlpsuite eval bias
    nlpsuite eval bias --model ./my-bundle --json
    """,
)  # fmt: skip
