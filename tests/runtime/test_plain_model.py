"""The plain model answers as the runtime does, and shows its work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nlpsuite.errors import InputTooLongError
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.plain_model import PlainModel
from nlpsuite.runtime.prompt import Message, Prompt, Sampling

PROMPTS = [
    Prompt(text="the cat on the", max_tokens=12),
    Prompt(text="the cat on the ", max_tokens=12),  # token healing
    Prompt(messages=(Message("user", "Is it 7 or 3.5?"),), max_tokens=20, numbers_of="7 or 3.5"),
    Prompt(
        text="a man and a man and",
        max_tokens=20,
        sampling=Sampling(repetition_penalty=1.3, copy_bias=4.0),
        stop=("e",),
    ),
    Prompt(
        text="It was", choices=(" good", " the worst"), calibration=(Prompt(text="N/A"), Prompt(text="So"))
    ),
    Prompt(text="", choices=("yes", "no")),
]


@pytest.fixture(scope="module")
def model(tiny_bundle: Path) -> PlainModel:
    return PlainModel.open(Bundle.open(tiny_bundle))


def test_it_answers_as_the_runtime_does(model: PlainModel, tiny_bundle: Path) -> None:
    runtime = LanguageModel.load(tiny_bundle, device="cpu", threads=1)
    for prompt, expected in zip(PROMPTS, runtime.complete(PROMPTS)):
        trace = model.trace(prompt)
        found = trace.completion
        assert (found.text, found.finish_reason) == (expected.text, expected.finish_reason)
        assert found.completion_tokens == expected.completion_tokens == len(trace.ids)
        assert found.logprobs == pytest.approx(expected.logprobs, abs=1e-3)
        assert found.calibration_logprobs == pytest.approx(expected.calibration_logprobs, abs=1e-3)


def test_its_work_can_be_repeated(model: PlainModel) -> None:
    trace = model.trace(PROMPTS[0])
    ended = trace.completion.finish_reason == "stop"
    assert len(trace.margins) == len(trace.ids) + ended
    assert list(trace.prompt_ids) == model.tokenizer.encode_prompt(PROMPTS[0])
    model.reader.restart()
    logits = model.reader.read([*trace.prompt_ids, *trace.ids])[len(trace.prompt_ids) - 1 :]
    assert logits.argmax(axis=1)[: len(trace.ids)].tolist() == list(trace.ids)
    ranked = np.sort(logits, axis=1)
    margins = (ranked[:, -1] - ranked[:, -2])[: len(trace.margins)]
    assert list(trace.margins) == pytest.approx(margins.tolist(), abs=1e-2)


def test_margins_count_penalties(model: PlainModel) -> None:
    trace = model.trace(Prompt(text="a man", max_tokens=20, sampling=Sampling(repetition_penalty=5.0)))
    model.reader.restart()
    logits = model.reader.read([*trace.prompt_ids, *trace.ids])[len(trace.prompt_ids) - 1 :]
    for i, (row, margin) in enumerate(zip(logits, trace.margins)):
        seen = list(set(trace.ids[:i]))
        row[seen] = np.where(row[seen] > 0, row[seen] / 5, row[seen] * 5)
        second, first = np.sort(row)[-2:]
        assert margin == pytest.approx(first - second, abs=1e-2)


def test_a_prompt_that_is_too_long(model: PlainModel) -> None:
    for prompt in (Prompt(text="a b " * 400), Prompt(text="a b " * 400, choices=(" yes", " no"))):
        with pytest.raises(InputTooLongError):
            model.trace(prompt)
