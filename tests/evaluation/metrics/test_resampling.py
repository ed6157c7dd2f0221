"""Intervals and paired tests, against scipy and sacreBLEU."""

from __future__ import annotations

import random
import tracemalloc
from itertools import product

import numpy as np
import pytest
import scipy.stats
from sacrebleu.significance import PairedTest

from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.evaluation.metrics import resampling
from nlpsuite.evaluation.metrics.base import RowMetric, Statistics
from nlpsuite.evaluation.metrics.bleu import bleu, ter
from nlpsuite.evaluation.metrics.calibration import ece
from nlpsuite.evaluation.metrics.labels import accuracy, macro_f1
from nlpsuite.evaluation.metrics.resampling import (
    Difference,
    Estimate,
    estimate,
    estimate_functions,
    estimate_mean,
    paired,
)
from nlpsuite.evaluation.metrics.rouge import rouge_1
from nlpsuite.tasks.result import Output


def means(values: np.ndarray) -> Statistics:
    """Statistics of a mean over rows."""
    return np.column_stack([values, np.ones(len(values))]).astype(np.float64)


def texts(metric: RowMetric, outputs: list[str], references: list[str]) -> Statistics:
    return metric.statistics([Output(text) for text in outputs], [[text] for text in references])


def systems(n: int, seed: int) -> tuple[list[str], list[str], list[str]]:
    """Outputs of two systems, the first a little better, and the references."""
    draw = random.Random(seed)
    references = [" ".join(draw.choices("abcdefgh", k=draw.randint(5, 12))) for _ in range(n)]

    def damaged(share: float) -> list[str]:
        return [
            " ".join("x" if draw.random() < share else word for word in text.split()) for text in references
        ]

    return damaged(0.2), damaged(0.25), references


def test_half_width_of_an_accuracy() -> None:
    rows = means(np.arange(872) < 785)  # 0.9 of SST-2's development set
    found = estimate(accuracy, rows)
    assert found.value == pytest.approx(0.9, abs=1e-3) and found.n == 872
    theory = 1.96 * (0.9 * 0.1 / 872) ** 0.5
    assert theory == pytest.approx(0.02, abs=1e-3)
    assert (found.high - found.low) / 2 == pytest.approx(theory, rel=0.1)


def test_the_seed_decides() -> None:
    rows = means(np.random.default_rng(0).normal(size=80))
    found = estimate(rouge_1, rows)
    assert found == estimate(rouge_1, rows) != estimate(rouge_1, rows, seed=1)
    other = means(np.random.default_rng(1).normal(size=80))
    pair = paired(rouge_1, rows, other, trials=500)
    assert (
        pair == paired(rouge_1, rows, other, trials=500) != paired(rouge_1, rows, other, trials=500, seed=1)
    )


def test_the_interval_is_scipys() -> None:
    values = np.random.default_rng(4).exponential(size=200)
    found = estimate(rouge_1, means(values), resamples=20_000)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    # Ends of two such draws differ by about 0.002.
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.006)


def test_the_interval_of_a_figure_that_is_no_mean() -> None:
    draw = np.random.default_rng(8)
    wanted = draw.choice(["a", "b", "c"], size=150, p=[0.6, 0.3, 0.1])
    given = np.where(draw.random(150) < 0.7, wanted, "a")
    rows = texts(macro_f1, list(given), list(wanted))
    found = estimate(macro_f1, rows, resamples=4_000)
    [plain] = estimate_functions(
        lambda a, b: {"f1": macro_f1(a, b)}, list(given), list(wanted), resamples=1_000
    ).values()
    assert found.value == plain.value == pytest.approx(macro_f1(list(given), list(wanted)))
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=0.015)


def test_the_p_value_is_scipys() -> None:
    draw = np.random.default_rng(5)
    a, b = draw.normal(0.4, 1, 40), draw.normal(-0.2, 1, 40)
    found = paired(rouge_1, means(a), means(b))
    theirs = scipy.stats.permutation_test(
        (a, b),
        lambda x, y: np.mean(x) - np.mean(y),
        permutation_type="samples",
        n_resamples=10_000,
        vectorized=False,
        rng=np.random.default_rng(2),
    )
    assert found.difference == pytest.approx(theirs.statistic)
    assert 0.02 < theirs.pvalue < 0.9
    assert found.p_value == pytest.approx(theirs.pvalue, abs=0.02)  # four standard errors of the two draws
    interval = scipy.stats.bootstrap(
        (a, b),
        lambda x, y: np.mean(x) - np.mean(y),
        paired=True,
        vectorized=False,
        n_resamples=1_000,
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=0.06)


def test_the_p_value_of_few_rows_is_that_of_all_exchanges() -> None:
    a, b = np.array([0.9, 0.8, 0.7, 0.4, 0.6]), np.array([0.5, 0.4, 0.75, 0.1, 0.2])
    swapped = [sum(s * d for s, d in zip(signs, a - b)) for signs in product([1, -1], repeat=5)]
    exact = np.mean([abs(total) >= (a - b).sum() - 1e-12 for total in swapped])
    found = paired(rouge_1, means(a), means(b))
    assert found.p_value == pytest.approx(exact, abs=0.012)
    assert (found.wins, found.ties, found.losses) == (4, 0, 1)


@pytest.mark.parametrize("metric", [bleu, ter], ids=["bleu", "ter"])
def test_the_p_value_is_sacrebleus(metric: RowMetric) -> None:
    better, worse, references = systems(60, seed=3)
    found = paired(metric, texts(metric, better, references), texts(metric, worse, references))
    _, theirs = PairedTest(
        [("worse", worse), ("better", better)],
        {metric.name: metric.scorer()},  # type: ignore[attr-defined]
        [references],
        n_samples=10_000,
    )()
    [[base, other]] = [scores for name, scores in theirs.items() if name != "System"]
    assert found.difference == pytest.approx(other.score - base.score, abs=1e-9)
    assert 0.001 < found.p_value < 0.9
    # Edits are whole numbers, so that exchanges often differ exactly as much; sacreBLEU leaves those out.
    ties = 0.1 if metric is ter else 0
    assert other.p_value - 0.02 < found.p_value < other.p_value + ties + 0.02


def test_wins_follow_what_is_better() -> None:
    outputs, others, references = ["a b", "a b", "x", "c"], ["a b", "x", "a", "y"], ["a b", "a b", "a", "c"]
    for metric in (rouge_1, ter):
        found = paired(
            metric, texts(metric, outputs, references), texts(metric, others, references), trials=99
        )
        assert (found.wins, found.ties, found.losses, found.n) == (2, 1, 1, 4)
        assert (found.difference > 0) == metric.higher_is_better


def test_a_system_against_itself() -> None:
    rows = means(np.arange(9) % 2)
    found = paired(accuracy, rows, rows, system="same", signature="k:v")
    figure = accuracy.figure(rows.sum(axis=0))
    assert found == Difference(
        "accuracy", "same", figure, figure, 0, 0, 0, 1.0, 1.0, 0, 9, 0, 9, 1.0, True, "k:v"
    )
    assert not found.clear


def test_a_calibration_error_has_no_wins() -> None:
    rows = np.zeros((3, 16))
    rows[:, 0], rows[:, -1] = [0.1, 0.2, -0.4], 1
    found = paired(ece, rows, rows)
    assert (found.wins, found.ties, found.losses, found.n) == (None, None, None, 3)


def test_the_smallest_p_value() -> None:
    found = paired(accuracy, means(np.ones(60)), means(np.zeros(60)), trials=999)
    assert found.p_value == 1 / 1000 and (found.low, found.high) == (1, 1)


def test_it_covers_the_truth_about_as_often_as_it_says() -> None:
    draws = np.random.default_rng(3).random((300, 60)) < 0.7
    found = [estimate(accuracy, means(row), resamples=400) for row in draws]
    assert 0.90 < np.mean([one.low <= 0.7 <= one.high for one in found]) < 0.98


def test_p_values_of_equal_systems_are_spread_evenly() -> None:
    draw = np.random.default_rng(11)
    found = [
        paired(rouge_1, means(draw.random(30)), means(draw.random(30)), trials=199, resamples=2).p_value
        for _ in range(300)
    ]
    assert np.mean(np.array(found) <= 0.05) < 0.09 and np.mean(found) == pytest.approx(0.5, abs=0.06)


def test_memory_stays_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = means(np.arange(50_000) % 3 == 0)
    other = means(np.arange(50_000) % 4 == 0)
    monkeypatch.setattr(resampling, "_CELLS", 2**17)
    tracemalloc.start()
    estimate(accuracy, rows, resamples=40)
    paired(accuracy, rows, other, trials=40, resamples=40)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 16e6  # all weights at once would take 16 MB for each of them, and as much for the draws


def test_what_can_not_be_compared_is_refused() -> None:
    with pytest.raises(InputInvalidError, match="nothing"):
        estimate(accuracy, np.zeros((0, 2)))
    with pytest.raises(InputInvalidError, match="nothing"):
        estimate_functions(lambda a, b: {}, [], [])
    rows = means(np.ones(3))
    for call in (
        lambda: estimate(accuracy, rows, resamples=0),
        lambda: estimate_functions(lambda a, b: {}, ["a"], ["a"], resamples=0),
        lambda: paired(accuracy, rows, rows, trials=0),
    ):
        with pytest.raises(OptionError, match="0 resamples"):
            call()
    with pytest.raises(InputInvalidError, match="3 rows by 2 and of 2 by 2"):
        paired(accuracy, means(np.ones(3)), means(np.ones(2)))


def test_one_row() -> None:
    assert estimate(accuracy, means(np.ones(1)), resamples=7) == Estimate(1, 1, 1, 1)


def test_the_interval_of_a_mean_holds_it_and_is_the_same_each_time() -> None:
    differences = [0.1, 0.4, -0.2, 0.3, 0.17, -0.04, 0.22]
    found = estimate_mean(differences)
    assert found == estimate_mean(differences) != estimate_mean(differences, seed=1)
    assert found.value == pytest.approx(0.95 / 7) and found.low < found.value < found.high and found.n == 7
    assert not estimate_mean([0.4, -0.2, -0.3]).clear


def test_differences_that_agree_leave_no_doubt() -> None:
    assert estimate_mean([0.2] * 5) == Estimate(*[pytest.approx(0.2)] * 3, n=5)
    assert estimate_mean([0.2] * 5).clear and estimate_mean([-0.2] * 5).clear


def test_the_interval_of_a_mean_covers_the_truth_as_often_as_it_says() -> None:
    draws = np.random.default_rng(3).normal(1.0, 1.0, (300, 40))
    found = [estimate_mean(list(row), resamples=500) for row in draws]
    assert 0.90 < np.mean([interval.low <= 1.0 <= interval.high for interval in found]) < 0.98


@pytest.mark.parametrize("values", [[], [float("nan")], [1.0, float("inf")]])
def test_what_has_no_mean_is_refused(values: list[float]) -> None:
    with pytest.raises(InputInvalidError):
        estimate_mean(values)
