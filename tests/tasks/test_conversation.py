"""What a conversation holds, what of it fits, and its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import nlpsuite
from nlpsuite.errors import (
    InputInvalidError,
    InputNotFoundError,
    InputTooLongError,
    NlpsuiteError,
    StorageError,
)
from nlpsuite.runtime.prompt import Message
from nlpsuite.tasks.conversation import Conversation, Turn
from nlpsuite.tasks.pipeline import Pipeline


@pytest.fixture(scope="module")
def pipeline(tiny_bundle: Path) -> Pipeline:
    """Chat on the tiny model, whose context of 256 tokens is soon full."""
    return nlpsuite.load("chat", model=str(tiny_bundle), max_tokens=8, system="Be brief.")


@pytest.fixture
def seen(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> list[list[Message]]:
    """The messages of every prompt that reaches the model."""
    prompts: list[list[Message]] = []
    stream = pipeline.model.stream

    def spy(asked: Any, *others: Any) -> Any:
        prompts.extend(list(prompt.messages) for prompt in asked)
        return stream(asked, *others)

    monkeypatch.setattr(pipeline.model, "stream", spy)
    return prompts


def contents(messages: list[Message]) -> list[str]:
    return [message.content for message in messages]


def test_turns_are_shown_to_the_model(pipeline: Pipeline, seen: list[list[Message]]) -> None:
    talk = Conversation(pipeline)
    pieces: list[str] = []
    first = talk.ask("the sea", pieces.append).output.text
    assert "".join(pieces) == first
    talk.ask("the man")
    assert contents(seen[1]) == ["Be brief.", "the sea", first, "the man"]
    assert [turn.question for turn in talk.turns] == ["the sea", "the man"]


def test_the_oldest_turns_slide_out_with_a_notice_each_time(
    pipeline: Pipeline, seen: list[list[Message]]
) -> None:
    talk = Conversation(pipeline)
    notices: list[str] = []
    for number in range(12):
        talk.ask(f"{number} the sea and the man", on_notice=notices.append)
        assert seen[-1][0] == Message("system", "Be brief.")
        assert seen[-1][-1].content == f"{number} the sea and the man"
        assert len(seen[-1]) == 2 * (number - talk.hidden) + 2
    assert len(talk.turns) == 12 and talk.hidden > 5
    assert all("no longer sees the oldest" in notice for notice in notices)
    assert 0 < len(notices) <= talk.hidden
    # No more is hidden than must be: one turn more would not fit.
    talk.undo()
    talk.ask("11 the sea and the man")
    assert len(seen[-1]) == len(seen[-2])


def test_a_message_too_long_by_itself_is_refused_and_nothing_is_lost(pipeline: Pipeline) -> None:
    talk = Conversation(pipeline)
    talk.ask("the sea")
    before = list(talk.turns)
    with pytest.raises(InputTooLongError, match="chat takes 248"):
        talk.ask("the sea " * 200)
    assert talk.turns == before and talk.hidden == 0


def test_an_interrupted_answer_is_no_turn(pipeline: Pipeline) -> None:
    talk = Conversation(pipeline)

    def interrupt(text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        talk.ask("the sea", interrupt)
    assert talk.turns == []
    talk.ask("the sea")
    before = list(talk.turns)
    with pytest.raises(KeyboardInterrupt):
        talk.retry(interrupt)
    assert talk.turns == before


def test_retry_draws_differently(tiny_bundle: Path, seen: list[list[Message]], pipeline: Pipeline) -> None:
    talk = Conversation(pipeline)
    talk.options = {"temperature": 5.0}
    answers = {talk.ask("the sea").output.text}
    answers |= {talk.retry().output.text for _ in range(3)}
    assert len(answers) > 2
    assert len(talk.turns) == 1 and talk.turns[0].answer in answers
    assert all(contents(messages) == ["Be brief.", "the sea"] for messages in seen)


def test_undo_and_clear(pipeline: Pipeline, seen: list[list[Message]]) -> None:
    talk = Conversation(pipeline)
    talk.ask("one")
    talk.ask("two")
    assert talk.undo().question == "two"
    assert [turn.question for turn in talk.turns] == ["one"]
    talk.system = "Be rude."
    talk.clear()
    talk.ask("three")
    assert contents(seen[-1]) == ["Be rude.", "three"]
    talk.clear()
    for nothing in (talk.undo, talk.retry):
        with pytest.raises(InputInvalidError, match="Nothing has been said"):
            nothing()


def test_instructions_can_be_taken_away(pipeline: Pipeline, seen: list[list[Message]]) -> None:
    talk = Conversation(pipeline)
    assert talk.system == "Be brief."
    talk.system = ""
    talk.ask("one")
    assert contents(seen[-1]) == ["one"]
    with pytest.raises(InputInvalidError, match="lone surrogate"):
        talk.system = "\ud800"


def test_what_is_saved_can_be_loaded(pipeline: Pipeline, tmp_path: Path) -> None:
    talk = Conversation(pipeline)
    talk.system = "Be rude."
    talk.options = {"temperature": 0.0}
    talk.ask("the sea")
    talk.ask("the “man”\n😀")
    talk.save(tmp_path / "talk.json")
    content = json.loads((tmp_path / "talk.json").read_text())
    assert content["messages"][0] == {"role": "system", "content": "Be rude."}
    assert content["model"]["name"] == pipeline.model.bundle.name
    assert content["options"]["max_tokens"] == 8 and "system" not in content["options"]

    other = Conversation(pipeline)
    assert other.load(tmp_path / "talk.json") == ["Its options apply from here: temperature=0.0."]
    assert (other.turns, other.system) == (talk.turns, "Be rude.")
    assert other.ask("and now").output.text == talk.ask("and now").output.text


def test_saving_replaces_nothing_unasked(pipeline: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    path.write_text("mine")
    talk = Conversation(pipeline)
    with pytest.raises(StorageError, match="exists") as caught:
        talk.save(path)
    assert "/save!" in caught.value.hint and path.read_text() == "mine"
    talk.save(path, overwrite=True)
    assert json.loads(path.read_text())["format"] == "nlpsuite-conversation"
    assert [p.name for p in tmp_path.iterdir()] == ["talk.json"]
    with pytest.raises(StorageError, match="is a directory"):
        talk.save(tmp_path, overwrite=True)
    with pytest.raises(StorageError):
        talk.save(tmp_path / "none" / "talk.json")


GOOD: dict[str, Any] = {
    "format": "nlpsuite-conversation",
    "version": 1,
    "task": "chat",
    "model": {"name": "elsewhere", "fingerprint": "0"},
    "options": {"max_tokens": 9},
    "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
}


def test_a_conversation_with_another_model_goes_on_with_a_notice(pipeline: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    path.write_text(json.dumps(GOOD))
    talk = Conversation(pipeline)
    model, options = talk.load(path)
    assert "held with elsewhere" in model and "max_tokens=9" in options
    assert (talk.turns, talk.system) == ([Turn("a", "b")], "")


USER = {"role": "user", "content": "a"}
DAMAGED: list[tuple[str | dict[str, Any], str]] = [
    ("", "not JSON"),
    (json.dumps(GOOD)[:-20], "not JSON"),
    ("[" * 100_000, "not JSON"),
    ("[]", "not a saved conversation"),
    ('{"messages": []}', "not a saved conversation"),
    ({"version": 2}, "version 2"),
    ({"task": "summarize"}, "with summarize, not with chat"),
    ({"options": {"max_tokens": "many"}}, "damaged: max_tokens is 'many'"),
    ({"options": {"colour": "red"}}, "no option 'colour'"),
    ({"options": []}, "'options' is missing"),
    ({"model": None}, "'model' is missing"),
    ({"messages": [7]}, "message 1 has no role"),
    ({"messages": [USER]}, "questions and answers"),
    ({"messages": [USER, USER]}, "questions and answers"),
    ({"messages": [USER, {"role": "assistant", "content": None}]}, "message 2 has no role"),
    ({"messages": [{"role": "user", "content": "\ud800"}, USER]}, "lone surrogate"),
]


@pytest.mark.parametrize("content, message", DAMAGED)
def test_a_file_that_can_not_be_used_leaves_the_conversation(
    pipeline: Pipeline, tmp_path: Path, content: str | dict[str, Any], message: str
) -> None:
    path = tmp_path / "talk.json"
    path.write_text(content if isinstance(content, str) else json.dumps({**GOOD, **content}))
    talk = Conversation(pipeline)
    talk.system = "Be rude."
    talk.ask("the sea")
    before = (list(talk.turns), talk.system, dict(talk.options))
    with pytest.raises(InputInvalidError, match=message):
        talk.load(path)
    assert (talk.turns, talk.system, talk.options) == before


def test_a_missing_file(pipeline: Pipeline, tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(InputNotFoundError):
            Conversation(pipeline).load(path)


@pytest.mark.parametrize("options", [{"temperature": -1.0}, {"max_tokens": 0}])
def test_options_out_of_range_are_an_error_when_used(
    pipeline: Pipeline, tmp_path: Path, options: dict[str, Any]
) -> None:
    path = tmp_path / "talk.json"
    path.write_text(json.dumps({**GOOD, "options": options}))
    talk = Conversation(pipeline)
    with pytest.raises(NlpsuiteError):
        talk.load(path)
        talk.ask("the sea")
