"""Whether systems differ: paired tests on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nlpsuite.data.lines import shortened
from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.evaluate import metric_names
from nlpsuite.evaluation.measure import LengthRatio, metric_of, rows_for, statistics_of
from nlpsuite.evaluation.metrics.base import RowMetric
from nlpsuite.evaluation.metrics.lengths import count_references
from nlpsuite.evaluation.metrics.resampling import RESAMPLES, TRIALS, paired
from nlpsuite.evaluation.rows import EvaluatedRow, plain, same_value, text_of

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task

__all__ = ["Change", "Comparison", "Difference", "check_same_rows", "compare", "holm"]

_MOST_CHANGED = 10


@dataclass(frozen=True)
class Difference:
    """How another system differs from the baseline in one metric.

    Attributes:
        baseline, other: their figures.
        difference: the other's less the baseline's, with its 95 % interval from ``low`` to ``high``.
        p_value: of paired approximate randomisation.
        p_corrected: the same, by Holm's method, for the others that are compared in this metric.
        wins, ties, losses: rows where the other is better, as good, and worse; None for a calibration error,
            which single rows have not.
        n: rows.
    """

    metric: str
    system: str
    baseline: float
    other: float
    difference: float
    low: float
    high: float
    p_value: float
    p_corrected: float
    wins: int | None
    ties: int | None
    losses: int | None
    n: int
    scale: float | None
    higher_is_better: bool
    signature: str


@dataclass(frozen=True)
class Change:
    """A row on which another system does otherwise than the baseline.

    Attributes:
        change: of its figure, the other's less the baseline's.
    """

    system: str
    index: int
    id: Any
    change: float
    text: str
    references: tuple[str, ...]
    baseline: str
    other: str


@dataclass(frozen=True)
class Comparison:
    """What ``compare`` found.

    Attributes:
        systems: names; the first is the baseline, the others are compared with it.
        n: rows.
        n_errors: rows that failed, of each system.
        differences: metric by metric.
        row_metric: by which rows are judged; empty if no metric can.
        changes: of each system the rows that changed most, half of them for the better if so many did.
        notes: what one should know to read the figures.
        trials, resamples, seed: of the tests, of the intervals, and of both.
    """

    task: str
    systems: tuple[str, ...]
    n: int
    n_errors: tuple[int, ...]
    differences: tuple[Difference, ...]
    row_metric: str
    row_metric_rises: bool
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    trials: int
    resamples: int
    seed: int


def compare(
    task: Task[Any],
    systems: Mapping[str, Sequence[EvaluatedRow]],
    *,
    metrics: Sequence[str] = (),
    text_columns: Sequence[str] = (),
    input_columns: Sequence[str] | None = None,
    trials: int = TRIALS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare two or more systems on the same rows.

    Args:
        systems: rows with predictions by name; the first is the baseline.
        metrics: names, in place of those of the task.
        text_columns: with the input, which is shown beside the rows that changed most.
        input_columns: that must be equal row by row; None for all that all have.

    Raises:
        InputInvalidError: fewer than two systems, or their rows are not the same: names the first
            difference. Or a prediction lacks what a metric needs.
        UnknownTaskError, PluginError: no plugin offers such a metric, or it fails.
    """
    if len(systems) < 2:
        raise InputInvalidError(
            "A comparison needs two systems or more.", hint="nlpsuite compare A.jsonl B.jsonl"
        )
    names, everything = list(systems), list(systems.values())
    for name, rows in list(systems.items())[1:]:
        check_same_rows(names[0], everything[0], name, rows, input_columns)
    differences: list[Difference] = []
    left_out: list[str] = []
    judged: tuple[str, bool, Any] = ("", True, None)
    most = 0
    for metric_name in metrics or metric_names(task, [row for rows in everything for row in rows]):
        metric = metric_of(metric_name, task)
        if isinstance(metric, LengthRatio):
            continue
        parts = _statistics(metric, everything)
        if parts is None:
            left_out.append(metric_name)
            continue
        differences += _differences(metric, names, everything, parts, trials, resamples, seed)
        figures = [np.asarray(metric.figure(part), dtype=np.float64) for part in parts]
        different = len(np.unique(np.concatenate(figures)))
        if metric.needs != "probabilities" and different > most:
            most, judged = different, (metric_name, metric.higher_is_better, figures)
    name, rises, figures = judged
    errors = tuple(sum(row.prediction is None for row in rows) for rows in everything)
    return Comparison(
        task=task.name,
        systems=tuple(names),
        n=len(everything[0]),
        n_errors=errors,
        differences=tuple(differences),
        row_metric=name,
        row_metric_rises=rises,
        changes=tuple(_changes(names, everything, figures, text_columns)) if name else (),
        notes=tuple(_notes(names, errors, len(everything[0]), left_out)),
        trials=trials,
        resamples=resamples,
        seed=seed,
    )


def check_same_rows(
    first: str,
    rows: Sequence[EvaluatedRow],
    second: str,
    others: Sequence[EvaluatedRow],
    columns: Sequence[str] | None = None,
) -> None:
    """Raises InputInvalidError unless two systems answered the same rows in the same order.

    Args:
        first, second: names of the two.
        columns: that must be equal; None for all that both have.
    """
    hint = "Only systems that answered the same rows, in the same order, can be compared."
    if len(rows) != len(others):
        raise InputInvalidError(f"{first} has {len(rows):,} rows and {second} {len(others):,}.", hint=hint)
    # A file without a job beside it, such as a baseline's, has the rows' numbers for ids.
    named = not any(all(row.id == row.index for row in each) for each in (rows, others))
    for row, other in zip(rows, others):
        place = f"Row {row.index + 1:,}"
        if named and not same_value(row.id, other.id):
            raise InputInvalidError(
                f"{place} has the id {row.id!r} in {first} and {other.id!r} in {second}.", hint=hint
            )
        for column in row.values if columns is None else columns:
            if column in other.values and not same_value(row.values.get(column), other.values[column]):
                ours, theirs = (shortened(plain(each.values.get(column))) for each in (row, other))
                raise InputInvalidError(
                    f"{place} has {ours} as its {column!r} in {first} and {theirs} in {second}.", hint=hint
                )
        if row.references != other.references:
            raise InputInvalidError(
                f"{place} has the reference {shortened(row.references[0])} in {first} and "
                f"{shortened(other.references[0])} in {second}.",
                hint=hint,
            )


def _statistics(metric: Any, systems: Sequence[Sequence[EvaluatedRow]]) -> list[Any] | None:
    """Statistics of each system's rows, with the same columns; None if the metric can't be had for all rows."""
    if not isinstance(metric, RowMetric):
        return None
    measured = [rows_for(metric, rows) for rows in systems]
    if any(len(some) != len(rows) for some, rows in zip(measured, systems)):
        return None
    if metric.needs == "data" and not all("passed" in row.answered.data for rows in measured for row in rows):
        return None
    together = statistics_of(metric, [row for rows in measured for row in rows])
    return list(np.split(together, len(systems)))


def _differences(
    metric: RowMetric,
    names: Sequence[str],
    systems: Sequence[Sequence[EvaluatedRow]],
    parts: Sequence[Any],
    trials: int,
    resamples: int,
    seed: int,
) -> list[Difference]:
    base = float(metric.figure(parts[0].sum(axis=0)))
    signature = metric.signature(count_references([row.references for row in systems[0]]))
    found = []
    for name, part in zip(names[1:], parts[1:]):
        test = paired(metric, part, parts[0], trials, resamples, seed)
        of_rows = metric.needs != "probabilities"
        found.append(
            Difference(
                metric=metric.name,
                system=name,
                baseline=base,
                other=float(metric.figure(part.sum(axis=0))),
                difference=test.difference,
                low=test.low,
                high=test.high,
                p_value=test.p_value,
                p_corrected=test.p_value,
                wins=test.wins if of_rows else None,
                ties=test.ties if of_rows else None,
                losses=test.losses if of_rows else None,
                n=test.n,
                scale=float(metric.scale) if np.isfinite(metric.scale) else None,
                higher_is_better=metric.higher_is_better,
                signature=signature,
            )
        )
    corrected = holm([each.p_value for each in found])
    return [replace(each, p_corrected=p) for each, p in zip(found, corrected)]


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for how many they are (Holm 1979): the chance of any false alarm among them."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = highest
    return corrected


def _changes(
    names: Sequence[str],
    systems: Sequence[Sequence[EvaluatedRow]],
    figures: Sequence[Any],
    text_columns: Sequence[str],
) -> list[Change]:
    changes = []
    for name, rows, scores in zip(names[1:], systems[1:], figures[1:]):
        moved = (scores - figures[0]).tolist()
        rose = sorted((i for i in range(len(rows)) if moved[i] > 0), key=lambda i: (-moved[i], i))
        fell = sorted((i for i in range(len(rows)) if moved[i] < 0), key=lambda i: (moved[i], i))
        half = _MOST_CHANGED // 2
        for i in rose[: max(half, _MOST_CHANGED - len(fell))] + fell[: max(half, _MOST_CHANGED - len(rose))]:
            row, before = rows[i], systems[0][i]
            changes.append(
                Change(
                    name,
                    row.index,
                    row.id,
                    moved[i],
                    text_of(row, text_columns),
                    row.references,
                    before.answered.text,
                    row.answered.text,
                )
            )
    return changes


def _notes(names: Sequence[str], errors: Sequence[int], total: int, left_out: Sequence[str]) -> list[str]:
    notes = [
        f"Of {name}, {failed:,} of {total:,} rows failed, which count as empty answers."
        for name, failed in zip(names, errors)
        if failed
    ]
    if left_out:
        notes.append(f"Not compared: {', '.join(left_out)}. It needs what not every row of every system has.")
    if len(names) > 2:
        notes.append(f"All are compared with {names[0]}; p is corrected by Holm's method within each metric.")
    return notes
