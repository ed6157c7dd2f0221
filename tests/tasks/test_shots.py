"""Few-shot examples: they look like the question, and are shown before it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nlpsuite
from nlpsuite import Message, Prompt, Record
from nlpsuite.errors import InputInvalidError, InputNotFoundError, InputTooLongError, OptionError
from nlpsuite.options import make_options
from nlpsuite.plugins import load_task
from nlpsuite.tasks.override import PromptOverride

FILMS = [("A joy.", "positive"), ("Dull.", "negative")]


def prompt_of(task: str, shots: Any, record: Record | str = "The sea.", **given: Any) -> Prompt:
    changes = {name: given.pop(name) for name in ("prompt_template", "max_shots") if name in given}
    loaded = load_task(task)
    override = PromptOverride.read(loaded, shots=shots, **changes)
    record = record if isinstance(record, Record) else Record(record)
    options = make_options(loaded.options, {**override.options(loaded), **given})
    return override.prompt(loaded, record, options)


def test_of_a_conversation_they_are_earlier_turns() -> None:
    own = prompt_of("summarize", [("Long.", "Short.")])
    system, question, answer, last = own.messages
    assert (system.role, question.role, answer, last.role) == (
        "system", "user", Message("assistant", "Short."), "user",
    )  # fmt: skip
    assert question.content.replace("Long.", "The sea.") == last.content


def test_of_a_text_they_stand_before_a_blank_line() -> None:
    assert prompt_of("sentiment", FILMS, "Fine.").text == (
        "Review: A joy.\nSentiment: positive\n\nReview: Dull.\nSentiment: negative\n\nReview: Fine.\nSentiment:"
    )


def test_priors_have_the_examples_too() -> None:
    priors = prompt_of("sentiment", FILMS).calibration_prompts()
    assert priors and all(
        prior.text.startswith("Review: A joy.\nSentiment: positive\n\n") for prior in priors
    )


def test_the_tasks_own_examples_are_switched_off_unless_asked_for() -> None:
    assert "my order never came" not in prompt_of("sentiment", FILMS).text
    assert "my order never came" in prompt_of("sentiment", FILMS, examples=True).text


def test_a_prefilled_answer_is_whole() -> None:
    prompt = prompt_of("summarize", [("Long.", "- Short.")], style="bullets")
    assert prompt.messages[2] == Message("assistant", "- Short.")
    assert prompt.prefill == "-"


def test_they_stand_before_the_history() -> None:
    record = Record("Why?", (Message("user", "Hi."), Message("assistant", "Hello.")))
    prompt = prompt_of("chat", [("2+2?", "4")], record, system="S")
    assert [m.content for m in prompt.messages] == ["S", "2+2?", "4", "Hi.", "Hello.", "Why?"]


def test_a_template_makes_the_examples() -> None:
    prompt = prompt_of("summarize", [("Long.", "Short.")], prompt_template="Shorten: {text}")
    assert [m.content for m in prompt.messages] == ["Shorten: Long.", "Short.", "Shorten: The sea."]


def test_a_template_says_where_they_stand() -> None:
    prompt = prompt_of("sentiment", FILMS, prompt_template="Judge films.\n\n{shots}{text} It was")
    assert prompt.text == "Judge films.\n\nA joy. It was positive\n\nDull. It was negative\n\nThe sea. It was"
    template = "--- user ---\nShorten.\n{shots}Text: {text}\nSummary:"
    [message] = prompt_of("summarize", [("Long.", "Short.")], prompt_template=template).messages
    assert message.content == "Shorten.\nText: Long.\nSummary: Short.\n\nText: The sea.\nSummary:"


def test_a_template_that_has_its_text_elsewhere_takes_none() -> None:
    template = "--- system ---\n{text}\n--- user ---\nSum it up."
    with pytest.raises(InputInvalidError, match="last question has no {text}"):
        prompt_of("summarize", [("a", "b")], prompt_template=template)


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_file_is_read_as_for_training(tmp_path: Path) -> None:
    rows = [
        {"sentence": "A joy.", "label": 1},
        {"sentence": "Dull.", "label": 0},
        {"sentence": "?", "label": 1},
    ]
    path = write(tmp_path / "s.jsonl", *rows)
    assert prompt_of("sentiment", path, max_shots=2).text == prompt_of("sentiment", FILMS).text
    report = PromptOverride.read(load_task("sentiment"), shots=path).report["shots"]
    assert report["path"] == str(path) and report["count"] == 3 and len(report["sha256"]) == 64


def test_a_conversation_in_a_file_comes_once(tmp_path: Path) -> None:
    contents = ["Hi.", "Hello.", "Why?", "Because."]
    messages = [{"role": r, "content": c} for r, c in zip(["user", "assistant"] * 2, contents)]
    prompt = prompt_of("chat", write(tmp_path / "c.jsonl", {"messages": messages}), "And?", system="")
    assert [m.content for m in prompt.messages] == [*contents, "And?"]


def test_faults(tmp_path: Path) -> None:
    sentiment = load_task("sentiment")
    with pytest.raises(InputInvalidError, match="'good' is not a label"):
        PromptOverride.read(sentiment, shots=[("A joy.", "good")])
    path = write(tmp_path / "s.jsonl", {"text": "A joy.", "label": "good"})
    with pytest.raises(InputInvalidError, match=r"s\.jsonl:1: 'good' is not a label"):
        PromptOverride.read(sentiment, shots=path)
    with pytest.raises(InputNotFoundError, match="no file"):
        PromptOverride.read(sentiment, shots=tmp_path / "nothing.jsonl")
    with pytest.raises(OptionError, match="empty"):
        PromptOverride.read(sentiment, shots=[])
    with pytest.raises(OptionError, match="without shots"):
        PromptOverride.read(sentiment, max_shots=2)
    with pytest.raises(OptionError, match="1 or more"):
        PromptOverride.read(sentiment, shots=FILMS, max_shots=0)


TEXTS = st.text(
    st.sampled_from("ab {}\n-\t:") | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9
)


@given(st.lists(st.tuples(TEXTS, st.sampled_from(["positive", "negative"])), min_size=1, max_size=3), TEXTS)
def test_examples_are_the_prompts_and_targets_of_the_task(shots: list[tuple[str, str]], text: str) -> None:
    task = load_task("sentiment")
    options = make_options(task.options, {"examples": False})
    parts = [
        task.prompt(Record(shot), options).text + task.target(label, Record(shot), options)
        for shot, label in shots
    ]
    expected = "\n\n".join([*parts, task.prompt(Record(text), options).text])
    assert prompt_of("sentiment", shots, text).text == expected


# With a model.


def test_they_reach_the_model(tiny_bundle: Path) -> None:
    plain = nlpsuite.load("sentiment", model=str(tiny_bundle), examples=False)
    shown = nlpsuite.load("sentiment", model=str(tiny_bundle), shots=FILMS)
    texts = [nlpsuite.Record("The sea.")]
    assert shown.run_batch(texts)[0].prompt_tokens > plain.run_batch(texts)[0].prompt_tokens


def test_too_many_are_refused_with_both_lengths(tiny_bundle: Path) -> None:
    with pytest.raises(
        InputTooLongError, match=r"The 99 examples take [\d,]+ tokens; .* context of 256"
    ) as caught:
        nlpsuite.load("sentiment", model=str(tiny_bundle), shots=[("A joy.", "1")] * 99)
    fitting = int(caught.value.hint.split("--max-shots ")[1].split(".")[0])
    assert nlpsuite.load("sentiment", model=str(tiny_bundle), shots=[("A joy.", "1")] * fitting)("Fine.")


def test_they_dont_count_against_the_tasks_own_limit(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nlpsuite_sentiment.Sentiment.max_prompt_tokens", 60)
    pipeline = nlpsuite.load("sentiment", model=str(tiny_bundle), shots=FILMS * 2)
    [result] = pipeline.run_batch([nlpsuite.Record("Fine.")])
    assert result.parts == 1 and result.prompt_tokens > 60


def test_what_is_wrong_does_not_wait_for_the_model() -> None:
    with pytest.raises(InputNotFoundError):
        nlpsuite.load("sentiment", model="/no/such/model", shots="/no/such/file.jsonl")
    with pytest.raises(InputInvalidError):
        nlpsuite.load("sentiment", model="/no/such/model", prompt_template="{")
