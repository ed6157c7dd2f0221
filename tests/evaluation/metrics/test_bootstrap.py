"""Intervals by resampling."""

from __future__ import annotations

import numpy as np
import pytest

from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.metrics.bootstrap import Interval, paired_interval


def test_it_holds_the_mean_and_is_the_same_each_time() -> None:
    differences = [0.1, 0.4, -0.2, 0.3, 0.17, -0.04, 0.22]
    found = paired_interval(differences)
    assert found == paired_interval(differences) != paired_interval(differences, seed=1)
    assert found.mean == pytest.approx(0.95 / 7) and found.low < found.mean < found.high and found.n == 7
    assert not paired_interval([0.4, -0.2, -0.3]).clear


def test_differences_that_agree_leave_no_doubt() -> None:
    assert paired_interval([0.2] * 5) == Interval(*[pytest.approx(0.2)] * 3, n=5)
    assert paired_interval([0.2] * 5).clear and paired_interval([-0.2] * 5).clear


def test_it_covers_the_truth_about_as_often_as_it_says() -> None:
    draws = np.random.default_rng(3).normal(1.0, 1.0, (300, 40))
    found = [paired_interval(list(row), resamples=500) for row in draws]
    assert 0.90 < np.mean([interval.low <= 1.0 <= interval.high for interval in found]) < 0.98


@pytest.mark.parametrize("values", [[], [float("nan")], [1.0, float("inf")]])
def test_what_has_no_mean_is_refused(values: list[float]) -> None:
    with pytest.raises(InputInvalidError):
        paired_interval(values)
