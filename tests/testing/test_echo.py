"""The model that plugin tests use behaves as a real one does towards a task."""

from __future__ import annotations

import pytest

from nlpsuite import Completion, Message, Prompt, Record
from nlpsuite.errors import InputTooLongError
from nlpsuite.plugins import load_task
from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.testing import EchoModel


def ask(text: str = "a b", **fields: object) -> Prompt:
    return Prompt(messages=(Message("user", text),), **fields)  # type: ignore[arg-type]


def test_it_says_its_replies_in_order_and_repeats_the_last() -> None:
    model = EchoModel(["one", "two"])
    assert [c.text for c in model.complete([ask(), ask(), ask()])] == ["one", "two", "two"]
    assert model.prompts == [ask()] * 3


def test_without_replies_it_repeats_the_prompt() -> None:
    assert [c.text for c in EchoModel().complete([ask("x y"), Prompt(text="z")])] == ["x y", "z"]
    assert EchoModel(lambda prompt: prompt.text.upper()).complete([Prompt(text="z")])[0].text == "Z"


def test_a_completion_begins_with_the_prefill_and_ends_at_a_stop() -> None:
    [completion] = EchoModel(["one\ntwo"]).complete([ask(prefill="- ", stop=("\n",))])
    assert (completion.text, completion.finish_reason) == ("- one", "stop")
    [completion] = EchoModel(["one two three"]).complete([ask(max_tokens=2)])
    assert (completion.text, completion.finish_reason, completion.completion_tokens) == (
        "one two",
        "length",
        2,
    )


def test_its_pieces_join_to_the_text() -> None:
    events = list(EchoModel(["one two"]).stream([ask(prefill="- ")]))
    assert "".join(event for _, event in events if isinstance(event, str)) == "- one two"
    assert isinstance(events[-1][1], Completion)


def test_a_reply_names_a_choice() -> None:
    prompt = ask(choices=(" yes", " no"), calibration=(Prompt(text="?"),))
    [completion] = EchoModel(["No"]).complete([prompt])
    assert completion.text == " no" and completion.logprobs[1] > completion.logprobs[0]
    assert len(completion.calibration_logprobs) == 2
    assert EchoModel(["perhaps"]).complete([prompt])[0].text == " yes"


def test_a_long_prompt_is_refused() -> None:
    with pytest.raises(InputTooLongError, match="12 tokens; the model's context is 10"):
        EchoModel(context_length=10).complete([ask("a b c d e f g")])


def test_bundled_tasks_run_on_it() -> None:
    assert Pipeline(load_task("sentiment"), EchoModel(["negative"]))("Bad.").label == "negative"
    model = EchoModel(["One."], context_length=600)
    result = Pipeline(load_task("summarize"), model, method="instruct").run(
        Record("A ferry left the island. " * 100)
    )
    assert result.output.text == "One." and result.parts == len(model.prompts) > 2


def test_it_brings_an_adapters_options() -> None:
    adapter = {"task": "summarize", "task_version": "2", "options": {"length": "short"}}
    pipeline = Pipeline(load_task("summarize"), EchoModel(adapter=adapter))
    assert pipeline.options.length == "short" and not pipeline.notices
