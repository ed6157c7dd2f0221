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
from nlpsuite.evaluation.metrics.base import Metric, RowMetric, Statistics
from nlpsuite.evaluation.metrics.lengths import check_lengths

__all__ = [
    "RESAMPLES",
    "TRIALS",
    "Estimate",
    "Paired",
    "estimate",
    "estimate_function",
    "estimate_functions",
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
        resamples, seed: of the interval.
    """

    value: float
    low: float
    high: float
    n: int
    resamples: int
    seed: int


@dataclass(frozen=True)
class Paired:
    """Two systems on the same rows.

    Attributes:
        difference: the first's figure less the second's.
        low, high: its 95 % interval.
        p_value: how often chance alone would make two equal systems differ as much.
        n: rows.
        wins, ties, losses: rows where the first is better than the second, equal, and worse.
        trials, resamples, seed: of the test, of the interval, and of both.
    """

    difference: float
    low: float
    high: float
    p_value: float
    n: int
    wins: int
    ties: int
    losses: int
    trials: int
    resamples: int
    seed: int


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
    figures = [metric.figure(sums) for sums in _resampled(rows, resamples, np.random.default_rng(seed))]
    low, high = np.quantile(np.concatenate(figures), _ENDS)
    value = float(metric.figure(rows.sum(axis=0)))
    return Estimate(value, float(low), float(high), len(rows), resamples, seed)


def estimate_function(
    metric: Metric, outputs: Sequence[str], references: Sequence[str], resamples: int = 200, seed: int = 0
) -> Estimate:
    """The same for a metric that is a plain function. It is computed for each resample, so there are fewer.

    Raises:
        InputInvalidError: there are no rows, or not as many references as outputs.
        OptionError: there are no resamples.
    """

    def compute(outputs: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        return {"": metric(outputs, references)}

    return estimate_functions(compute, outputs, references, resamples, seed)[""]


def estimate_functions(
    compute: Callable[[Sequence[Any], Sequence[str]], Mapping[str, float]],
    outputs: Sequence[Any],
    references: Sequence[str],
    resamples: int = 200,
    seed: int = 0,
) -> dict[str, Estimate]:
    """The same for a function that gives several figures by name.

    A figure that few rows have may be missing from a resample, or not be a number there.
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
        estimates[name] = Estimate(float(value), float(low), float(high), n, resamples, seed)
    return estimates


def paired(
    metric: RowMetric,
    rows_a: Statistics,
    rows_b: Statistics,
    trials: int = TRIALS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Paired:
    """Whether two systems differ on the same rows.

    The p-value is that of paired approximate randomisation (Noreen 1989; Riezler and Maxwell 2005), two-sided:
    of ``trials`` that swap each row's two outputs with probability 1/2, c differ at least as much, and
    p = (c + 1) / (trials + 1). sacreBLEU counts only those that differ more, so its p is smaller where a metric
    has few values. The interval is a percentile bootstrap of rows, of both systems together.

    Args:
        rows_a, rows_b: the metric's statistics of each row, (n, k) each, in the same order and with the same
            columns: where columns depend on the data, from one call of ``statistics`` with both.

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
    difference = float(metric.figure(sum_a) - metric.figure(sum_b))
    exchange, draw = (np.random.default_rng(each) for each in np.random.SeedSequence(seed).spawn(2))

    # Swapping rows on which the two agree changes nothing.
    changes = (rows_b - rows_a)[(rows_a != rows_b).any(axis=1)]
    least = abs(difference) - _ROUNDING * (abs(float(metric.figure(sum_a))) + abs(difference))
    as_far = 0
    for size in _sizes(trials, len(changes)):
        swapped = exchange.integers(0, 2, (size, len(changes)), dtype=np.int8) @ changes
        as_far += int(
            (np.abs(metric.figure(sum_a + swapped) - metric.figure(sum_b - swapped)) >= least).sum()
        )

    k = rows_a.shape[1]
    differences = [
        metric.figure(sums[:, :k]) - metric.figure(sums[:, k:])
        for sums in _resampled(np.hstack([rows_a, rows_b]), resamples, draw)
    ]
    low, high = np.quantile(np.concatenate(differences), _ENDS)

    each_a, each_b = metric.row_figures(rows_a), metric.row_figures(rows_b)
    better = each_a - each_b if metric.higher_is_better else each_b - each_a
    apart = np.abs(better) > _ROUNDING * (np.abs(each_a) + np.abs(each_b))
    wins, losses = int((apart & (better > 0)).sum()), int((apart & (better < 0)).sum())
    return Paired(
        difference=difference,
        low=float(low),
        high=float(high),
        p_value=(as_far + 1) / (trials + 1),
        n=len(rows_a),
        wins=wins,
        ties=len(rows_a) - wins - losses,
        losses=losses,
        trials=trials,
        resamples=resamples,
        seed=seed,
    )


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
