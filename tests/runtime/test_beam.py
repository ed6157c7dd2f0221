"""Beam search: against a search that reads everything anew, against transformers, and among other requests."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import write_tiny_checkpoint

from nlpsuite.errors import OptionError
from nlpsuite.options import GenerationOptions
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.prompt import FinishReason, Prompt, Sampling

TEXTS = ["the cat sat on the", "a red lamp in the storm", "of", "the sea and the storm and the sea and"]


@pytest.fixture(scope="module")
def model(tiny_bundle: Path) -> LanguageModel:
    return LanguageModel.load(tiny_bundle, device="cpu", threads=1)


def prompt(text: str, beams: int, **settings: Any) -> Prompt:
    return Prompt(text=text, sampling=Sampling(beams=beams), **{"max_tokens": 12, **settings})


def logprobs_after(model: LanguageModel, ids: Sequence[int]) -> np.ndarray[Any, Any]:
    """Log-probabilities of every token after ``ids``, which are read from the start."""
    with model.session() as session:
        session.reserve(1, len(ids) + 1)
        logits = session.run(np.array([ids]), np.zeros(1, np.int64), np.array([[len(ids) - 1]]))[0, 0]
    shifted = logits.astype(np.float64) - logits.max()
    return shifted - math.log(np.exp(shifted).sum())


def searched(model: LanguageModel, text: str, beams: int, tokens: int) -> str:
    """The text that a beam search finds, written down as plainly as possible."""
    ids = model.tokenizer.encode_text(text)
    live: list[tuple[float, list[int]]] = [(0.0, [])]
    ended: list[tuple[float, list[int]]] = []
    for length in range(1, tokens + 1):
        found = []
        for logprob, written in live:
            after = logprobs_after(model, [*ids, *written])
            found += [(logprob + after[i], [*written, i]) for i in np.argsort(-after)[: 2 * beams].tolist()]
        found = sorted(found, key=lambda each: -each[0])[: 2 * beams]
        live = []
        for rank, (logprob, written) in enumerate(found):
            if written[-1] in model.bundle.end_token_ids or length == tokens:
                if rank < beams:
                    ended.append((logprob / length, written))
            elif len(live) < beams:
                live.append((logprob, written))
        ended = sorted(ended, key=lambda each: -each[0])[:beams]
        if len(ended) == beams and (not live or ended[-1][0] >= live[0][0] / length):
            break
    best = [i for i in ended[0][1] if i not in model.bundle.end_token_ids]
    return model.tokenizer.decode(best)


@pytest.mark.parametrize("beams", [2, 4])
@pytest.mark.parametrize("text", TEXTS)
def test_it_finds_what_a_plain_search_finds(model: LanguageModel, text: str, beams: int) -> None:
    [completion] = model.complete([prompt(text, beams)])
    assert completion.text == searched(model, text, beams, 12)
    assert completion.completion_tokens <= 12 and completion.first_token_seconds is not None


def test_transformers_finds_the_same(model: LanguageModel, tmp_path: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    write_tiny_checkpoint(tmp_path / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    ends = sorted(model.bundle.end_token_ids)
    for text in TEXTS:
        ids = model.tokenizer.encode_text(text)
        written = theirs.generate(
            torch.tensor([ids]), num_beams=3, max_new_tokens=10, do_sample=False, eos_token_id=ends, pad_token_id=ends[0]
        )[0, len(ids) :].tolist()  # fmt: skip
        expected = model.tokenizer.decode([i for i in written if i not in ends])
        assert model.complete([prompt(text, 3, max_tokens=10)])[0].text == expected


def test_the_crowd_changes_nothing(model: LanguageModel) -> None:
    asked = [
        *(prompt(text, beams) for text in TEXTS for beams in (1, 2, 3, 5)),
        *(prompt(text, 1, max_tokens=30) for text in TEXTS),
    ]
    alone = [model.complete([each])[0].text for each in asked]
    order = np.random.default_rng(1).permutation(len(asked)).tolist()
    together = model.complete([asked[i] for i in order])
    assert [completion.text for completion in together] == [alone[i] for i in order]


def test_cancelling_frees_the_slots(model: LanguageModel) -> None:
    for steps in range(6):
        asked = iter([False] * steps + [True])
        with pytest.raises(CancelledError):
            list(model.stream([prompt(TEXTS[0], 16, max_tokens=200)], lambda asked=asked: next(asked)))  # type: ignore[misc]
    assert model.complete([prompt(TEXTS[0], 16)])[0].finish_reason in ("length", "stop")


def test_stops_and_boundaries_end_a_beginning(model: LanguageModel) -> None:
    whole = model.complete([prompt(TEXTS[0], 4)])[0].text
    stop = whole[len(whole) // 2 :][:3]
    completion = model.complete([prompt(TEXTS[0], 4, stop=(stop,))])[0]
    assert stop not in completion.text

    def five(text: str, reason: FinishReason | None) -> tuple[int, bool]:
        return min(5, len(text)), len(text) >= 5

    assert len(model.complete([prompt(TEXTS[0], 4, boundary=five)])[0].text) == 5


def test_numbers_and_spaces_hold(model: LanguageModel) -> None:
    completion = model.complete([prompt("the cat 7 ", 4, numbers_of="", max_tokens=24)])[0]
    assert not any(character.isdigit() for character in completion.text)


def test_an_error_of_a_boundary_is_the_prompts(model: LanguageModel) -> None:
    def broken(text: str, reason: FinishReason | None) -> tuple[int, bool]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        model.complete([prompt(TEXTS[0], 3, boundary=broken)])
    assert model.complete([prompt(TEXTS[0], 3)])[0].text


def test_what_makes_no_sense_is_refused(tiny_bundle: Path) -> None:
    with pytest.raises(OptionError, match="temperature"):
        Sampling(beams=4, temperature=0.5)
    with pytest.raises(OptionError, match="log-probabilities"):
        replace(prompt("a", 4), logprobs=1)
    for beams in (0, 17):
        with pytest.raises(OptionError, match="between 1 and 16"):
            Sampling(beams=beams)
    small = LanguageModel.load(tiny_bundle, device="cpu", threads=1, max_slots=3)
    with pytest.raises(OptionError, match="there are 3"):
        small.complete([prompt("a", 4)])


def test_a_task_that_samples_is_asked_to_search() -> None:
    sampled = Prompt(text="a", sampling=Sampling(temperature=0.7, top_p=0.9))
    changed = GenerationOptions(beams=3).apply(sampled)
    assert (changed.sampling.beams, changed.sampling.temperature) == (3, 0.0)
    with pytest.raises(OptionError, match="temperature of 0.5"):
        GenerationOptions(beams=3, temperature=0.5).apply(sampled)
