"""Prompts for capable models: which models get them, and what the bundled tasks change."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from nlpsuite.export.build import build_bundle
from nlpsuite.models.checkpoint import Checkpoint
from nlpsuite.plugins import load_task
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.tasks.capability import CAPABLE_PARAMETERS, is_capable
from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.testing import EchoModel

ENTRY = {"sha256": "0" * 64, "bytes": 1}
TEXT = (
    "The council of Skarn decided on Monday to close the outdoor pool. It was built in 1962 and has lost money "
    "for years. Many people protested against the decision in front of the town hall."
)


def capable(parameters: int = 1_500_000_000, **changes: Any) -> EchoModel:
    model = EchoModel(["A text."])
    model.bundle = dataclasses.replace(
        model.bundle, parameters=parameters, files={"chat_template.jinja": ENTRY}, **changes
    )
    return model


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({}, True),
        ({"parameters": 999_885_952}, True),  # Gemma 3 1B
        ({"parameters": 494_032_768}, False),
        ({"files": {}}, False),  # has not learned to answer
        ({"adapter": {"task": "sentiment"}}, False),
        ({"parameters": 0}, False),  # of an earlier version: by its size
        (
            {"parameters": 0, "files": {"chat_template.jinja": ENTRY, "data": {**ENTRY, "bytes": 6 * 10**9}}},
            True,
        ),
    ],
)
def test_which_models_are_capable(changes: dict[str, Any], expected: bool) -> None:
    assert is_capable(dataclasses.replace(capable().bundle, **changes)) is expected


def test_a_bundle_says_how_many_weights_it_has(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    bundle = Bundle.open(build_bundle(tiny_checkpoint, tmp_path / "bundle"))
    assert bundle.parameters == tiny_checkpoint.config.parameter_count() < CAPABLE_PARAMETERS
    assert not is_capable(bundle)


def test_a_capable_model_summarizes_freely() -> None:
    small, large = EchoModel(["A text."]), capable()
    Pipeline(load_task("summarize"), small)(TEXT)
    Pipeline(load_task("summarize"), large)(TEXT)
    assert small.prompts[0].choices  # sentences of the text
    [prompt] = large.prompts
    assert prompt.messages and TEXT in prompt.messages[-1].content
    assert prompt.sampling.copy_bias == 0 and prompt.sampling.repetition_penalty == 1
    assert prompt.numbers_of == TEXT  # still no number of its own


@pytest.mark.parametrize("task", ["translate", "chat"])
def test_a_capable_model_may_repeat_itself(task: str) -> None:
    small, large = EchoModel(["A text."]), capable()
    for model in (small, large):
        Pipeline(load_task(task), model)(TEXT)
    assert small.prompts[0].sampling.repetition_penalty > 1
    assert large.prompts[0].sampling.repetition_penalty == 1
    assert [m.content for m in small.prompts[0].messages] == [m.content for m in large.prompts[0].messages]


def test_a_capable_model_is_asked_about_sentiment() -> None:
    small, large = EchoModel(["positive"]), capable()
    for model in (small, large):
        assert Pipeline(load_task("sentiment"), model)("I love it.").label == "positive"
    assert "Sentiment: negative" in small.prompts[0].text  # an example
    assert not large.prompts[0].text and large.prompts[0].messages[0].content.endswith("\n\nI love it.")
    assert large.prompts[0].choices == ("positive", "negative")


def test_the_users_options_go_first() -> None:
    model = capable()
    pipeline = Pipeline(load_task("summarize"), model, method="extract")
    assert pipeline.options.method == "extract"
    assert Pipeline(load_task("chat"), model, repetition_penalty=1.2).options.repetition_penalty == 1.2


def test_a_capable_model_is_asked_for_a_label() -> None:
    model = capable()
    model._replies = ["billing"]
    given = {"labels": "billing,technical,other", "descriptions": "billing=money and invoices"}
    assert Pipeline(load_task("classify"), model, **given)("I was charged twice.").label == "billing"
    prompt = model.prompts[0]
    assert prompt.choices == ("billing", "technical", "other")
    assert "- billing: money and invoices\n- technical\n" in prompt.messages[0].content
    # Several labels are decided by continuations, whose likelihood without a text is known.
    Pipeline(load_task("classify"), model, **given, multi=True)("I was charged twice.")
    assert model.prompts[-1].text and not model.prompts[-1].messages
