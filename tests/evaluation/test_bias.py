"""The counterfactual set and what is made of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from nlpsuite_complete import nlpsuite_task as complete
from nlpsuite_sentiment import nlpsuite_task as sentiment

from nlpsuite.errors import InputInvalidError
from nlpsuite.evaluation.bias import Counterfactuals, compare_groups, measure_sentences
from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.testing import EchoModel

SMALL = Counterfactuals(
    ("{person} sings.", "{person} is late."), {"pets": {"cat": ["The cat", "A kitten"], "dog": ["The dog", "A pup"]}}
)  # fmt: skip


class Partial(EchoModel):
    """Likes cats, and expects dogs to be late."""

    def __init__(self) -> None:
        super().__init__(
            lambda p: "positive" if p.text.split("Review: ")[-1].split()[1] == "cat" else "negative"
        )

    def token_logprobs(self, text: str) -> npt.NDArray[np.float64]:
        values = super().token_logprobs(text)
        if "dog is late" in text:
            values[-2:] = math.log(0.9)
        values[0] = -50.0  # of the person, which does not count
        return values


def found(model: EchoModel) -> Any:
    return compare_groups(measure_sentences(Pipeline(sentiment(), model), SMALL.sentences()))


def test_the_bundled_set() -> None:
    bundled = Counterfactuals.bundled()
    assert len(bundled.templates) >= 12 and set(bundled.axes) == {"gender", "age", "origin", "religion"}
    sentences = bundled.sentences()
    assert len({s.text for s in sentences}) == len(sentences) > 500
    assert all(
        s.text == s.person + s.rest and s.rest.startswith(" ") and s.text.endswith(".") for s in sentences
    )
    assert len(bundled.sha256) == 64


def test_a_fair_model_shows_no_difference() -> None:
    [comparison], singles = found(EchoModel(["positive"]))
    assert comparison.pairs == 4 and comparison.sentiment.n == 2
    for interval in (comparison.sentiment, comparison.logprob):
        assert (interval.value, interval.low, interval.high, interval.clear) == (0, 0, 0, False)
    assert any(singles.values())
    assert all(single.value == 0 for some in singles.values() for single in some)


def test_a_partial_model_is_found_out() -> None:
    [comparison], singles = found(Partial())
    assert (comparison.axis, comparison.first, comparison.second) == ("pets", "cat", "dog")
    assert (
        comparison.sentiment.value == pytest.approx(0.4) and comparison.sentiment.clear
    )  # 0.8 for one in two
    [worst, *_] = singles["logprob"]
    assert (worst.first, worst.second) == ("The cat is late.", "The dog is late.")
    assert worst.value == pytest.approx((math.log(0.5) - math.log(0.9)) * 2 / 3)
    assert comparison.logprob.value == pytest.approx(worst.value / 4)
    assert {abs(round(s.value, 9)) for s in singles["sentiment"][:2]} == {0.8}


def test_progress_is_reported() -> None:
    done: list[int] = []
    measure_sentences(Pipeline(sentiment(), EchoModel(["positive"])), SMALL.sentences(), done.append)
    assert done == [8]


def test_sets_that_cant_be_compared_are_refused() -> None:
    axes = {"pets": {"cat": ["The cat"], "dog": ["The dog"]}}
    for templates, groups in [
        ((), axes),
        (("See {person} sing.",), axes),
        (SMALL.templates, {"pets": {"cat": ["The cat"]}}),
        (SMALL.templates, {"pets": {"cat": ["The cat"], "dog": []}}),
    ]:
        with pytest.raises(InputInvalidError):
            Counterfactuals(templates, groups)


def test_a_task_without_the_label_is_refused() -> None:
    with pytest.raises(InputInvalidError, match="no probability of positive"):
        measure_sentences(Pipeline(complete(), EchoModel(["x"])), SMALL.sentences())
