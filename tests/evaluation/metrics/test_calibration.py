"""The calibration error, by hand."""

from __future__ import annotations

import pytest

from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.metrics.calibration import BINS, ece, reliability
from nlpsuite.tasks.result import Output


def sure(label: str, probability: float) -> Output:
    other = {"a": "b", "b": "a"}[label]
    return Output(label, label, {label: probability, other: 1 - probability})


ROWS = [sure("a", 0.95), sure("a", 0.97), sure("b", 0.98), sure("b", 0.61), sure("a", 0.65)]
WANTED = [["a"], ["a"], ["a"], ["b"], ["b"]]


def test_by_hand() -> None:
    # Above 14/15: 2 of 3 are right at 0.9667 on average. 9/15 to 10/15: 1 of 2 at 0.63.
    assert ece.figure(ece.statistics(ROWS, WANTED).sum(axis=0)) == pytest.approx(
        3 / 5 * (2.90 / 3 - 2 / 3) + 2 / 5 * (0.63 - 0.5)
    )
    bins = reliability(ROWS, WANTED)
    assert [(i, one.n) for i, one in enumerate(bins) if one.n] == [(9, 2), (14, 3)]
    assert (bins[14].confidence, bins[14].accuracy) == pytest.approx((2.90 / 3, 2 / 3))
    assert bins[9].low == 0.6 and bins[9].high == pytest.approx(2 / 3) and bins[0].accuracy == 0
    weighed = sum(one.n * abs(one.confidence - one.accuracy) for one in bins) / len(ROWS)
    assert weighed == pytest.approx(float(ece.figure(ece.statistics(ROWS, WANTED).sum(axis=0))))


def test_the_upper_end_of_a_bin_belongs_to_it() -> None:
    rows = [sure("a", probability) for probability in (1.0, 0.6, 0.6 + 1e-9)]
    assert [one.n for one in reliability(rows, [["a"]] * 3)][8:] == [1, 1, 0, 0, 0, 0, 1]
    assert len(reliability(rows, [["a"]] * 3)) == BINS


def test_the_perfect_and_the_worst() -> None:
    assert ece.figure(ece.statistics([sure("a", 1.0)], [["a"]])[0]) == 0
    assert ece.figure(ece.statistics([sure("a", 1.0)], [["b"]])[0]) == 1
    # Right as often as it is sure of it, in one bin.
    half = ece.statistics([sure("a", 0.75)] * 4, [["a"], ["a"], ["b"], ["a"]])
    assert ece.figure(half.sum(axis=0)) == pytest.approx(0)
    assert not ece.higher_is_better


@pytest.mark.parametrize("probability", [float("nan"), 1.5, -0.1])
def test_what_is_no_probability_is_refused(probability: float) -> None:
    with pytest.raises(InputInvalidError, match="Row 1 gives 'a' the probability"):
        ece.statistics([Output("a", None, {"a": probability})], [["a"]])
