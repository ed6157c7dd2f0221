"""Evaluating rows: figures with intervals, by slice and by class, and the worst rows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nlpsuite.data.labels import split_label_set
from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.evaluation.labels import LabelReport, label_report, label_set_report
from nlpsuite.evaluation.measure import (
    FUNCTION_RESAMPLES,
    FunctionMeasure,
    LengthRatio,
    Measure,
    MetricResult,
    RowMeasure,
    measure_of,
    metrics_of,
    task_measure,
)
from nlpsuite.evaluation.metrics.resampling import RESAMPLES
from nlpsuite.evaluation.report_evaluation import Evaluation, Point, Slice, WorstRow
from nlpsuite.evaluation.rows import EvaluatedRow, text_of
from nlpsuite.tasks.base import Task

if TYPE_CHECKING:
    from nlpsuite.options import Options

__all__ = ["WORST", "best_row_metric", "evaluate_rows"]

WORST = 10
_MOST_POINTS = 2_000
_MOST_SLICES = 50  # of one column: with more it is most likely a column of ids or texts
_NEEDED = {"source": "a text that the output was made from"}
_TESTS = {"test", "entry_point"}  # columns of problems that come with tests, as in HumanEval


def evaluate_rows(
    task: Task[Any],
    rows: Sequence[EvaluatedRow],
    *,
    by: Sequence[str] = (),
    metrics: Sequence[str] = (),
    tokenize: str = "",
    options: Options | None = None,
    text_columns: Sequence[str] = (),
    worst: int = WORST,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Measure outputs against references.

    Args:
        by: columns whose values divide the rows into slices.
        metrics: names, in place of the task's own.
        tokenize: BLEU's tokenizer; by default it suits the language of the references.
        options: of the task; used only by a task that evaluates its outputs itself.
        text_columns: columns of the input, shown with the worst rows and compared with the outputs.
        worst: how many of these to include; 0 for a report without texts of the data.
        resamples, seed: of the intervals.

    Raises:
        InputInvalidError: there are no rows, a column is unknown, or an output lacks what a metric needs.
        OptionError: resamples are below 1, or there is no such tokenizer.
        UnknownTaskError, PluginError: no plugin offers such a metric, or it fails.
    """
    if not rows:
        raise InputInvalidError("There is nothing to evaluate.", hint="Give at least one row.")
    if resamples < 1:
        raise OptionError(f"resamples is {resamples}, must be 1 or more.")
    measures: list[Measure]
    if not metrics and type(task).evaluate is not Task.evaluate:
        measures = [task_measure(task, task.options() if options is None else options, rows)]
    else:
        measures = [
            measure_of(name, metric, rows, text_columns)
            for name, metric in metrics_of(task, rows, metrics, tokenize, text_columns).items()
        ]

    def figures(places: Sequence[int]) -> tuple[MetricResult, ...]:
        return tuple(figure for one in measures for figure in one.results(places, resamples, seed))

    every = range(len(rows))
    slices = []
    for column in by:
        for value, places in _slices(column, rows):
            failed = sum(rows[i].failed for i in places)
            slices.append(Slice(column, value, len(places), failed, figures(places)))
    row_metric, rises, scores = _row_scores(task, measures, rows)
    order = sorted(every, key=lambda i: (scores[i] if rises else -scores[i], i)) if scores else []
    overall = figures(every)
    return Evaluation(
        task=task.name,
        n=len(rows),
        n_errors=sum(row.failed for row in rows),
        figures=overall,
        slices=tuple(slices),
        labels=_label_report(task, rows),
        row_metric=row_metric,
        row_metric_rises=rises,
        worst=tuple(_worst_row(rows[i], scores[i], text_columns) for i in order[:worst]),
        points=_points(rows, scores, text_columns, seed),
        notes=tuple(_notes(task, rows, measures, overall)),
        resamples=resamples,
        seed=seed,
    )


def _label_report(task: Task[Any], rows: Sequence[EvaluatedRow]) -> LabelReport | None:
    if not task.labels:
        return None
    report = label_set_report if task.multi_label else label_report
    return report([row.output for row in rows], [row.references[0] for row in rows], task.labels.values())


def best_row_metric(
    measures: Sequence[Measure], rows: int, systems: int = 1, needs: Sequence[str] = ("texts",)
) -> tuple[str, bool, list[Any]]:
    """The metric that tells the most rows apart: its name, whether higher is better, and each system's scores.

    Args:
        measures: of the rows of all systems, one system after the other.
        rows: of all systems together.
        needs: kinds of metrics to choose from; see ``RowMetric``.

    Returns:
        An empty name if no metric can judge all rows.
    """
    best: tuple[str, bool, list[Any]] = ("", True, [])
    most = 0
    for one in measures:
        if not isinstance(one, RowMeasure) or isinstance(one.metric, LengthRatio):
            continue
        if one.metric.needs in needs and len(one.places) == rows:
            scores = np.asarray(one.metric.row_figures(one.statistics), dtype=np.float64)
            if (different := len(np.unique(scores))) > most:
                most = different
                best = one.metric.name, one.metric.higher_is_better, np.split(scores, systems)
    return best


def _slices(column: str, rows: Sequence[EvaluatedRow]) -> list[tuple[str, list[int]]]:
    """The values of a column with the places of their rows, the most frequent first."""
    by_value: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        if column not in row.values:
            available = ", ".join(map(repr, row.values)) or "none"
            raise InputInvalidError(f"There is no column {column!r}.", hint=f"Columns: {available}.")
        value = row.values[column]
        by_value.setdefault("(empty)" if value in (None, "") else str(value), []).append(i)
    if len(by_value) > _MOST_SLICES:
        raise InputInvalidError(
            f"{column!r} has {len(by_value):,} different values, too many for a table.",
            hint=f"--by takes a column of at most {_MOST_SLICES} values.",
        )
    return sorted(by_value.items(), key=lambda item: (-len(item[1]), item[0]))


def _row_scores(
    task: Task[Any], measures: Sequence[Measure], rows: Sequence[EvaluatedRow]
) -> tuple[str, bool, list[float]]:
    """What single rows are judged by, whether higher is better, and each row's score."""
    if task.labels and not task.multi_label and any(row.output.probabilities for row in rows):
        return "probability of the right label", True, [_probability(row) for row in rows]
    name, rises, scores = best_row_metric(measures, len(rows))
    return name, rises, scores[0].tolist() if scores else []


def _probability(row: EvaluatedRow) -> float:
    if not row.output.probabilities:
        return float(row.output.answer in row.references)
    return float(sum(row.output.probabilities.get(label, 0.0) for label in row.references))


def _worst_row(row: EvaluatedRow, score: float, text_columns: Sequence[str]) -> WorstRow:
    text, answer = text_of(row, text_columns), row.output.answer
    return WorstRow(row.index, row.id, score, text, row.references, answer, row.result.error_text)


def _points(
    rows: Sequence[EvaluatedRow], scores: Sequence[float], text_columns: Sequence[str], seed: int
) -> tuple[Point, ...]:
    if not scores or not text_columns:
        return ()
    chosen: Sequence[int] = range(len(rows))
    if len(rows) > _MOST_POINTS:
        chosen = sorted(random.Random(seed).sample(range(len(rows)), _MOST_POINTS))
    return tuple(Point(rows[i].index, len(text_of(rows[i], text_columns).split()), scores[i]) for i in chosen)


def _notes(
    task: Task[Any],
    rows: Sequence[EvaluatedRow],
    measures: Sequence[Measure],
    figures: Sequence[MetricResult],
) -> list[str]:
    notes = []
    if failed := sum(row.failed for row in rows):
        notes.append(f"{failed:,} of {len(rows):,} rows failed; failed rows count as wrong.")
    known = set(task.labels.values())
    parts = split_label_set if task.multi_label else lambda answer: [answer]
    if task.labels and (
        strange := sum(not row.failed and not known.issuperset(parts(row.output.answer)) for row in rows)
    ):
        some = "prediction isn't a label" if strange == 1 else "predictions aren't labels"
        notes.append(f"{strange:,} {some} of {task.name} and count{'s' * (strange == 1)} as wrong.")
    for one in measures:
        if isinstance(one, RowMeasure) and len(one.places) < len(rows):
            name, needed = one.metric.name, _NEEDED.get(one.metric.needs, one.metric.needs)
            if one.places:
                notes.append(f"{name} covers the {len(one.places):,} rows that have {needed}.")
            else:
                notes.append(f"{name} is left out: no row has {needed}.")
    # All resamples of equal rows are equal, which makes no figure certain (Hanley and Lippman-Hand 1983).
    if same := [f for f in figures if f.scale == 1 and f.low == f.high and f.value in (0, 1)]:
        notes.append(
            f"{', '.join(f.metric for f in same)}: all {same[0].n:,} rows agree, so the interval has no width. "
            f"By the rule of three the true figure may still be {min(1, 3 / same[0].n):.3f} off."
        )
    notes += filter(None, (one.notice() for one in measures))
    if any(isinstance(one, FunctionMeasure) for one in measures):
        notes.append(
            f"Metrics without row statistics have intervals of at most {FUNCTION_RESAMPLES} resamples, and use "
            "only the first reference."
        )
    several = sum(len(row.references) > 1 for row in rows)
    if several and task.labels:
        notes.append(f"{several:,} rows have several right labels; tables by label use the first.")
    if rows[0].values.keys() >= _TESTS and not any("passed" in row.output.data for row in rows):
        notes.append("pass@k is left out: it needs the programs to be run, which --execute allows.")
    if len(rows) < 30:
        notes.append(f"{len(rows)} rows are few: intervals from so few rows are too narrow.")
    return notes
