"""How good predictions are: figures with intervals, by slice and by class, and the rows that are worst."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.evaluation.labels import LabelReport, label_report
from nlpsuite.evaluation.measure import (
    FUNCTION_RESAMPLES,
    LengthRatio,
    MetricResult,
    figure_of,
    figure_of_function,
    figures_of_task,
    metric_of,
    rows_for,
    statistics_of,
)
from nlpsuite.evaluation.metrics.base import RowMetric
from nlpsuite.evaluation.metrics.resampling import RESAMPLES
from nlpsuite.evaluation.rows import EvaluatedRow, text_of
from nlpsuite.tasks.base import Task

if TYPE_CHECKING:
    from nlpsuite.options import Options

__all__ = [
    "WORST",
    "EvaluatedRow",
    "Evaluation",
    "Example",
    "MetricResult",
    "Point",
    "Slice",
    "evaluate",
    "metric_names",
]

WORST = 10
_MOST_POINTS = 2_000
_MOST_SLICES = 50  # of one column: more is most likely a column of ids or texts
_TESTS = {"test", "entry_point"}  # columns of rows that are problems with tests, as HumanEval has them
# A task whose metrics have the first is measured by all that are behind: what they say differs.
_ROUGE = ("rouge_1", "rouge_2", "rouge_l", "rouge_lsum")
_FAMILIES = {**dict.fromkeys(_ROUGE, _ROUGE), "bleu": ("bleu", "chrf", "ter")}


@dataclass(frozen=True)
class Slice:
    """The rows that have the same value in a column.

    Attributes:
        n, n_errors: rows, and those among them that failed.
        figures: none of a metric that no row of the slice can be measured with.
    """

    column: str
    value: str
    n: int
    n_errors: int
    figures: tuple[MetricResult, ...]


@dataclass(frozen=True)
class Example:
    """A row to look at.

    Attributes:
        figure: of this row alone, by ``Evaluation.row_metric``.
        prediction: empty for a row that failed.
    """

    index: int
    id: Any
    figure: float
    text: str
    references: tuple[str, ...]
    prediction: str
    error: str


@dataclass(frozen=True)
class Point:
    """How long an input is, in words, and how good the output."""

    index: int
    words: int
    figure: float


@dataclass(frozen=True)
class Evaluation:
    """What ``evaluate`` found.

    Attributes:
        task: its name.
        n, n_errors: rows, and those among them that failed; they count as empty answers.
        figures: of all rows, the main metric first.
        slices: by column, in the order asked for; those with most rows first.
        labels: for a task with labels.
        row_metric: what a single row is judged by: the probability of the right label, or a metric.
        row_metric_rises: more of it is better.
        worst: rows that are worst by it, the worst first.
        points: length against score, of all rows or a sample of them.
        notes: what one should know to read the figures.
        resamples, seed: of the intervals.
    """

    task: str
    n: int
    n_errors: int
    figures: tuple[MetricResult, ...]
    slices: tuple[Slice, ...] = ()
    labels: LabelReport | None = None
    row_metric: str = ""
    row_metric_rises: bool = True
    worst: tuple[Example, ...] = ()
    points: tuple[Point, ...] = ()
    notes: tuple[str, ...] = ()
    resamples: int = RESAMPLES
    seed: int = 0


def evaluate(
    task: Task[Any],
    rows: Sequence[EvaluatedRow],
    *,
    by: Sequence[str] = (),
    metrics: Sequence[str] = (),
    options: Options | None = None,
    text_columns: Sequence[str] = (),
    worst: int = WORST,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Measure predictions against references.

    Args:
        by: columns whose values divide the rows into slices.
        metrics: names, in place of those of the task.
        options: of the task; only one that evaluates its outputs itself looks at them.
        text_columns: with the input, which is shown beside the worst rows.
        worst: how many of these are kept; none for a report that must not hold texts of the data.
        resamples, seed: of the intervals.

    Raises:
        InputInvalidError: no rows, an unknown column, or a prediction lacks what a metric needs.
        OptionError: resamples are below 1.
        UnknownTaskError, PluginError: no plugin offers such a metric, or it fails.
    """
    if not rows:
        raise InputInvalidError("There is nothing to evaluate.", hint="Give at least one row.")
    if resamples < 1:
        raise OptionError(f"resamples is {resamples}, must be 1 or more.")
    chosen = _Chosen(task, rows, metrics, options, resamples, seed)
    figures = chosen.figures(rows)
    failed = sum(row.prediction is None for row in rows)
    row_metric, rises, scores = _row_figures(task, chosen, rows)
    order = sorted(range(len(rows)), key=lambda i: (scores[i] if rises else -scores[i], i)) if scores else []
    return Evaluation(
        task=task.name,
        n=len(rows),
        n_errors=failed,
        figures=tuple(figures),
        slices=tuple(found for column in by for found in _slices(column, rows, chosen)),
        labels=_label_report(task, rows),
        row_metric=row_metric,
        row_metric_rises=rises,
        worst=tuple(_example(rows[i], scores[i], text_columns) for i in order[:worst]),
        points=_points(rows, scores, text_columns, seed),
        notes=tuple(_notes(task, rows, failed, chosen, figures)),
        resamples=resamples,
        seed=seed,
    )


def metric_names(task: Task[Any], rows: Sequence[EvaluatedRow] = ()) -> list[str]:
    """What is measured unless the user says otherwise; the first is the main one.

    Args:
        rows: whose predictions decide about metrics that need more than a text.
    """
    names = list(task.metrics)
    if task.labels:
        names += ["accuracy", "macro_f1"]
        if any(row.answered.probabilities for row in rows):
            names.append("ece")
        return list(dict.fromkeys(names))
    if not names:
        names = ["exact_match", "edit_similarity", "chrf"]
    names = [member for name in names for member in _FAMILIES.get(name, (name,))]
    if any("passed" in row.answered.data for row in rows):
        names.insert(0, "pass_at_k")
    return [*dict.fromkeys(names), LengthRatio.name]


class _Chosen:
    """The metrics of one evaluation."""

    def __init__(
        self,
        task: Task[Any],
        rows: Sequence[EvaluatedRow],
        metrics: Sequence[str],
        options: Options | None,
        resamples: int,
        seed: int,
    ) -> None:
        self._task, self._resamples, self._seed = task, resamples, seed
        self._options = options if options is not None else task.options()
        self.own = not metrics and type(task).evaluate is not Task.evaluate
        names = [] if self.own else list(dict.fromkeys(metrics)) or metric_names(task, rows)
        self.metrics: Mapping[str, Any] = {name: metric_of(name, task) for name in names}

    def figures(self, rows: Sequence[EvaluatedRow]) -> list[MetricResult]:
        if self.own:
            return figures_of_task(self._task, self._options, rows, self._resamples, self._seed)
        found = []
        for name, metric in self.metrics.items():
            if not isinstance(metric, RowMetric):
                found.append(figure_of_function(name, rows, self._resamples, self._seed))
            elif measured := rows_for(metric, rows):
                found.append(figure_of(metric, measured, self._resamples, self._seed))
        return found


def _slices(column: str, rows: Sequence[EvaluatedRow], chosen: _Chosen) -> list[Slice]:
    by_value: dict[str, list[EvaluatedRow]] = {}
    for row in rows:
        if column not in row.values:
            there = ", ".join(map(repr, row.values)) or "none"
            raise InputInvalidError(f"There is no column {column!r}.", hint=f"Columns: {there}.")
        value = row.values[column]
        by_value.setdefault("(empty)" if value in (None, "") else str(value), []).append(row)
    if len(by_value) > _MOST_SLICES:
        raise InputInvalidError(
            f"{column!r} has {len(by_value):,} different values, too many for a table.",
            hint=f"--by takes a column of at most {_MOST_SLICES} values.",
        )
    return [
        Slice(
            column, value, len(some), sum(row.prediction is None for row in some), tuple(chosen.figures(some))
        )
        for value, some in sorted(by_value.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def _label_report(task: Task[Any], rows: Sequence[EvaluatedRow]) -> LabelReport | None:
    if not task.labels:
        return None
    labels = list(dict.fromkeys(task.labels.values()))
    return label_report([row.answered for row in rows], [row.references[0] for row in rows], labels)


def _row_figures(
    task: Task[Any], chosen: _Chosen, rows: Sequence[EvaluatedRow]
) -> tuple[str, bool, list[float]]:
    """What a row is judged by, whether more of it is better, and the figure of each row.

    Of several metrics it is the one that tells most rows apart: nearly all sentences have a BLEU of 0.
    """
    if task.labels and any(row.answered.probabilities for row in rows):
        return "probability of the right label", True, [_probability(row) for row in rows]
    best: tuple[str, bool, list[float]] = ("", True, [])
    most = 0
    for name, metric in chosen.metrics.items():
        measured = rows_for(metric, rows)
        usable = isinstance(metric, RowMetric) and not isinstance(metric, LengthRatio)
        if not usable or len(measured) < len(rows) or metric.needs != "texts":
            continue
        figures = np.asarray(metric.figure(statistics_of(metric, measured)), dtype=np.float64)
        different = len(np.unique(figures))
        if different > most:
            most, best = different, (name, metric.higher_is_better, figures.tolist())
    return best


def _probability(row: EvaluatedRow) -> float:
    probabilities = row.answered.probabilities
    if not probabilities:
        return float(row.answered.text in row.references)
    return float(sum(probabilities.get(label, 0.0) for label in row.references))


def _example(row: EvaluatedRow, figure: float, text_columns: Sequence[str]) -> Example:
    text = text_of(row, text_columns)
    return Example(row.index, row.id, figure, text, row.references, row.answered.text, row.error)


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
    failed: int,
    chosen: _Chosen,
    figures: Sequence[MetricResult],
) -> list[str]:
    notes = []
    if failed:
        one = failed == 1
        notes.append(
            f"{failed:,} of {len(rows):,} rows failed. {'It counts' if one else 'They count'} as "
            f"{'an empty answer' if one else 'empty answers'}, which {'is' if one else 'are'} wrong."
        )
    known = set(task.labels.values())
    strange = sum(row.prediction is not None and row.prediction.text not in known for row in rows)
    if task.labels and strange:
        notes.append(f"{strange:,} predictions are no label of {task.name}; they count as wrong.")
    for figure in figures:
        if figure.n < len(rows):
            notes.append(f"{figure.metric} is of the {figure.n:,} rows that have probabilities.")
    # A resample of equal rows is equal to them, which makes no figure certain (Hanley and Lippman-Hand 1983).
    if same := [f for f in figures if f.scale == 1 and f.low == f.high and f.value in (0, 1)]:
        notes.append(
            f"{', '.join(f.metric for f in same)}: all {same[0].n:,} rows agree, so the interval has no width. "
            f"By the rule of three the true figure may still be {min(1, 3 / same[0].n):.3f} off."
        )
    if chosen.own or not all(isinstance(metric, RowMetric) for metric in chosen.metrics.values()):
        notes.append(
            f"What is no metric of row statistics has an interval of at most {FUNCTION_RESAMPLES} resamples, "
            "and only the first reference counts there."
        )
    several = sum(len(row.references) > 1 for row in rows)
    if several and task.labels:
        notes.append(f"{several:,} rows have several right labels; tables by label look at the first.")
    if rows[0].values.keys() >= _TESTS and not any("passed" in row.answered.data for row in rows):
        notes.append("pass@k is left out: it needs the programs to be run, which --execute allows.")
    if len(rows) < 30:
        notes.append(f"{len(rows)} rows are few: an interval from so few rows is too narrow.")
    return notes
