"""White space at the end of a plain text is spelled by the tokens that begin with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.runtime.bundle import Bundle
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.prompt import Message, Prompt, Sampling
from nlpsuite.runtime.token_healing import HealingState, TokenHealer

TEXTS = {0: "a", 1: "\n", 2: "\n   ", 3: " return", 4: " ", 5: "   ", 6: " x", 7: "\n\n"}


@pytest.fixture(scope="module")
def model(tiny_bundle: Path) -> LanguageModel:
    return LanguageModel.load(tiny_bundle, device="cpu", threads=1)


@given(st.text(alphabet="\n ", min_size=1, max_size=12), st.integers(0, 2**32))
def test_the_tokens_drawn_spell_the_white_space(space: str, seed: int) -> None:
    healing, draw, spelled = HealingState(TokenHealer(TEXTS), space), np.random.default_rng(seed), ""
    for _ in range(len(space) + 3):
        logits = draw.normal(size=len(TEXTS)).astype(np.float32)
        healing.restrict(logits)
        token = int(logits.argmax())
        healing.advance(token)
        spelled += TEXTS[token]
    assert spelled.startswith(space)


def test_only_plain_texts_with_something_before_the_space_are_split() -> None:
    healer = TokenHealer(TEXTS)
    assert healer.split(Prompt(text="a \n ")) == (Prompt(text="a"), " \n ")
    for prompt in (
        Prompt(text="a"),
        Prompt(text=" \n"),
        Prompt(text="a\t"),  # no token spells a tabulator
        Prompt(text="a" + "\n" * 65),
        Prompt(text="a ", prefill="b"),
        Prompt(text="a ", choices=("b", "c")),
        Prompt(messages=(Message("user", "a "),)),
    ):
        assert healer.split(prompt) == (prompt, "")


@pytest.mark.parametrize("space", [" ", "\n", " \n  "])
def test_the_answer_comes_without_the_white_space(space: str, model: LanguageModel) -> None:
    pieces: list[str] = []
    prompt = Prompt(text=f"the cat and{space}", max_tokens=12, sampling=Sampling(temperature=1.0, seed=5))
    for _, event in model.stream([prompt]):
        if isinstance(event, str):
            pieces.append(event)
        else:
            completion = event
    assert "".join(pieces) == completion.text
    assert completion.completion_tokens <= 12
    # The tokens read are those of the text without its white space.
    bare = model.complete([Prompt(text="the cat and", max_tokens=1)])[0]
    assert completion.prompt_tokens == bare.prompt_tokens


def test_what_the_model_would_write_anyway_is_what_it_goes_on_with(model: LanguageModel) -> None:
    text = "the cat and"
    written = model.complete([Prompt(text=text, max_tokens=8)])[0].text
    if written[:1].isspace():  # the likeliest token after `text` brings its own white space
        again = model.complete([Prompt(text=text + written[0], max_tokens=8)])[0].text
        assert again == written[1:]
    token = model.tokenizer.encode_text(" the")[0]
    assert token in model.tokenizer.healer.allowed(" ")


def test_control_tokens_spell_nothing(tiny_bundle: Path, model: LanguageModel) -> None:
    allowed = set(model.tokenizer.healer.allowed("\n").tolist())
    assert allowed
    assert not allowed & set(Bundle.open(tiny_bundle).end_token_ids)
