"""Every bundled task over its public contract."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.data.record import Record
from nlpsuite.errors import InputInvalidError
from nlpsuite.options import make_options, option_specs
from nlpsuite.plugins import load_task
from nlpsuite.runtime.prompt import Completion, Message, Prompt
from nlpsuite.tasks.base import Task
from nlpsuite.tasks.long_text import Part
from nlpsuite.tasks.result import Output

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


# What an adapter is trained on.


def adapted(name: str, **given: Any) -> tuple[Task[Any], Any]:
    """A task and the options that an adapter of it is trained with."""
    task = load_task(name)
    return task, make_options(task.options, {**task.adapter_options, **given})


def lesson(name: str, text: str, reference: str, **given: Any) -> tuple[Prompt, str]:
    task, options = adapted(name, **given)
    record = Record(text)
    return task.prompt(record, options), task.target(reference, record, options)


@pytest.mark.parametrize("name", TASKS)
@given(text=VALID, reference=VALID.filter(str.strip))
def test_learning_the_target_gives_the_reference(name: str, text: str, reference: str) -> None:
    task, options = adapted(name)
    record = Record(text)
    if task.labels:
        reference = "positive"
    prompt = task.prompt(record, options)
    target = task.target(reference, record, options)
    scores = tuple(0.0 if choice == target else -9.0 for choice in prompt.choices)
    output = task.parse(Completion(prompt.prefill + target, "stop", 1, logprobs=scores), record, options)
    if task.labels:
        assert output.label == reference
    else:
        assert output.text.split() == reference.split()
    assert not any(stop in target for stop in prompt.stop if stop not in reference)


@pytest.mark.parametrize("name", TASKS)
def test_perfect_output_scores_perfectly(name: str) -> None:
    task, options = adapted(name)
    references = ["negative", "1"] if task.labels else ["One two three four.", "A b c d e."]
    outputs = [Output(text, task.reference(text)) for text in references]
    figures = task.evaluate(outputs, references, options)
    assert all(
        value == pytest.approx(100 if key in ("bleu", "chrf") else 1) for key, value in figures.items()
    )
    worse = task.evaluate([outputs[0], Output("zzz", "zzz")], references, options)
    assert all(0 <= worse[key] < value for key, value in figures.items())
    with pytest.raises(InputInvalidError, match="2 outputs and 1 references"):
        task.evaluate(outputs, references[:1], options)


def test_figures_of_each_task() -> None:
    named = {
        name: set(task.evaluate([Output("a", "negative")], ["0" if task.labels else "a"], options))
        for name in TASKS
        for task, options in [adapted(name)]
    }
    assert named == {
        "chat": {"exact_match", "chrf"},
        "complete": {"exact_match", "chrf"},
        "sentiment": {"accuracy", "macro_f1"},
        "summarize": {"rouge_l", "chrf"},
        "translate": {"bleu", "chrf"},
    }


def test_sentiment_learns_a_label_after_a_plain_prompt() -> None:
    prompt, target = lesson("sentiment", " fine \n", "1")
    assert (prompt.text, target, prompt.calibration) == ("Review: fine\nSentiment:", " positive", ())
    assert target in prompt.choices
    assert lesson("sentiment", "x", "NEGATIVE")[1] == " negative"
    with pytest.raises(InputInvalidError, match="'neutral' is not a label") as caught:
        lesson("sentiment", "x", "neutral")
    assert "negative, positive" in str(caught.value)
    shown = load_task("sentiment").prompt(Record("fine"), make_options(load_task("sentiment").options, {}))
    assert shown.text.endswith("\n\nReview: fine\nSentiment:") and len(shown.calibration) == 4


def test_translate_learns_a_line_after_a_line() -> None:
    prompt, target = lesson("translate", "A dog.\n\nA cat.", " Un chien.\nUn chat.\n", to="French")
    assert (prompt.text, target) == ("English: A dog. A cat.\nFrench:", " Un chien. Un chat.")
    assert prompt.stop == ("\n",) and prompt.sampling.repetition_penalty == 1
    chat, target = lesson("translate", "A dog.", " Ein Hund. ", plain=False)
    assert chat.messages and target == "Ein Hund."


def test_summarize_learns_a_line_or_points() -> None:
    prompt, target = lesson("summarize", "Long\ntext.", "Short\ntext.")
    assert (prompt.text, target, prompt.stop) == (
        "Text: Long text.\nDetailed summary:",
        " Short text.",
        ("\n",),
    )
    prompt, target = lesson("summarize", "Long.", "- a\n- b", style="bullets")
    assert prompt.text + prompt.prefill + target == "Text: Long.\nDetailed summary: - a\n- b"
    prompt, target = lesson("summarize", "Long.", "- a\n- b", style="bullets", method="instruct")
    assert prompt.prefill + target == "- a\n- b"
    assert lesson("summarize", "Long.", "a", style="bullets", method="instruct")[1] == " a"


def test_complete_learns_white_space() -> None:
    assert lesson("complete", "def f():\n", "    return 1\n")[1] == "    return 1\n"
    assert lesson("complete", "def", " f")[1] == " f"


def test_a_conversation_may_bring_its_own_instructions() -> None:
    task, options = adapted("chat")
    own = task.prompt(Record("a", (Message("system", "Be rude."),)), options)
    assert [message.content for message in own.messages] == ["Be rude.", "a"]
    usual = task.prompt(Record("a"), options)
    assert [message.role for message in usual.messages] == ["system", "user"]


@pytest.mark.parametrize("name", TASKS)
def test_adapter_options_are_options(name: str) -> None:
    task, options = adapted(name)
    assert json.loads(json.dumps(dict(task.adapter_options))) == task.adapter_options
    assert all(getattr(options, key) == value for key, value in task.adapter_options.items())
