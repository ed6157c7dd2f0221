"""Confidence intervals, and tests whether two systems differ, by resampling rows.

A resample weighs each row by how often it was drawn, so its figure is that of a weighted sum of the rows'
statistics. Weights are made for as many resamples at a time as fit into ``_CELLS`` numbers: memory stays flat
however many rows and resamples there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.evaluation.metrics.base import RowMetric, Statistics
from nlpsuite.evaluation.metrics.lengths import check_lengths

__all__ = [
    "RESAMPLES",
    "TRIALS",
    "Difference",
    "Estimate",
    "estimate",
    "estimate_functions",
    "estimate_mean",
    "paired",
]

RESAMPLES = 1_000
TRIALS = 10_000
_ENDS = (0.025, 0.975)
_CELLS = 2**21
# Relative difference below which two sums count as equal: the order of the terms changes less.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval.

    Attributes:
        value: of the rows as they are.
        low, high: ends of the interval. It has no width where all rows agree; see ``n`` for what that is worth.
        n: rows.
    """

    value: float
    low: float
    high: float
    n: int

    @property
    def clear(self) -> bool:
        """The interval excludes 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Difference:
    """How another system differs from the baseline in one metric, on the same rows.

    Attributes:
        baseline, other: their figures.
        difference: the other's minus the baseline's, with its 95 % interval from ``low`` to ``high``.
        p_value: how often chance alone would make two equal systems differ as much.
        p_corrected: the same, corrected for the number of systems compared in this metric.
        wins, ties, losses: rows where the other is better, equal, and worse; None for a calibration error,
            which single rows don't have.
        n: rows.
        scale: the largest value, 1 or 100; None where there is none.
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

    @property
    def clear(self) -> bool:
        """The interval excludes 0."""
        return self.low > 0 or self.high < 0


def estimate(metric: RowMetric, rows: Statistics, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """A metric's figure and its 95 % interval: the percentile bootstrap over rows (Efron 1979).

    Args:
        rows: the metric's statistics of each row, (n, k).
        resamples: draws of n rows with replacement.

    Raises:
        InputInvalidError: there is no row.
        OptionError: there are no resamples.
    """
    _check(rows, resamples)
    low, high = _interval(metric.figure, rows, resamples, np.random.default_rng(seed))
    return Estimate(float(metric.figure(rows.sum(axis=0))), low, high, len(rows))


def estimate_mean(values: Sequence[float], resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """The same for the mean of ``values``, such as paired differences.

    Args:
        values: one for each unit. Values that belong together, such as measurements on one text, should be
            averaged to one first.

    Raises:
        InputInvalidError: there is no value, or one isn't finite.
        OptionError: there are no resamples.
    """
    rows = np.asarray(values, dtype=np.float64)[:, None]
    if not np.isfinite(rows).all():
        raise InputInvalidError("A value isn't finite, so there is no mean.", hint="Leave such values out.")
    _check(rows, resamples)
    low, high = _interval(lambda sums: sums[..., 0] / len(rows), rows, resamples, np.random.default_rng(seed))
    return Estimate(float(rows.mean()), low, high, len(rows))


def estimate_functions(
    compute: Callable[[Sequence[Any], Sequence[str]], Mapping[str, float]],
    outputs: Sequence[Any],
    references: Sequence[str],
    resamples: int = 200,
    seed: int = 0,
) -> dict[str, Estimate]:
    """The same for a function that gives several figures by name. It is computed for each resample, so there are
    fewer. A figure that few rows have may be missing from a resample, or not be a number there.

    Raises:
        InputInvalidError: there are no rows, or not as many references as outputs.
        OptionError: there are no resamples.
    """
    check_lengths(outputs, references)
    _check_draws(resamples)
    values, random, n = compute(outputs, references), np.random.default_rng(seed), len(outputs)
    drawn: dict[str, list[float]] = {name: [] for name in values}
    for _ in range(resamples):
        places = random.integers(0, n, n)
        found = compute([outputs[i] for i in places], [references[i] for i in places])
        for name, figures in drawn.items():
            if math.isfinite(figure := found.get(name, math.nan)):
                figures.append(figure)
    estimates = {}
    for name, value in values.items():
        low, high = np.quantile(drawn[name] or [value], _ENDS)
        estimates[name] = Estimate(float(value), float(low), float(high), n)
    return estimates


def paired(
    metric: RowMetric,
    rows_a: Statistics,
    rows_b: Statistics,
    trials: int = TRIALS,
    resamples: int = RESAMPLES,
    seed: int = 0,
    *,
    system: str = "",
    signature: str = "",
) -> Difference:
    """Whether a system, with ``rows_a``, differs from a baseline, with ``rows_b``, on the same rows.

    The p-value is that of paired approximate randomisation (Noreen 1989; Riezler and Maxwell 2005), two-sided:
    of ``trials`` that swap each row's two outputs with probability 1/2, c differ at least as much, and
    p = (c + 1) / (trials + 1). sacreBLEU counts only those that differ more, so its p is smaller where a metric
    has few values. The interval is a percentile bootstrap of rows, of both systems together.

    Args:
        rows_a, rows_b: the metric's statistics of each row, (n, k) each, in the same order and with the same
            columns: where columns depend on the data, from one call of ``statistics`` with both.
        system, signature: name of the system and form of the metric, for the result.

    Raises:
        InputInvalidError: there is no row, or the two shapes differ.
        OptionError: there are no trials or resamples.
    """
    _check(rows_a, trials, resamples)
    if rows_a.shape != rows_b.shape:
        raise InputInvalidError(
            f"Statistics of {rows_a.shape[0]:,} rows by {rows_a.shape[1]} and of {rows_b.shape[0]:,} by "
            f"{rows_b.shape[1]} can't be compared.",
            hint="Compare two systems on the same rows.",
        )
    sum_a, sum_b = rows_a.sum(axis=0), rows_b.sum(axis=0)
    figure_a, figure_b = float(metric.figure(sum_a)), float(metric.figure(sum_b))
    difference = figure_a - figure_b
    exchange, draw = (np.random.default_rng(each) for each in np.random.SeedSequence(seed).spawn(2))

    # Swapping rows on which the two agree changes nothing.
    changes = (rows_b - rows_a)[(rows_a != rows_b).any(axis=1)]
    least = abs(difference) - _ROUNDING * (abs(figure_a) + abs(difference))
    as_far = 0
    for size in _sizes(trials, len(changes)):
        swapped = exchange.integers(0, 2, (size, len(changes)), dtype=np.int8) @ changes
        apart = np.abs(metric.figure(sum_a + swapped) - metric.figure(sum_b - swapped))
        as_far += int((apart >= least).sum())
    p_value = (as_far + 1) / (trials + 1)

    k = rows_a.shape[1]

    def gap(sums: Statistics) -> Statistics:
        return metric.figure(sums[:, :k]) - metric.figure(sums[:, k:])

    low, high = _interval(gap, np.hstack([rows_a, rows_b]), resamples, draw)
    wins, ties, losses = _wins(metric, rows_a, rows_b)
    return Difference(
        metric=metric.name,
        system=system,
        baseline=figure_b,
        other=figure_a,
        difference=difference,
        low=low,
        high=high,
        p_value=p_value,
        p_corrected=p_value,
        wins=wins,
        ties=ties,
        losses=losses,
        n=len(rows_a),
        scale=float(metric.scale) if math.isfinite(metric.scale) else None,
        higher_is_better=metric.higher_is_better,
        signature=signature,
    )


def _wins(
    metric: RowMetric, rows_a: Statistics, rows_b: Statistics
) -> tuple[int, int, int] | tuple[None, None, None]:
    """Rows where the first is better, equal and worse; None where the metric can't judge single rows."""
    if metric.needs == "probabilities":
        return None, None, None
    each_a, each_b = metric.row_figures(rows_a), metric.row_figures(rows_b)
    better = each_a - each_b if metric.higher_is_better else each_b - each_a
    apart = np.abs(better) > _ROUNDING * (np.abs(each_a) + np.abs(each_b))
    wins, losses = int((apart & (better > 0)).sum()), int((apart & (better < 0)).sum())
    return wins, len(rows_a) - wins - losses, losses


def _interval(
    figure: Callable[[Statistics], Statistics],
    rows: Statistics,
    resamples: int,
    random: np.random.Generator,
) -> tuple[float, float]:
    """Ends of the 95 % interval of a figure of summed statistics."""
    figures = [figure(sums) for sums in _resampled(rows, resamples, random)]
    low, high = np.quantile(np.concatenate(figures), _ENDS)
    return float(low), float(high)


def _check(rows: Statistics, *draws: int) -> None:
    if not len(rows):
        raise InputInvalidError("There is nothing to evaluate.", hint="Give at least one row.")
    _check_draws(*draws)


def _check_draws(*draws: int) -> None:
    if min(draws) < 1:
        raise OptionError(f"{min(draws)} resamples are too few.", hint="Use 1,000 or more.")


def _resampled(rows: Statistics, resamples: int, random: np.random.Generator) -> Iterator[Statistics]:
    """Sums of resamples of n rows with replacement, several (r, k) at a time."""
    n = len(rows)
    for size in _sizes(resamples, n):
        drawn = random.integers(0, n, (size, n))
        drawn += np.arange(size)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64) @ rows


def _sizes(total: int, n: int) -> Iterator[int]:
    """Parts of ``total``, each of which times ``n`` is at most about ``_CELLS``."""
    part = max(1, _CELLS // max(n, 1))
    for start in range(0, total, part):
        yield min(part, total - start)
