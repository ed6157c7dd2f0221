"""Checks of metrics: range, direction, and what they refuse."""

from __future__ import annotations

import math

from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.metrics.base import RowMetric
from nlpsuite.tasks.result import Output
from nlpsuite.testing.findings import CheckFailed, expect
from nlpsuite.testing.subject import Subject

__all__ = ["CHECKS"]


def says_what_it_is(subject: Subject) -> None:
    """It has a docstring."""
    expect((subject.offered.__doc__ or "").strip(), "give it a docstring that names its range and source")


def prefers_what_is_right(subject: Subject) -> None:
    """Right outputs have a better result than wrong ones. Tried if it is called with texts."""
    metric = subject.offered
    if getattr(metric, "needs", "texts") != "texts":
        return
    references = ["the crab finds a way", "two dogs sleep"]
    right, wrong = metric(references, references), metric(["zzz", "qqq"], references)
    for value in (right, wrong):
        number = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
        expect(number, f"it returned {value!r} instead of a number")
    better = right > wrong if getattr(metric, "higher_is_better", True) else right < wrong
    expect(better, f"it returned {right} for right outputs and {wrong} for wrong ones")


def checks_its_rows(subject: Subject) -> None:
    """It refuses no rows, and not as many references as outputs."""
    for outputs, references in (([], []), (["a"], ["a", "b"])):
        try:
            subject.offered(outputs, references)
        except InputInvalidError:
            continue
        message = f"it took {len(outputs)} outputs and {len(references)} references"
        raise CheckFailed(f"{message}; call nlpsuite.plugins.check_lengths first")


def is_a_function_of_sums(subject: Subject) -> None:
    """A RowMetric's statistics are numbers, one row each, and their sum determines the result."""
    metric = subject.offered
    if not isinstance(metric, RowMetric):
        return
    expect(metric.name == subject.plugin.name, f"it calls itself {metric.name!r}")
    expect("version:" in metric.signature(), f"its signature {metric.signature()!r} has no version")
    if metric.needs != "texts":
        return
    texts, references = ["the crab finds a way", "zzz", ""], ["the crab finds a way", "two dogs sleep", "x"]
    rows = metric.statistics([Output(text) for text in texts], [[text] for text in references])
    message = f"its statistics of {len(texts)} rows have the shape {rows.shape}, not ({len(texts)}, k)"
    expect(rows.ndim == 2 and len(rows) == len(texts), message)
    values = [float(value) for value in (*metric.figure(rows), metric.figure(rows.sum(axis=0)))]
    message = f"its figures of single rows and of all are {values}"
    expect(all(math.isfinite(value) and value >= 0 for value in values), message)
    called = float(metric(texts, references))
    expect(math.isclose(called, values[-1]), f"it returned {called}, and {values[-1]} for the sums")


CHECKS = (says_what_it_is, prefers_what_is_right, checks_its_rows, is_a_function_of_sums)
