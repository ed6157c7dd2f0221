"""Every bundled task over its public contract."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.plugins import load_task
from nlpsuite.runtime.prompt import Completion
from nlpsuite.tasks.base import Output, Record
from nlpsuite.tasks.long_text import Part
from nlpsuite.tasks.options import make_options, option_specs

TASKS = ["chat", "complete", "sentiment", "summarize", "translate"]
VALID = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize("name", TASKS)
@given(text=VALID, answer=VALID, scores=st.tuples(st.floats(-1000, 0), st.floats(-1000, 0)))
def test_contract(name: str, text: str, answer: str, scores: tuple[float, float]) -> None:
    task = load_task(name)
    options = make_options(task.options, {})
    record = Record(text)
    prompt = task.prompt(record, options)
    assert prompt == task.prompt(record, options)
    logprobs = scores if prompt.choices else ()
    output = task.parse(Completion(answer, "stop", 1, logprobs=logprobs), record, options)
    json.dumps(
        [output.text, output.label, dict(output.probabilities or {}), dict(output.data)], allow_nan=False
    )
    if output.probabilities:
        assert sum(output.probabilities.values()) == pytest.approx(1)


@pytest.mark.parametrize("name", TASKS)
def test_options_have_help(name: str) -> None:
    assert all(spec.help for spec in option_specs(load_task(name).options))


def test_sentiment_weighs_parts_by_length() -> None:
    task = load_task("sentiment")
    outputs = [
        Output("", "", {"positive": 1.0, "negative": 0.0}),
        Output("", "", {"positive": 0.0, "negative": 1.0}),
    ]
    joined = task.join(outputs, [Part("aaa"), Part("b")], make_options(task.options, {}))
    assert joined.probabilities == pytest.approx({"positive": 0.75, "negative": 0.25})
