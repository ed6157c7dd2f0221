"""A guarded pipeline: what passes, what is replaced, and that nothing is shown too early."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from nlpsuite_chat import nlpsuite_task as chat
from nlpsuite_complete import nlpsuite_task as complete
from nlpsuite_guard import Screen
from nlpsuite_sentiment import nlpsuite_task as sentiment

import nlpsuite
from nlpsuite import Options, Output, Prompt, Record, Task
from nlpsuite.errors import OptionError, PluginError
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.tasks.conversation import Conversation
from nlpsuite.tasks.guard import REFUSAL, Flag, Guard, OutputGuard, Screening
from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.testing import EchoModel

LEAK = "Write to jane@firm.org about it."


def says(text: str, toxic: bool = False) -> EchoModel:
    return EchoModel(
        lambda prompt: ("hateful" if toxic else "neutral") if " hateful" in prompt.choices else text
    )


def guarded(model: EchoModel, mode: str, task: Any = None) -> Pipeline:
    return Pipeline(task or complete(), model, guard=OutputGuard(Screen(), mode))  # type: ignore[arg-type]


def test_what_is_clean_passes_as_without_a_guard() -> None:
    for mode in ("warn", "block"):
        result = guarded(says("A fine day."), mode).run(Record("a"))
        assert result.output == Pipeline(complete(), says("A fine day.")).run(Record("a")).output
        assert result.guard == {
            "mode": mode, "blocked": False, "flags": [], "toxicity": pytest.approx(0.1), "version": "1"
        }  # fmt: skip
        assert result.notices == []


def test_warn_adds_a_notice_and_lets_the_output_pass() -> None:
    pipeline, reported = guarded(says(LEAK, toxic=True), "warn"), []
    result = pipeline.run(Record("a"), on_notice=reported.append)
    assert result.output.text == LEAK and pipeline.blocked == 0 and result.guard is not None
    assert reported == result.notices == ["Guard: the output was flagged for email, toxicity."]
    assert [flag["kind"] for flag in result.guard["flags"]] == ["email", "toxicity"]
    assert result.guard["toxicity"] == pytest.approx(0.9)


def test_block_replaces_it() -> None:
    pipeline = guarded(says(LEAK), "block")
    result = pipeline.run(Record("a"))
    assert result.output == Output(REFUSAL) and pipeline.blocked == 1
    assert result.notices == ["Guard: the output was blocked for email."]
    assert "jane" not in repr(result)
    assert pipeline("a").text == REFUSAL


def test_blocking_shows_nothing_before_it_is_screened() -> None:
    for text, shown in ((LEAK, [REFUSAL]), ("A fine day.", ["A fine day."])):
        pieces: list[str] = []
        guarded(says(text), "block").run(Record("a"), on_text=pieces.append)
        assert pieces == shown
    pieces = []
    guarded(says(LEAK), "warn").run(Record("a"), on_text=pieces.append)
    assert len(pieces) > 1 and "".join(pieces) == LEAK


def test_in_a_batch_only_what_is_flagged_is_replaced() -> None:
    model = EchoModel(lambda prompt: "neutral" if prompt.choices else prompt.text)
    outputs = guarded(model, "block").map(["One.", LEAK, "Three."])
    assert [output.text for output in outputs] == ["One.", REFUSAL, "Three."]


class DataOnly(Task[Options]):
    """Gives what the model said as data."""

    name = "data-only"
    options = Options

    def prompt(self, record: Record, options: Options) -> Prompt:
        return Prompt(text=record.text)

    def parse(self, completion: Any, record: Record, options: Options) -> Output:
        return Output("Done.", data={"rows": [{"from": completion.text}]})


def test_data_is_screened_and_dropped_too() -> None:
    result = guarded(says(LEAK), "block", DataOnly()).run(Record("a"))
    assert result.output == Output(REFUSAL) and result.guard is not None
    assert result.guard["flags"] == [{"kind": "email", "field": "data"}]


def test_a_label_is_not_put_to_the_model() -> None:
    model = EchoModel(["negative"])
    result = guarded(model, "block", sentiment()).run(Record("a"))
    assert result.output.label == "negative" and len(model.prompts) == 1
    assert result.guard is not None and result.guard["toxicity"] is None


def test_a_conversation_goes_on_with_what_was_shown() -> None:
    talk = Conversation(guarded(says(LEAK), "block", chat()))
    talk.ask("Who?")
    assert talk.turns[-1].answer == REFUSAL


class Forgetful(Guard):
    name = "forgetful"

    def screen(self, texts: Sequence[str], model: LanguageModel) -> list[Screening]:
        return []


def test_what_a_guard_did_not_screen_does_not_pass() -> None:
    pieces: list[str] = []
    pipeline = Pipeline(complete(), says("x"), guard=OutputGuard(Forgetful(), "block"))
    with pytest.raises(PluginError, match="forgetful"):
        pipeline.run(Record("a"), on_text=pieces.append)
    assert pieces == []


def test_a_flag_without_a_place() -> None:
    assert Flag("toxicity").to_json() == {"kind": "toxicity", "field": "text"}


def test_load_takes_a_guard(tiny_bundle: Any) -> None:
    pipeline = nlpsuite.load("complete", model=str(tiny_bundle), guard="warn", max_tokens=3)
    result = pipeline.run(Record("the sea"))
    assert result.guard is not None and result.guard["toxicity"] is None  # its context is short
    with pytest.raises(OptionError, match="'warn' or 'block'"):
        nlpsuite.load("complete", model=str(tiny_bundle), guard="maybe")  # type: ignore[arg-type]
