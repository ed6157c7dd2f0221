"""A user's own prompt: what a template means, and that a text is never read as one."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite import Message, Prompt, Record
from nlpsuite.errors import InputInvalidError, InputNotFoundError, NlpsuiteError, OptionError
from nlpsuite.options import make_options
from nlpsuite.plugins import load_task
from nlpsuite.tasks.override import PromptOverride
from nlpsuite.tasks.template import PromptTemplate

CHAT = """\
--- system ---
You answer in a {length} way.
--- user ---
Say it in other words:

{text}
"""


def prompt_of(task: str, template: str, record: Record | str = "The sea.", **options: Any) -> Prompt:
    loaded = load_task(task)
    override = PromptOverride.read(loaded, prompt_template=template)
    record = record if isinstance(record, Record) else Record(record)
    return override.prompt(
        loaded, record, make_options(loaded.options, {**override.options(loaded), **options})
    )


def own_prompt(task: str, text: str = "The sea.", **options: Any) -> Prompt:
    loaded = load_task(task)
    return loaded.prompt(Record(text), make_options(loaded.options, {**loaded.template_options, **options}))


def test_sections_make_a_conversation() -> None:
    prompt = prompt_of("summarize", CHAT, length="short")
    assert prompt.messages == (
        Message("system", "You answer in a short way."),
        Message("user", "Say it in other words:\n\nThe sea."),
    )


@pytest.mark.parametrize("task", ["summarize", "sentiment", "complete", "translate"])
def test_what_is_not_the_text_stays_the_tasks_own(task: str) -> None:
    own, changed = own_prompt(task), prompt_of(task, "--- user ---\nOn {text}")
    for name in ("choices", "stop", "max_tokens", "sentence_end_after", "sampling", "prefill"):
        assert getattr(changed, name) == getattr(own, name), name


def test_without_sections_the_form_is_the_tasks_own() -> None:
    assert prompt_of("summarize", "Shorten: {text}\n").messages == (Message("user", "Shorten: The sea."),)
    plain = prompt_of("sentiment", "{text} It was\n")
    assert plain.text == "The sea. It was" and not plain.messages


def test_plain_text_can_be_asked_for() -> None:
    prompt = prompt_of("summarize", "--- text ---\n{text}\n\nTL;DR:\n")
    assert prompt.text == "The sea.\n\nTL;DR:" and not prompt.messages


def test_a_last_assistant_section_begins_the_answer() -> None:
    prompt = prompt_of("summarize", "--- user ---\n{text}\n--- assistant ---\nIn short:\n", style="bullets")
    assert prompt.prefill == "In short:"
    assert prompt.messages == (Message("user", "The sea."),)
    assert prompt_of("summarize", "--- user ---\n{text}", style="bullets").prefill == "-"


def test_fixed_turns_and_a_history() -> None:
    history = (Message("user", "Hi."), Message("assistant", "Hello."))
    template = "--- system ---\nS\n--- user ---\nQ\n--- assistant ---\nA\n--- user ---\n{text}"
    prompt = prompt_of("chat", template, Record("Why?", history))
    assert [m.content for m in prompt.messages] == ["S", "Q", "A", "Hi.", "Hello.", "Why?"]
    own = (Message("system", "Mine"), *history)
    assert [m.content for m in prompt_of("chat", template, Record("Why?", own)).messages] == [
        "Mine", "Q", "A", "Hi.", "Hello.", "Why?"
    ]  # fmt: skip


def test_priors_stand_in_the_same_frame() -> None:
    prompt = prompt_of("sentiment", "Film: {text}\nIt was")
    assert prompt.text == "Film: The sea.\nIt was"
    assert [prior.text for prior in prompt.calibration_prompts()][:2] == [
        "Film: It was okay.\nIt was",
        "Film: N/A\nIt was",
    ]
    assert all(prior.choices == prompt.choices for prior in prompt.calibration_prompts())
    assert prompt_of("sentiment", "Film: {text}\nIt was", calibrate=False).calibration == ()


def test_doubled_braces_and_other_braces_are_text() -> None:
    template = 'Give {"summary": {"a": 1}} or {{text}} or {} or { text } for {text}'
    [message] = prompt_of("summarize", template).messages
    assert message.content == 'Give {"summary": {"a": 1}} or {text} or {} or { text } for The sea.'


def test_options_as_placeholders() -> None:
    prompt = prompt_of("translate", "{from} to {to}, {from_}, {plain}: {text}", to="French")
    assert prompt.messages[0].content == "English to French, English, false: The sea."
    with pytest.raises(OptionError, match="has no value"):
        prompt_of("summarize", "{max_tokens} {text}")
    assert "9" in prompt_of("summarize", "{max_tokens} {text}", max_tokens=9).messages[0].content


@pytest.mark.parametrize(
    "template, problem",
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("Sum it up.", "has no {text}"),
        ("{{text}}", "has no {text}"),
        ("{text} {lenght}", "no option for the placeholder {lenght}"),
        ("{text} {shots}", "{shots} must occur"),
        ("{shots}{shots}{text}", "{shots} must occur"),
        ("--- system ---\n{shots}\n--- user ---\n{text}", "{shots} must occur"),
        ("Hello\n--- user ---\n{text}", "before its first section"),
        ("--- usr ---\n{text}", "unknown section --- usr ---"),
        ("--- system ---\n{text}", "in the order system"),
        ("--- user ---\n{text}\n--- user ---\nx", "in the order user, user"),
        ("--- user ---\n{text}\n--- system ---\nx", "in the order user, system"),
        ("--- assistant ---\n{text}", "in the order assistant"),
        ("--- text ---\n{text}\n--- user ---\nx", "in the order text, user"),
    ],
)
def test_faults_of_a_template(template: str, problem: str) -> None:
    with pytest.raises(InputInvalidError) as caught:
        PromptOverride.read(load_task("summarize"), prompt_template=template)
    assert problem in caught.value.message
    assert caught.value.hint


def test_a_mistyped_placeholder_gets_a_suggestion() -> None:
    with pytest.raises(InputInvalidError, match="Did you mean {length}"):
        PromptOverride.read(load_task("summarize"), prompt_template="{lenght} {text}")


def test_plain_text_has_no_place_for_a_conversation() -> None:
    with pytest.raises(InputInvalidError, match="no place for the turns"):
        PromptOverride.read(load_task("chat"), prompt_template="--- text ---\n{text}")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_bytes(b"\xef\xbb\xbf--- user ---\r\nOn {text}\r\n")
    summarize = load_task("summarize")
    override = PromptOverride.read(summarize, prompt_file=path)
    assert override.report == {
        "prompt_file": {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    }
    assert override.prompt(summarize, Record("a"), summarize.options()).messages == (Message("user", "On a"),)
    with pytest.raises(InputNotFoundError, match="no file"):
        PromptOverride.read(load_task("summarize"), prompt_file=tmp_path / "nothing")
    with pytest.raises(InputNotFoundError, match="is a directory"):
        PromptOverride.read(load_task("summarize"), prompt_file=tmp_path)
    path.write_bytes(b"caf\xe9 {text}")
    with pytest.raises(InputInvalidError, match="byte 0xe9 at offset 3"):
        PromptOverride.read(load_task("summarize"), prompt_file=path)
    with pytest.raises(OptionError, match="both given"):
        PromptOverride.read(load_task("summarize"), prompt_file=path, prompt_template="{text}")


def test_the_templates_of_the_docs() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "prompts.md").read_text()
    blocks = re.findall(r"^```text\n(.*?)^```$", docs, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    headline, films = (PromptTemplate.parse(block) for block in blocks)
    headline.check(load_task("summarize"))
    films.check(load_task("sentiment"))
    assert [section.role for section in headline.sections] == ["system", "user"] and films.takes_shots


# A text is never read as part of a template.

PIECES = st.sampled_from(
    ["{text}", "{shots}", "{length}", "{{text}}", "--- user ---", "--- system ---", "\n", "{", "}", "a", " "]
)
TEXTS = st.lists(PIECES | st.text(st.characters(exclude_categories=["Cs"]), max_size=3), max_size=8).map(
    "".join
)


@given(TEXTS)
def test_a_text_is_put_in_as_it_stands(text: str) -> None:
    prompt = prompt_of("summarize", CHAT.replace("{text}", "<{text}>"), text)
    assert [m.role for m in prompt.messages] == ["system", "user"]
    assert prompt.messages[1].content == f"Say it in other words:\n\n<{text.strip()}>"


@given(TEXTS, TEXTS)
def test_an_option_is_put_in_as_it_stands(text: str, system: str) -> None:
    prompt = prompt_of("chat", "--- user ---\n[{system}|{text}|{system}]", text, system=system)
    assert prompt.messages == (Message("user", f"[{system}|{text.strip()}|{system}]"),)


@given(TEXTS)
def test_any_template_is_a_template_or_a_clear_error(template: str) -> None:
    try:
        parsed = PromptTemplate.parse(template)
    except InputInvalidError as error:
        assert error.message.startswith("The prompt template")
        return
    assert any("text" in section.names for section in parsed.sections)
    try:
        parsed.check(load_task("summarize"))
    except NlpsuiteError:
        return
    assert prompt_of("summarize", template)
