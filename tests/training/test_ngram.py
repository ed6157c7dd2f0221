"""The baselines: equal to a plain implementation from the definition, and proper distributions."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpsuite.training.ngram import interpolated_ngram, unigram
from nlpsuite.training.tokens import train_tokenizer

TEXT = (Path(__file__).parent.parent / "fixtures" / "perplexity.txt").read_text(encoding="utf-8")
END = 0


def grams(tokens: list[int], longest: int) -> list[tuple[int, ...]]:
    """All m-grams up to ``longest``, whose contexts reach no further back than an END."""
    tokens = [END, *tokens]
    found = []
    for i in range(1, len(tokens)):
        for m in range(1, longest + 1):
            if i - m + 1 < 0 or END in tokens[i - m + 2 : i]:
                break
            found.append(tuple(tokens[i - m + 1 : i + 1]))
    return found


class PlainKneserNey:
    """Word for word from the definition, with dictionaries."""

    def __init__(self, train: list[int], vocab_size: int, order: int) -> None:
        self.vocab_size, self.order = vocab_size, order
        occurrences = Counter(grams(train, order))
        before = defaultdict(set)
        for gram in occurrences:
            before[gram[1:]].add(gram[0])
        self.c = {
            gram: count if len(gram) == order or (len(gram) > 1 and gram[0] == END) else len(before[gram])
            for gram, count in occurrences.items()
        }

    def discount(self, m: int) -> float:
        values = [count for gram, count in self.c.items() if len(gram) == m]
        once, twice = values.count(1), values.count(2)
        return once / (once + 2 * twice) if once else 0.5

    def p(self, history: tuple[int, ...], word: int, m: int) -> float:
        if m == 0:
            return 1 / self.vocab_size
        context = history[len(history) - m + 1 :]
        lower = self.p(history, word, m - 1)
        if len(context) < m - 1 or END in context[1:]:
            return lower
        after = {gram: count for gram, count in self.c.items() if len(gram) == m and gram[:-1] == context}
        if not after:
            return lower
        discount = self.discount(m)
        kept = max(after.get((*context, word), 0) - discount, 0)
        return (kept + discount * len(after) * lower) / sum(after.values())

    def nats(self, heldout: list[int]) -> float:
        tokens = (END, *heldout)
        return -sum(math.log(self.p(tokens[:i], tokens[i], self.order)) for i in range(1, len(tokens)))


token_lists = st.lists(st.integers(0, 4), min_size=1, max_size=40)


@given(train=token_lists, heldout=token_lists, order=st.integers(1, 5))
def test_equal_to_the_definition(train: list[int], heldout: list[int], order: int) -> None:
    expected = PlainKneserNey(train, 6, order).nats(heldout)
    assert interpolated_ngram(np.array(train), np.array(heldout), 6, order) == pytest.approx(expected)


@given(train=token_lists, history=st.lists(st.integers(0, 6), max_size=6), order=st.integers(1, 5))
def test_probabilities_sum_to_one_after_any_context(train: list[int], history: list[int], order: int) -> None:
    def nats(heldout: list[int]) -> float:
        return interpolated_ngram(np.array(train), np.array(heldout, int), 7, order)

    total = sum(math.exp(nats(history) - nats([*history, word])) for word in range(7))
    assert total == pytest.approx(1)


def test_a_history_before_the_end_of_a_text_is_forgotten() -> None:
    train = np.array([1, 2, 3, END, 2, 1, END, 2, 3, END])
    other, same = np.array([1, 1, END, 2, 3]), np.array([3, 3, END, 2, 3])

    def last_two(tokens: np.ndarray) -> float:
        return interpolated_ngram(train, tokens, 4) - interpolated_ngram(train, tokens[:-2], 4)

    assert last_two(other) == pytest.approx(last_two(same))
    # Documents begin with 2 more often than with 1.
    assert interpolated_ngram(train, np.array([2]), 4) < interpolated_ngram(train, np.array([1]), 4)


def test_unigram_adds_one() -> None:
    nats = unigram(np.array([0, 1, 1], np.uint16), np.array([1, 2], np.uint16), 3)
    assert nats == pytest.approx(-math.log(3 / 6) - math.log(1 / 6))


def test_longer_contexts_help_on_real_text() -> None:
    tokenizer = train_tokenizer([TEXT], 400)
    ids = np.array(tokenizer.encode(TEXT).ids, np.uint16)
    train, heldout = ids[:-200], ids[-200:]
    costs = [unigram(train, heldout, 400), *(interpolated_ngram(train, heldout, 400, m) for m in (2, 3, 5))]
    assert costs[1] < costs[0] * 0.95
    assert min(costs[2:]) < costs[1]


def test_nothing_held_out_costs_nothing() -> None:
    none = np.array([], np.uint16)
    assert interpolated_ngram(np.array([1, 2]), none, 3) == 0
    assert unigram(np.array([1, 2]), none, 3) == 0


def test_an_order_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="order is 0"):
        interpolated_ngram(np.array([1]), np.array([1]), 2, 0)
