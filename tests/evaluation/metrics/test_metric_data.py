"""pass@k and perplexities: metrics of what came with the outputs."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.errors import InputInvalidError, OptionError
from nlpsuite.evaluation.metrics.pass_at_k import PassAtK, pass_at_k
from nlpsuite.evaluation.metrics.perplexity import bits_per_byte, perplexity, word_perplexity
from nlpsuite.tasks.result import Output


def figure(metric: Any, *data: dict[str, Any]) -> float:
    rows = metric.statistics([Output("", data=row) for row in data], [[]] * len(data))
    return float(metric.figure(rows.sum(axis=0)))


def test_passes_count() -> None:
    assert figure(pass_at_k, {"passed": True}, {"passed": False}, {"passed": True}) == pytest.approx(2 / 3)
    assert figure(PassAtK(2), {"passed": 1, "samples": 4}, {"passed": 0, "samples": 2}) == pytest.approx(0.25)


@given(st.integers(1, 8), st.data())
def test_it_is_the_mean_over_all_choices(samples: int, data: st.DataObject) -> None:
    passed, k = data.draw(st.integers(0, samples)), data.draw(st.integers(1, samples))
    outcomes = [True] * passed + [False] * (samples - passed)
    choices = [any(choice) for choice in itertools.combinations(outcomes, k)]
    found = figure(PassAtK(k), {"passed": passed, "samples": samples})
    assert found == pytest.approx(sum(choices) / len(choices))
    assert f"|k:{k}|" in PassAtK(k).signature()


@pytest.mark.parametrize("data, message", [
    ({}, "row 1 has none"),
    ({"passed": "yes"}, "row 1 has none"),
    ({"passed": 1, "samples": 2.5}, "row 1 has none"),
    ({"passed": 3, "samples": 2}, "3 of 2 samples"),
    ({"passed": 1, "samples": 1}, "needs 2 samples"),
])  # fmt: skip
def test_outcomes_that_make_no_sense(data: dict[str, Any], message: str) -> None:
    with pytest.raises(InputInvalidError, match=message):
        figure(PassAtK(2), data)


def test_k_is_positive() -> None:
    with pytest.raises(OptionError, match="k of pass@k is 0"):
        PassAtK(0)


def row(nats: float, tokens: int, words: int, size: int) -> dict[str, Any]:
    return {"log_likelihood": -nats, "tokens": tokens, "words": words, "bytes": size}


def test_perplexities_by_hand() -> None:
    rows = row(6.0, 4, 2, 10), row(2.0, 4, 2, 10)
    assert figure(perplexity, *rows) == pytest.approx(math.e)  # not the mean of e^1.5 and e^0.5
    assert figure(word_perplexity, *rows) == pytest.approx(math.e**2)
    assert figure(bits_per_byte, *rows) == pytest.approx(8 / 20 / math.log(2))
    assert figure(perplexity, row(0.0, 0, 0, 0)) == 1 and figure(bits_per_byte, row(0.0, 0, 0, 0)) == 0
    assert math.isfinite(figure(perplexity, row(1e9, 1, 1, 1)))


@pytest.mark.parametrize("changed, message", [
    ({"log_likelihood": float("-inf")}, "log_likelihood"),
    ({"log_likelihood": 0.5}, "0.5 as its log_likelihood"),
    ({"words": -1}, "-1 as its words"),
    ({"bytes": None}, "needs the bytes"),
    ({"tokens": True}, "needs the tokens"),
])  # fmt: skip
def test_texts_without_a_likelihood(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputInvalidError, match=message):
        figure(perplexity, row(1.0, 1, 1, 1) | changed)
