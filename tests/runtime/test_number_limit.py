"""Only the numbers of a text can be spelled, whatever the logits say."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.runtime.number_limit import NumberLimit, NumberTokens, numbers_of

VOCABULARY = ["a", " ", ".", ",", *"0123456789", " 1", "12", "3.5", ".5", "x7y", " in", ".\n", "<end>"]
END = len(VOCABULARY) - 1
TOKENS = NumberTokens({text: i for i, text in enumerate(VOCABULARY[:END])}, VOCABULARY.__getitem__)


def test_numbers_of_a_text() -> None:
    text = "On 3.5.2024, 1,200 of 7 people (B2B, COVID19) paid 0.5%, i.e. 9."
    assert numbers_of(text) == {"3.5.2024", "1,200", "7", "2", "19", "0.5", "9"}


def test_tokens_that_numbers_are_made_of() -> None:
    assert set(TOKENS.texts.values()) == {*".,0123456789", " 1", "12", "3.5", ".5", "x7y"}


def drawn(numbers: set[str], wishes: list[int], most: int) -> str:
    """The text of a row whose model prefers one token after the other; a wish of the end ends it."""
    limit = NumberLimit(TOKENS, frozenset(numbers))
    text = ""
    for left in range(most, 0, -1):
        logits = np.zeros(len(VOCABULARY), np.float32)
        wish = wishes[left % len(wishes)]
        logits[wish] = 9
        limit.restrict(logits, left)
        token = int(logits.argmax())
        assert logits[token] > -np.inf
        if token == END:
            break
        limit.advance(token)
        text += VOCABULARY[token]
    return text


@given(
    st.sets(st.from_regex(r"[0-9]{1,3}([.,][0-9]{1,2}){0,2}", fullmatch=True), max_size=4),
    st.lists(st.integers(0, END), min_size=1, max_size=12),
    st.integers(1, 30),
)
def test_no_other_number_is_ever_written(numbers: set[str], wishes: list[int], most: int) -> None:
    text = drawn(numbers, wishes, most)
    assert numbers_of(text) <= numbers, text


@pytest.mark.parametrize("number", ["1", "12", "3.5", "1,234"])
def test_an_allowed_number_can_be_written(number: str) -> None:
    wishes = [VOCABULARY.index(character) for character in f"a{number}."]
    limit = NumberLimit(TOKENS, frozenset({number}))
    for left, wish in zip(range(20, 0, -1), wishes):
        logits = np.zeros(len(VOCABULARY), np.float32)
        limit.restrict(logits, left)
        assert logits[wish] == 0
        limit.advance(wish)


def test_what_is_not_a_number_is_never_masked() -> None:
    limit = NumberLimit(TOKENS, frozenset())
    logits = np.zeros(len(VOCABULARY), np.float32)
    limit.restrict(logits, 5)
    free = [text for text, value in zip(VOCABULARY, logits) if value == 0]
    assert free == [text for text in VOCABULARY if not re.search(r"\d", text)]
