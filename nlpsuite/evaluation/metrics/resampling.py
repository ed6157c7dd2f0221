"""How sure a figure is, and whether two systems differ: resampling of rows.

A resample weighs each row by how often it was drawn, so its figure is that of a weighted sum of the rows'
statistics. Weights are made for so many resamples at a time as fit into ``_CELLS`` numbers: memory stays flat
however many rows and resamples there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.evaluation.metrics.base import Metric, RowMetric, Statistics
from nlpsuite.evaluation.metrics.lengths import check_lengths

__all__ = ["RESAMPLES", "TRIALS", "Estimate", "Paired", "estimate", "estimate_function", "paired"]

RESAMPLES = 1_000
TRIALS = 10_000
_ENDS = (0.025, 0.975)
_CELLS = 2**21
# Sums of the same numbers in another order differ by less, as a part of the figure.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval.

    Attributes:
        value: of the rows as they are.
        low, high: ends of the interval. Where all rows agree it has no width: ``n`` says what that is worth.
        n: rows.
        resamples, seed: what they were drawn with.
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
        p_value: how often chance alone would make them differ as much, were there nothing between them.
        n: rows.
        wins, ties, losses: rows where the first is better than the second, as good, and worse.
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
        resamples: how often n rows are drawn with replacement.

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
    """The same for a metric that is a plain function: it is called once for each resample, so that there are
    fewer of them.

    Raises:
        InputInvalidError: none at all, or not as many references as outputs.
        OptionError: there are no resamples.
    """
    check_lengths(outputs, references)
    _check_draws(resamples)
    random, n = np.random.default_rng(seed), len(outputs)
    figures = []
    for _ in range(resamples):
        drawn = random.integers(0, n, n)
        figures.append(float(metric([outputs[i] for i in drawn], [references[i] for i in drawn])))
    low, high = np.quantile(figures, _ENDS)
    return Estimate(float(metric(outputs, references)), float(low), float(high), n, resamples, seed)


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
    of ``trials`` in which each row's two outputs change places with probability 1/2, c differ at least as much,
    and p = (c + 1) / (trials + 1). sacreBLEU counts only those that differ more, so that its p is smaller where
    a metric has few values. The interval is a percentile bootstrap of rows, of both systems together.

    Args:
        rows_a, rows_b: the metric's statistics of each row, (n, k) each, in the same order and with the same
            columns: of one call of ``statistics`` with both, where columns depend on the data.

    Raises:
        InputInvalidError: there is no row, or the two have not the same shape.
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

    # Rows on which the two agree change nothing by changing places.
    changes = (rows_b - rows_a)[(rows_a != rows_b).any(axis=1)]
    least = abs(difference) - _ROUNDING * (abs(float(metric.figure(sum_a))) + abs(difference))
    as_far = 0
    for size in _sizes(trials, len(changes)):
        moved = exchange.integers(0, 2, (size, len(changes)), dtype=np.int8) @ changes
        as_far += int((np.abs(metric.figure(sum_a + moved) - metric.figure(sum_b - moved)) >= least).sum())

    k = rows_a.shape[1]
    differences = [
        metric.figure(sums[:, :k]) - metric.figure(sums[:, k:])
        for sums in _resampled(np.hstack([rows_a, rows_b]), resamples, draw)
    ]
    low, high = np.quantile(np.concatenate(differences), _ENDS)

    each_a, each_b = metric.figure(rows_a), metric.figure(rows_b)
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
        raise OptionError(f"{min(draws)} resamples say nothing.", hint="Take 1,000 or more.")


def _resampled(rows: Statistics, resamples: int, random: np.random.Generator) -> Iterator[Statistics]:
    """Sums of resamples, some (r, k) at a time: n of n rows drawn with replacement for each."""
    n = len(rows)
    for size in _sizes(resamples, n):
        drawn = random.integers(0, n, (size, n))
        drawn += np.arange(size)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64) @ rows


def _sizes(total: int, n: int) -> Iterator[int]:
    """Parts of ``total`` of which each, times ``n``, is about as many numbers as are held at a time."""
    part = max(1, _CELLS // max(n, 1))
    for start in range(0, total, part):
        yield min(part, total - start)
