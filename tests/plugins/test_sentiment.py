"""Sentiment: labels, the honest middle, and texts without words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nlpsuite
from nlpsuite import Output, Record
from nlpsuite.errors import OptionError
from nlpsuite.options import make_options
from nlpsuite.plugins import load_task
from nlpsuite.runtime.prompt import Completion
from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.testing import EchoModel

TASK = load_task("sentiment")
THREE = "positive,negative,neutral"
PHRASES = Path(__file__).parents[1] / "fixtures" / "phrases.tsv"


def judged(log_odds: float, labels: str) -> Output:
    """The output where positive is so much likelier than negative."""
    completion = Completion(" positive", "choice", 1, logprobs=(log_odds / 2, -log_odds / 2))
    return TASK.parse(completion, Record("x"), make_options(TASK.options, {"labels": labels}))


@given(st.floats(-1e4, 1e4).filter(lambda odds: abs(odds) > 1e-9))
def test_probabilities_sum_to_one_and_agree(log_odds: float) -> None:
    two, three = judged(log_odds, "positive,negative"), judged(log_odds, THREE)
    for output in (two, three):
        assert output.probabilities and sum(output.probabilities.values()) == pytest.approx(1)
        assert min(output.probabilities.values()) >= 0
    assert two.label == ("positive" if log_odds > 0 else "negative")
    assert three.label in (two.label, "neutral")


def test_the_middle_is_neutral_where_asked_for() -> None:
    assert [judged(odds, THREE).label for odds in (-4, 0, 4)] == ["negative", "neutral", "positive"]
    assert judged(1e-6, "negative, positive").label == "positive"


@pytest.mark.parametrize("labels", ["", "positive", "good,bad", "positive,negative,neutral,mixed"])
def test_other_labels_are_refused(labels: str) -> None:
    with pytest.raises(OptionError, match="positive,negative"):
        make_options(TASK.options, {"labels": labels})


@pytest.mark.parametrize("text", [".", "?!", " - "])
def test_a_text_without_words_is_even(text: str) -> None:
    model = EchoModel(["positive"])
    result = Pipeline(TASK, model).run(Record(text))
    assert result.output.probabilities == pytest.approx({"positive": 0.5, "negative": 0.5})
    assert result.notices == ["The text has no words to judge."] and not model.prompts
    assert Pipeline(TASK, model, labels=THREE)(text).label == "neutral"


@pytest.mark.parametrize("text", ["👍", ":)", "ok", "7", "这"])
def test_emoji_and_emoticons_are_judged(text: str) -> None:
    assert Pipeline(TASK, EchoModel(["negative"]))(text).label == "negative"


@pytest.mark.model
def test_everyday_phrases(default_bundle: Path) -> None:
    rows = [line.split("\t") for line in PHRASES.read_text("utf-8").splitlines()]
    assert len(rows) >= 50
    pipeline = nlpsuite.load("sentiment", model=str(default_bundle))
    outputs = pipeline.map([text for text, _ in rows])
    wrong = [text for (text, label), output in zip(rows, outputs) if output.label != label]
    assert len(wrong) <= 4, wrong
    plainest = ["I love it", "I love it.", "Loved it.", "This is great"]
    assert not set(plainest) & set(wrong), json.dumps(wrong)
